//! The modules stand one above the other: none imports, over whatever way, one that imports it.
//!
//! An import is a path from `crate` or `super`, in a `use` or in the code. Where it names what a module only hands on
//! (`pub use`), it is an import of the module that has it. A folder's own file is above what is in the folder, so
//! what it names of that is none.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Modules by their names, each with its text.
type Modules = BTreeMap<String, String>;

/// The files below a folder, by their names as modules; `lib.rs` is `crate`.
fn files(folder: &Path, name: &str, found: &mut Modules) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let own = format!("{name}::{stem}");
        if path.is_dir() {
            files(&path, &own, found);
        } else if stem == "mod" || stem == "lib" {
            found.insert(name.to_owned(), fs::read_to_string(&path).unwrap());
        } else {
            found.insert(own, fs::read_to_string(&path).unwrap());
        }
    }
}

fn without_comments(text: &str) -> String {
    let code = text.lines().map(|line| line.split("//").next().unwrap());
    code.collect::<Vec<_>>().join("\n")
}

fn parent(module: &str) -> &str {
    module.rsplit_once("::").map_or(module, |(above, _)| above)
}

/// The paths of a tree as it stands in a `use`, behind `base`: each with the name it is known by. Returns what is
/// behind the tree.
fn paths<'a>(text: &'a str, base: &str, found: &mut Vec<(String, String)>) -> &'a str {
    let mut text = text.trim_start();
    if let Some(group) = text.strip_prefix('{') {
        text = group.trim_start();
        while !text.is_empty() && !text.starts_with('}') {
            text = paths(text, base, found).trim_start();
            text = text.strip_prefix(',').unwrap_or(text).trim_start();
        }
        return text.get(1..).unwrap_or("");
    }
    let (name, behind) = word(text);
    let path = match name {
        "super" => parent(base).to_owned(),
        "self" => base.to_owned(),
        _ => format!("{base}::{name}"),
    };
    if let Some(below) = behind.strip_prefix("::") {
        return paths(below, &path, found);
    }
    let (known, behind) = match behind.trim_start().strip_prefix("as ") {
        Some(renamed) => word(renamed),
        None => (path.rsplit("::").next().unwrap(), behind),
    };
    found.push((path.clone(), known.to_owned()));
    if name.is_empty() {
        // No tree begins like this: what it is, is passed over.
        let mut rest = behind.chars();
        rest.next();
        return rest.as_str();
    }
    behind
}

/// The name that a text begins with, and what is behind it.
fn word(text: &str) -> (&str, &str) {
    let is_behind = |c: char| !c.is_alphanumeric() && c != '_';
    text.split_at(text.find(is_behind).unwrap_or(text.len()))
}

/// What a module's text names of `crate` and of `super`, as full paths.
fn named(module: &str, text: &str) -> BTreeSet<String> {
    let code = without_comments(text);
    let mut found = Vec::new();
    for (start, base) in [("crate::", "crate"), ("super::", parent(module))] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back().unwrap_or(' ');
            if !before.is_alphanumeric() && before != '_' && before != ':' {
                paths(&code[at + start.len()..], base, &mut found);
            }
        }
    }
    found.into_iter().map(|(path, _)| path).collect()
}

/// What a module hands on: the full path of each name that its `use`s bring into it, by that name in it.
fn handed_on(module: &str, text: &str, found: &mut BTreeMap<String, String>) {
    let code = without_comments(text);
    for part in code.split(';') {
        let Some((_, tree)) = part.rsplit_once("use ") else {
            continue;
        };
        let (base, tree) = match tree.trim_start().strip_prefix("crate::") {
            Some(tree) => ("crate", tree),
            None => (module, tree),
        };
        let mut names = Vec::new();
        paths(tree, base, &mut names);
        let names = names.into_iter();
        found.extend(names.map(|(path, name)| (format!("{module}::{name}"), path)));
    }
}

/// Every module, and what it imports.
fn imports(modules: &Modules) -> BTreeMap<String, BTreeSet<String>> {
    let mut handed = BTreeMap::new();
    for (module, text) in modules {
        handed_on(module, text, &mut handed);
    }
    let of = |module: &String, text: &String| {
        let names = named(module, text);
        let to = names.iter().filter_map(|name| has(name, modules, &handed));
        to.filter(|to| to != module).collect()
    };
    let all = modules.iter();
    all.map(|(module, text)| (module.clone(), of(module, text)))
        .collect()
}

