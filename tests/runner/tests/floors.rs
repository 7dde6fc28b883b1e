//! The kernel's imports go to floors with a smaller number in `docs/floors.md`, never to one with a greater.
//!
//! Of every source file all that names another module is looked at: `use`, paths in the text, in macros and in their
//! definitions (`$crate`), `super`, and macros by their names. `proc-macro2` cuts the text into tokens (MIT or Apache-2.0, what every
//! derive macro stands on), so that comments and strings are none.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use lazy_mmu_tests::sources::kernel;
use lazy_mmu_tools::places;
use proc_macro2::{TokenStream, TokenTree};

/// A module by its names from the crate's root on.
type Module = Vec<String>;

/// The floors, by the first name of a module: 1 is the lowest.
fn floors(page: &str) -> BTreeMap<String, usize> {
    let mut floors = BTreeMap::new();
    for line in page.lines() {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let (Some(number), Some(names)) = (cells.next(), cells.next()) else {
            continue;
        };
        let Ok(number) = number.parse() else { continue };
        for name in names.split(',') {
            floors.insert(name.trim().trim_matches('`').to_owned(), number);
        }
    }
    floors
}

/// The module that a file holds. `lib.rs` is the root, but a floor like every other here.
fn module(file: &Path) -> Module {
    let names = file.with_extension("");
    let mut names: Module = names
        .iter()
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    if names.last().is_some_and(|name| name == "mod") {
        names.pop();
    }
    names
}

/// The tokens of a text with all groups opened; a group is between its delimiters.
fn flat(tokens: TokenStream, out: &mut Vec<String>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                out.push("{".to_owned());
                flat(group.stream(), out);
                out.push("}".to_owned());
            }
            TokenTree::Punct(punct) => out.push(punct.as_char().to_string()),
            token => out.push(token.to_string()),
        }
    }
}

/// What the tokens from `at` on name, behind `prefix`: one path, or several in braces. At most two names behind the prefix are of
/// interest.
fn named(tokens: &[String], at: usize, prefix: &Module, out: &mut Vec<Module>) {
    match tokens.get(at).map(String::as_str) {
        Some("{") => {
            let (mut depth, mut begin, mut index) = (1, at + 1, at + 1);
            while depth > 0 && index < tokens.len() {
                match tokens[index].as_str() {
                    "{" => depth += 1,
                    "}" => depth -= 1,
                    _ => {}
                }
                if depth == 0 || depth == 1 && tokens[index] == "," {
                    if begin < index {
                        named(tokens, begin, prefix, out);
                    }
                    begin = index + 1;
                }
                index += 1;
            }
        }
        Some("super") => {
            let mut above = prefix.clone();
            above.pop();
            behind(tokens, at + 1, &above, out);
        }
        Some("self") => behind(tokens, at + 1, prefix, out),
        Some(name) if name.chars().all(|c| c.is_alphanumeric() || c == '_') => {
            let mut path = prefix.clone();
            path.push(name.to_owned());
            behind(tokens, at + 1, &path, out);
        }
        _ => out.push(prefix.clone()),
    }
}

fn behind(tokens: &[String], at: usize, path: &Module, out: &mut Vec<Module>) {
    let colons = |at: usize| tokens.get(at).is_some_and(|token| token == ":");
    if colons(at) && colons(at + 1) {
        named(tokens, at + 2, path, out);
    } else {
        out.push(path.clone());
    }
}

/// All that the text of module `me` names in its own crate, and the macros that it calls.
fn names(text: &str, me: &Module) -> (Vec<Module>, Vec<String>) {
    let mut tokens = Vec::new();
    flat(text.parse().expect("a source file is Rust"), &mut tokens);
    let (mut paths, mut macros) = (Vec::new(), Vec::new());
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| tokens[at].as_str());
        let is_start = before != Some(":");
        match token.as_str() {
            // Not the `crate` of `pub(crate)`.
            "crate" if is_start && tokens.get(at + 1).is_some_and(|next| next == ":") => {
                behind(&tokens, at + 1, &Vec::new(), &mut paths);
            }
            "super" if is_start && tokens.get(at + 1).is_some_and(|next| next == ":") => {
                let mut above = me.clone();
                above.pop();
                behind(&tokens, at + 1, &above, &mut paths);
            }
            "!" if before
                .is_some_and(|name| name.chars().all(|c| c.is_alphanumeric() || c == '_')) =>
            {
                macros.extend(before.map(str::to_owned));
            }
            _ => {}
        }
    }
    (paths, macros)
}

