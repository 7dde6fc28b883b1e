//! The commands that the README lists are those that make has, and `make help` names them.

use std::collections::BTreeSet;
use std::fs;

use lazy_mmu_tools::places;

fn text(file: &str) -> String {
    fs::read_to_string(places::repository().join(file))
        .unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The word behind `prefix` in each line that has it.
fn named<'t>(text: &'t str, prefix: &str) -> BTreeSet<&'t str> {
    let of_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let found = text.lines().filter_map(|line| line.split_once(prefix));
    let words = found.map(|(_, rest)| rest.split(|c| !of_name(c)).next().unwrap_or_default());
    words.filter(|word| !word.is_empty()).collect()
}

#[test]
fn the_readme_lists_what_make_has() {
    let (readme, makefile) = (text("README.md"), text("Makefile"));
    let targets = makefile
        .lines()
        .find_map(|line| line.strip_prefix(".PHONY:"));
    let targets: BTreeSet<&str> = targets.expect("the targets").split_whitespace().collect();
    let listed = named(&readme, "| `make ");
    assert!(
        listed.contains("run") && listed.contains("bench"),
        "{listed:?}"
    );
    for command in &listed {
        assert!(
            targets.contains(command),
            "README.md: make has no {command}"
        );
    }
    // What a command is made of, and what needs no word.
    let parts = [
        "help",
        "setup",
        "build",
        "clean",
        "test-host",
        "test-qemu",
        "test-trace",
    ];
    for target in targets.iter().filter(|target| !parts.contains(target)) {
        assert!(
            listed.contains(target),
            "README.md does not list make {target}"
        );
    }
    let helped = named(&makefile, "@echo 'make ");
    for command in listed {
        assert!(
            helped.contains(command),
            "make help does not name {command}"
        );
    }
}

#[test]
fn the_page_of_figures_has_the_crates_that_are_measured() {
    let (page, peers) = (text("docs/figures.md"), text("tests/bench/peers.json"));
    let measured = named(&peers, "\"crate\":\"");
    assert!(!measured.is_empty());
    for line in peers.lines().filter(|line| line.contains("\"crate\"")) {
        let value = |field: &str| {
            let rest = line
                .split_once(&format!("\"{field}\":\""))
                .map(|(_, rest)| rest);
            rest.and_then(|rest| rest.split('"').next())
                .unwrap_or_default()
        };
        let row = format!("| `{}` | {} |", value("crate"), value("version"));
        assert!(page.contains(&row), "docs/figures.md has no {row}");
    }
}
