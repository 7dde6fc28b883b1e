//! The modules stand one above the other: none imports, over whatever way, one that imports it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The files below a folder, by their names as modules.
fn files(folder: &Path, name: &str, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let own = format!("{name}::{stem}");
        if path.is_dir() {
            files(&path, &own, found);
        } else if stem == "mod" {
            found.insert(name.to_owned(), fs::read_to_string(&path).unwrap());
        } else if stem != "lib" {
            found.insert(own, fs::read_to_string(&path).unwrap());
        }
    }
}

/// What a file names of `crate` and of `super`, as full paths: groups in braces taken apart.
fn named(module: &str, is_folder: bool, text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let parent = module
        .rsplit_once("::")
        .map_or(module, |(parent, _)| parent);
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let code: String = code.collect::<Vec<_>>().join("\n");
    for (start, word) in [("crate::", "crate"), ("super::", "super")] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back().unwrap_or(' ');
            if before.is_alphanumeric() || before == '_' || before == ':' {
                continue;
            }
            let base = match word {
                "crate" => "crate",
                // In `mod.rs` what is above the folder, elsewhere the folder.
                _ if is_folder => parent,
                _ => parent,
            };
            let rest = &code[at + start.len()..];
            let group = rest.strip_prefix('{').and_then(|r| r.split('}').next());
            let items: Vec<&str> = match group {
                Some(items) => items.split(',').collect(),
                None => vec![
                    rest.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':')
                        .next()
                        .unwrap(),
                ],
            };
            names.extend(
                items
                    .into_iter()
                    .map(|item| format!("{base}::{}", item.trim())),
            );
        }
    }
    names
}

/// The module that a path leads to.
fn module_of(path: &str, modules: &BTreeMap<String, String>) -> Option<String> {
    let parts: Vec<&str> = path.split("::").collect();
    (1..=parts.len())
        .rev()
        .map(|n| parts[..n].join("::"))
        .find(|known| modules.contains_key(known))
}

/// A way from a module back to it.
fn circle(
    at: &str,
    edges: &BTreeMap<String, BTreeSet<String>>,
    way: &mut Vec<String>,
    done: &mut BTreeSet<String>,
) -> bool {
    if way.iter().any(|module| module == at) {
        way.push(at.to_owned());
        return true;
    }
    if !done.insert(at.to_owned()) {
        return false;
    }
    way.push(at.to_owned());
    if edges[at].iter().any(|next| circle(next, edges, way, done)) {
        return true;
    }
    way.pop();
    false
}

#[test]
fn no_circle() {
    let mut modules = BTreeMap::new();
    files(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        "crate",
        &mut modules,
    );
    assert!(modules.len() > 40, "{}", modules.len());
    let mut edges = BTreeMap::new();
    for (module, text) in &modules {
        let prefix = format!("{module}::");
        let is_folder = modules.keys().any(|other| other.starts_with(&prefix));
        let names = named(module, is_folder, text);
        let to = names.iter().filter_map(|name| module_of(name, &modules));
        edges.insert(module.clone(), to.filter(|to| to != module).collect());
    }
    let seen = |module: &str, other: &str| {
        let edges: &BTreeMap<String, BTreeSet<String>> = &edges;
        edges[module].contains(other)
    };
    assert!(
        seen("crate::checker", "crate::state"),
        "{:?}",
        edges["crate::checker"]
    );
    assert!(seen("crate::machine::walk", "crate::machine::memory"));
    for module in modules.keys() {
        let mut way = Vec::new();
        assert!(
            !circle(module, &edges, &mut way, &mut BTreeSet::new()),
            "{}",
            way.join(" imports ")
        );
    }
}