/// The macros that a text gives to its whole crate.
fn exported(text: &str) -> Vec<String> {
    let parts = text.split("#[macro_export]").skip(1);
    let name = |part: &str| {
        let rest = part.split_once("macro_rules!")?.1.trim_start();
        Some(
            rest.split(|c: char| !c.is_alphanumeric() && c != '_')
                .next()?
                .to_owned(),
        )
    };
    parts.filter_map(name).collect()
}

/// What goes up, or is on no floor, a line each.
fn upward(files: &[(Module, String)], floors: &BTreeMap<String, usize>) -> Vec<String> {
    let modules: Vec<&String> = files
        .iter()
        .filter_map(|(module, _)| module.first())
        .collect();
    let mut macros: BTreeMap<String, &String> = BTreeMap::new();
    for (module, text) in files {
        let names = exported(text).into_iter();
        macros.extend(names.zip(module.first().into_iter().cycle()));
    }
    let mut wrong = Vec::new();
    for (me, text) in files {
        let Some(mine) = me.first().and_then(|name| floors.get(name)) else {
            wrong.push(format!("{} is on no floor", me.join("/")));
            continue;
        };
        let (paths, called) = names(text, me);
        let of_root = |name: &String| {
            // What is no module of the root is an item of it, or a macro.
            if modules.contains(&name) {
                name.clone()
            } else {
                macros
                    .get(name)
                    .map_or("lib".to_owned(), |&module| module.clone())
            }
        };
        let from_paths = paths.iter().map(|path| match path.first() {
            Some(first) => (of_root(first), path.join("::")),
            None => ("lib".to_owned(), "the root".to_owned()),
        });
        let from_macros = called
            .iter()
            .filter_map(|name| Some(((*macros.get(name)?).clone(), format!("{name}!"))));
        for (name, path) in from_paths.chain(from_macros) {
            match floors.get(&name) {
                Some(theirs) if theirs <= mine => {}
                Some(theirs) => wrong.push(format!(
                    "{} (floor {mine}) names {path}, which is on floor {theirs}",
                    me.join("/")
                )),
                None => wrong.push(format!(
                    "{} names {path}, which is on no floor",
                    me.join("/")
                )),
            }
        }
        if *mine == 1 && (!paths.iter().all(|path| path.first() == me.first())) {
            wrong.push(format!(
                "{} is of the lowest floor and names the kernel",
                me.join("/")
            ));
        }
    }
    wrong.sort();
    wrong.dedup();
    wrong
}

fn page() -> BTreeMap<String, usize> {
    let page = fs::read_to_string(places::repository().join("docs/floors.md"));
    floors(&page.expect("docs/floors.md"))
}

#[test]
fn imports_go_down_the_floors() {
    let files: Vec<_> = kernel()
        .into_iter()
        .map(|(file, text)| (module(&file), text))
        .collect();
    let floors = page();
    let wrong = upward(&files, &floors);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // And the table names nothing that is not there.
    for name in floors.keys() {
        let there = files.iter().any(|(module, _)| module.first() == Some(name));
        assert!(
            there,
            "docs/floors.md has a floor {name} that the kernel has not"
        );
    }
}

/// Every way to name a module is seen, or the test above could not fail.
#[test]
fn every_way_up_is_found() {
    let floors = page();
    let low = |text: &str| {
        let files = [
            (vec!["task".to_owned(), "stats".to_owned()], text.to_owned()),
            (vec!["mem".to_owned()], String::new()),
            (vec!["sched".to_owned()], String::new()),
            (vec!["base".to_owned()], String::new()),
            (
                vec!["report".to_owned()],
                "#[macro_export] macro_rules! row { () => {} }".to_owned(),
            ),
        ];
        upward(&files, &floors)
    };
    for up in [
        "use crate::mem;",
        "use crate::mem::frames::{self, Owned};",
        "use crate::{base, sched::{self}};",
        "use crate::{\n base::Lock,\n mem,\n};",
        "use super::super::mem;",
        "use super::super::{base, mem::frames};",
        "fn f() { crate::mem::walk(va); }",
        "fn f() -> crate::mem::Table { g() }",
        "macro_rules! m { () => { $crate::mem::f() } }",
        "fn f() { println!(\"{}\", crate::mem::N) }",
        "fn f() { row!() }",
        "pub(crate) use crate::mem as memory;",
        "use crate::Boot;",
    ] {
        assert!(!low(up).is_empty(), "not seen: {up}");
    }
    for down in [
        "use crate::base::Lock;",
        "use super::counts::Count;",
        "use super::super::base;",
        "// crate::mem\nconst TEXT: &str = \"crate::mem\";",
        "pub(crate) fn f() { core::mem::take(&mut 0); }",
        "pub(super) fn f() {}",
        "use crate::task::stats;",
    ] {
        assert_eq!(low(down), Vec::<String>::new(), "{down}");
    }
}
