//! What a person reads: `violations.txt` has a program for each reason, and under it, indented, the text of the
//! violation at its end.
//!
//! A line is an event, of core 0 in task 1 or, behind `1:`, of core 1 in task 2. The tables and both cores are there
//! before. `MMU_CHECK_WRITE=1` writes the file anew, to be read and compared.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use mmu_check::{Checker, Event, Rule, Violation};

/// A table of level 3 for 0xffff000000000000, linked and published, and a second core.
const BEFORE: [&str; 8] = [
    "alloc frame=0x3000",
    "zero frame=0x3000",
    "dmb ishst",
    "store slot=0x2000 va=0xffff000000000000 level=2 old=0x0 new=0x3003",
    "dsb ishst",
    "isb",
    "1: core-start",
    "1: isb",
];

/// The violation at the last line, and none before.
fn violation(name: &str, lines: &[&str]) -> Violation {
    let mut checker = Checker::new();
    let all: Vec<&str> = BEFORE.iter().chain(lines).copied().collect();
    for (n, line) in all.iter().enumerate() {
        let (core, what) = match line.strip_prefix("1: ") {
            Some(what) => (1, what),
            None => (0, *line),
        };
        let event: Event = format!("{n} core={core} task={} {what}", core + 1)
            .parse()
            .unwrap_or_else(|e| panic!("{name}: {line}: {e}"));
        match checker.step(&event) {
            Ok(()) => assert_ne!(n + 1, all.len(), "{name}: no rule is broken"),
            Err(violation) => {
                assert_eq!(n + 1, all.len(), "{name}: {violation}");
                return *violation;
            }
        }
    }
    panic!("{name}: no events")
}

/// The programs with the texts that they now have, and the violations.
fn written_anew(file: &str) -> (String, Vec<Violation>) {
    let (mut text, mut violations) = (String::new(), Vec::new());
    for case in file.split("\n\n") {
        let lines = case.lines().filter(|line| !line.starts_with(' '));
        let (names, lines): (Vec<&str>, Vec<&str>) = lines.partition(|l| l.starts_with('#'));
        let violation = violation(names[0], &lines);
        let separator = if text.is_empty() { "" } else { "\n" };
        writeln!(text, "{separator}{}\n{}", names[0], lines.join("\n")).unwrap();
        for line in violation.to_string().lines() {
            writeln!(text, "    {line}").unwrap();
        }
        violations.push(violation);
    }
    (text, violations)
}

#[test]
fn each_reason_reads_as_it_is_written_down() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/violations.txt");
    let file = std::fs::read_to_string(&path).unwrap();
    let (text, violations) = written_anew(&file);
    if std::env::var_os("MMU_CHECK_WRITE").is_some() {
        std::fs::write(&path, &text).unwrap();
        return;
    }
    for (written, now) in file.split("\n\n").zip(text.split("\n\n")) {
        assert_eq!(written.trim_end(), now.trim_end());
    }
    assert_eq!(file, text);

    let rules: BTreeSet<Rule> = violations.iter().map(|v| v.rule).collect();
    assert!(rules.iter().eq(&Rule::ALL), "a rule without a text");
    for violation in violations {
        says_who_what_and_where(&violation);
    }
}

/// What every text must have, and its fields.
fn says_who_what_and_where(violation: &Violation) {
    let text = violation.to_string();
    let at = violation.at;
    assert!(text.starts_with(violation.rule.name()));
    assert!(text.contains(&format!("Core {} in task {} ", at.core, at.task)));
    assert!(text.contains(&format!("(event {}).", at.sequence)));
    assert!(text.contains(&violation.why.to_string()));
    // What was to be done stands between two events, and is shown with both.
    for step in &violation.missing {
        assert!(text.contains(&step.to_string()), "{text}");
    }
    for named in [violation.after, violation.owes].into_iter().flatten() {
        assert!(violation.last().any(|e| *e == named), "{text}");
    }
    if let Some(after) = violation.after {
        assert!(after.sequence < at.sequence);
        assert!(!violation.missing.is_empty());
        assert!(text.contains(&format!("between event {} (", after.sequence)));
    }
    if let Some(owes) = violation.owes {
        assert!(owes.sequence < at.sequence);
        assert!(text.contains(&format!("(event {}).", owes.sequence)));
    }
    for event in violation.last() {
        assert!(text.contains(&event.to_string()));
    }
}
