//! The crates that others take, as crates.io shows them. That they build by themselves is `make check`'s.

use std::fs;
use std::path::Path;

use lazy_mmu_tools::places;

const CRATES: [&str; 4] = ["lazy-mmu", "stage1-paging", "stage1-hw", "mmu-check"];

/// What stands behind `](` in a page.
fn links(page: &str) -> impl Iterator<Item = &str> {
    let behind = page.split("](").skip(1);
    behind.filter_map(|rest| rest.split(')').next())
}

/// The pages at the top of a crate.
fn pages(folder: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(folder).expect("a crate");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let pages = paths.filter(|path| path.extension().is_some_and(|ext| ext == "md"));
    pages
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a page");
            (path.display().to_string(), text)
        })
        .collect()
}

/// There a link to a file leads nowhere, be it in the package or not: what a crate has for docs.rs to show is linked there.
#[test]
fn a_crates_pages_link_to_what_its_readers_have() {
    for name in CRATES {
        let folder = places::repository().join("crates").join(name);
        let pages = pages(&folder);
        assert!(pages.iter().any(|(path, _)| path.ends_with("README.md")));
        for (path, text) in pages {
            for link in links(&text) {
                let source = format!("https://docs.rs/crate/{name}/latest/source/");
                match link.strip_prefix(&source) {
                    Some(file) => assert!(folder.join(file).is_file(), "{path}: {link}"),
                    None => assert!(
                        link.starts_with("https://") || link.starts_with('#'),
                        "{path}: {link} is for a copy of the repository"
                    ),
                }
            }
        }
    }
}

/// One that does cannot be built from its package alone: cargo leaves that dependency out of it, and the tests with it.
#[test]
fn no_crate_depends_on_itself() {
    for name in CRATES {
        let manifest = places::repository().join("crates").join(name);
        let text = fs::read_to_string(manifest.join("Cargo.toml")).expect("a manifest");
        let own = text
            .lines()
            .find(|line| line.starts_with(&format!("{name} =")));
        assert_eq!(own, None, "{name}");
    }
}
