//! The places that report to the kernel's observers outside of `observe` are few, and `docs/how-it-works.md` has them all.

use std::collections::BTreeSet;
use std::fs;

use lazy_mmu_tests::sources::kernel;
use lazy_mmu_tools::places;

/// How a place reports.
const CALLS: [&str; 5] = [
    "observe::report(",
    "access::read(",
    "access::write(",
    "access::fill(",
    "access::inspect(",
];

/// The files that report, from the kernel's sources on.
fn reporting() -> BTreeSet<String> {
    let reports = |text: &str| CALLS.iter().any(|call| text.contains(call));
    let files = kernel().into_iter();
    files
        .filter(|(_, text)| reports(text))
        .map(|(file, _)| file.to_string_lossy().into_owned())
        .collect()
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
    assert_eq!(reporting, listed);
}
