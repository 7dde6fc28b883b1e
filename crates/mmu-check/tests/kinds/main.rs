//! The kinds of faults that page-table code has and that rules easily miss, each with several
//! members: what must be flagged and by which rule, and the next thing to it that is right.

mod breaking;
mod changes;
mod coverage;
mod findings;
mod history;
mod lifetimes;
mod lines;
mod memory;
#[path = "../any/numbers.rs"]
mod numbers;
mod operands;
mod publishing;
mod reach;
mod reliance;
mod spaces;
mod trees;

use mmu_check::{Checker, Event};

#[test]
fn the_handed_traces() {
    let expected = [
        ("fn1_ttl_of_a_freed_table", Some("R6")),
        ("fn2_block_over_stale_pages", Some("R2")),
        ("fn3_asid_changed_before_tlbi", Some("R4")),
        ("fn_older_leaf_forgotten", Some("R3")),
        ("fn_retry_after_lost_tlbi", Some("R3")),
        ("fp1_detached_table_emptied", None),
        ("fp2_table_corrected_before_link", None),
        ("fp3_table_moved", None),
        ("fp4_range_over_the_top", None),
    ];
    for (name, rule) in expected {
        let path = format!("{}/tests/traces/{name}.trace", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        let mut checker = Checker::new();
        let broken = text.lines().find_map(|line| {
            let event: Event = line.parse().unwrap();
            checker.step(&event).err()
        });
        assert_eq!(
            broken.map(|violation| violation.rule.name()),
            rule,
            "{name}"
        );
    }
}
