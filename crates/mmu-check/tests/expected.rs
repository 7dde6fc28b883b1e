//! What a run should have had to check, and did not.

use std::collections::BTreeSet;

use mmu_check::{Coverage, Expected};

fn missing(expected: Expected, coverage: &Coverage) -> BTreeSet<&'static str> {
    expected.missing(coverage).collect()
}

/// Each count but two belongs to one of them: every run has events, and one in tables that are there links none.
#[test]
fn every_count_is_expected_of_somebody() {
    let nothing = Coverage::default();
    assert_eq!(missing(Expected::default(), &nothing), BTreeSet::new());
    let each = [
        (true, false, false),
        (false, true, false),
        (false, false, true),
    ]
    .map(|(pages, nested, tasks)| Expected {
        pages,
        nested,
        tasks,
    })
    .map(|expected| missing(expected, &nothing));
    assert_eq!(each.each_ref().map(BTreeSet::len), [9, 1, 5]);
    let all: BTreeSet<_> = each.into_iter().flatten().collect();
    let counts = nothing.counts().into_iter().map(|(name, _)| name);
    let none: Vec<_> = counts.filter(|name| !all.contains(name)).collect();
    assert_eq!(none, ["events", "links"]);
}

#[test]
fn what_was_there_is_not_missing() {
    let coverage = Coverage {
        sections: 1,
        nested: 1,
        ..Coverage::default()
    };
    let expected = Expected {
        pages: true,
        nested: true,
        tasks: false,
    };
    let missing = missing(expected, &coverage);
    assert!(missing.contains("mappings"));
    assert!(!missing.contains("sections") && !missing.contains("nested"));
    assert!(!missing.contains("task ends"));
}
