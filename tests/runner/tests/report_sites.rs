//! The places that report to the kernel's observers outside of `observe` are few, and `docs/how-it-works.md` has them all.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use lazy_mmu_tools::places;

/// How a place reports.
const CALLS: [&str; 4] = [
    "observe::report(",
    "observe::access(",
    "observe::probe(",
    "observe::fill(",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the kernel") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// The files that report, from the kernel's sources on.
fn reporting() -> BTreeSet<String> {
    let root = places::repository().join("kernel/src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let reports = |file: &PathBuf| {
        let text = fs::read_to_string(file).expect("a source file");
        CALLS.iter().any(|call| text.contains(call)) || text.contains("for_each(|done| observe")
    };
    let name = |file: PathBuf| {
        let below = file.strip_prefix(&root).expect("below the root");
        below.to_string_lossy().into_owned()
    };
    files.into_iter().filter(reports).map(name).collect()
}

/// The files that the page lists: in the table behind the sentence that promises all of them.
fn listed(page: &str) -> BTreeSet<String> {
    let (_, behind) = page
        .split_once("These are all the places:")
        .expect("the page says which places report");
    let table = behind
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'));
    let mut files = BTreeSet::new();
    for row in table {
        let places = row.split('|').nth(2).unwrap_or_default();
        let mut folder = String::new();
        for file in places.split('`').skip(1).step_by(2) {
            // A file after another of its folder is listed by its name alone.
            if let Some((above, _)) = file.rsplit_once('/') {
                folder = format!("{above}/");
                files.insert(file.to_owned());
            } else if file.ends_with(".rs") {
                let inside = format!("{folder}{file}");
                let there = places::repository().join("kernel/src").join(&inside);
                files.insert(if there.is_file() {
                    inside
                } else {
                    file.to_owned()
                });
            }
        }
    }
    files
}

#[test]
fn the_page_lists_every_place_that_reports() {
    let page = places::repository().join("docs/how-it-works.md");
    let mut listed = listed(&fs::read_to_string(page).expect("docs/how-it-works.md"));
    // The start of checking reports the core that it is on.
    listed.remove("observe/rules.rs");
    let mut reporting = reporting();
    reporting.retain(|file| !file.starts_with("observe/"));
    assert!(reporting.len() > 10, "where is the kernel? {reporting:?}");
    assert_eq!(reporting, listed);
}