/// The module that has what a path names.
fn has(path: &str, modules: &Modules, handed: &BTreeMap<String, String>) -> Option<String> {
    let mut path = path.to_owned();
    // A name may be handed on more than once.
    for _ in 0..8 {
        let parts: Vec<&str> = path.split("::").collect();
        let prefix = |n: usize| parts[..n].join("::");
        let longest = (1..=parts.len()).rev().map(prefix);
        let known = longest
            .into_iter()
            .find(|part| modules.contains_key(part) || handed.contains_key(part))?;
        if modules.contains_key(&known) {
            return Some(known);
        }
        path = format!("{}{}", handed[&known], &path[known.len()..]);
    }
    None
}

/// A way from a module back to it.
fn circle(edges: &BTreeMap<String, BTreeSet<String>>) -> Option<String> {
    fn from(
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
        let found = edges[at].iter().any(|next| from(next, edges, way, done));
        if !found {
            way.pop();
        }
        found
    }
    edges.keys().find_map(|module| {
        let mut way = Vec::new();
        from(module, edges, &mut way, &mut BTreeSet::new()).then(|| way.join(" imports "))
    })
}

#[test]
fn no_circle() {
    let mut modules = Modules::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    files(&source, "crate", &mut modules);
    assert!(modules.len() > 40, "{}", modules.len());
    let edges = imports(&modules);
    for (module, other) in [
        ("crate::checker", "crate::state"),
        ("crate::machine::walk", "crate::machine::memory"),
    ] {
        assert!(edges[module].contains(other), "{module}");
    }
    assert_eq!(circle(&edges), None);
}

/// Some modules, and what `crate::low` imports of them when this is its text.
fn imported(text: &str) -> BTreeSet<String> {
    let modules = [
        (
            "crate",
            "mod high; mod low; pub use high::{Top, deep::{Deep as Renamed}};",
        ),
        (
            "crate::high",
            "mod deep; pub use deep::Deep; use super::low::Low; pub struct Top;",
        ),
        ("crate::high::deep", "pub struct Deep;"),
        ("crate::other", "pub struct Other;"),
        ("crate::low", text),
        ("crate::low::inner", "use super::Low;"),
    ];
    let modules = modules.map(|(name, text)| (name.to_owned(), text.to_owned()));
    imports(&modules.into())["crate::low"].clone()
}

/// Every way to name a module is seen, or the test above could not fail.
#[test]
fn every_way_to_import_is_found() {
    for (text, found) in [
        ("use crate::high::Top;", &["crate::high"][..]),
        ("fn f() { crate::high::g() }", &["crate::high"]),
        ("use super::other::{self, Other};", &["crate::other"]),
        // Braces in braces.
        (
            "use crate::{high::{Top}, other::Other};",
            &["crate::high", "crate::other"],
        ),
        (
            "use crate::{\n    high::{Top, deep::{Deep}},\n    other,\n};",
            &["crate::high", "crate::high::deep", "crate::other"],
        ),
        // What the root hands on, and what a folder does.
        ("use crate::Top;", &["crate::high"]),
        ("use super::Renamed;", &["crate::high::deep"]),
        (
            "use crate::{Renamed, other::Other};",
            &["crate::high::deep", "crate::other"],
        ),
        ("use crate::high::Deep;", &["crate::high::deep"]),
        ("fn f(top: crate::Top) {}", &["crate::high"]),
        // Nothing that is the root's own, and nothing in a comment.
        ("// use crate::high::Top;", &[]),
        (
            "use crate::low::inner::X; fn f() {}",
            &["crate::low::inner"],
        ),
        ("pub(crate) fn f() { core::mem::take(x) }", &[]),
    ] {
        let found: BTreeSet<String> = found.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(imported(text), found, "{text}");
    }
}

#[test]
fn super_is_what_is_above() {
    let paths = |module: &str, text: &str| named(module, text).into_iter().collect::<Vec<_>>();
    assert_eq!(paths("crate::a::b", "use super::X;"), ["crate::a::X"]);
    assert_eq!(paths("crate::a", "use super::X;"), ["crate::X"]);
    assert_eq!(paths("crate::a::b", "use super::super::X;"), ["crate::X"]);
}

/// A circle is found, also over what is handed on.
#[test]
fn a_circle_is_found() {
    let of = |text: &str| {
        let modules = [
            ("crate", "pub use a::A;"),
            ("crate::a", "use crate::b::B;"),
            ("crate::b", text),
        ];
        let modules = modules.map(|(name, text)| (name.to_owned(), text.to_owned()));
        circle(&imports(&modules.into()))
    };
    for text in ["use crate::a::A;", "use crate::A;", "use super::{c, A};"] {
        assert!(of(text).is_some(), "{text}");
    }
    assert_eq!(of("pub struct B;"), None);
}
