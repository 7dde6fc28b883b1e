//! What the rules say of a record: a checker that knows nothing but these events.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use mmu_check::{Checker, Event, Rule};

/// The rules that these events break, each once, and the first violation in full.
pub(super) fn judge(events: &[Event]) -> (Vec<Rule>, Option<String>) {
    let mut checker = Checker::new();
    let (mut broken, mut first) = (Vec::new(), None);
    for event in events {
        if let Err(violation) = checker.step(event) {
            first.get_or_insert_with(|| violation.to_string());
            if !broken.contains(&violation.rule) {
                broken.push(violation.rule);
            }
        }
    }
    (broken, first)
}

/// Their names.
pub(super) fn names(rules: &[Rule]) -> String {
    let names: Vec<_> = rules.iter().map(|rule| rule.name()).collect();
    names.join(" ")
}
