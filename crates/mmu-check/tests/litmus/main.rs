//! Published litmus tests of virtual memory, on the rules and on the machine. The table of verdicts is printed,
//! and kept in LITMUS.md: `MMU_CHECK_WRITE=1 cargo test --test litmus` writes it again.
#![cfg(feature = "machine")]

mod publishing;
mod spaces;
mod suite;
mod withdrawing;

use std::fmt::Write as _;

use mmu_check::Checker;
use mmu_check::machine::program::{Do, Outcome, Seen};

use publishing::{publishing, two_translations};
use spaces::spaces;
use suite::{Bad, Cause, ESOP, HERD, ROOT, Suite, Test};
use withdrawing::{breaking, permissions, tables, withdrawing};

fn suite() -> Vec<Test> {
    let mut suite = Suite(Vec::new());
    publishing(&mut suite);
    two_translations(&mut suite);
    withdrawing(&mut suite);
    breaking(&mut suite);
    permissions(&mut suite);
    tables(&mut suite);
    spaces(&mut suite);
    suite.0
}

impl Test {
    fn is_bad(&self, outcome: &Outcome) -> bool {
        let mut all = self.bad.iter();
        let relies = self.relies();
        all.all(|bad| {
            let seen = |core: usize, at: usize| outcome.seen[core][at];
            match *bad {
                Bad::Faults(core, at) => matches!(seen(core, at), Seen::Fault(_)),
                Bad::Works(core, at) => matches!(seen(core, at), Seen::Value(_)),
                Bad::Sees(core, at, value) => seen(core, at) == Seen::Value(value),
                Bad::SeesNot(core, at, value) => seen(core, at) != Seen::Value(value),
            }
        }) || (outcome.conflict && relies)
    }

    /// Whether the program says of an access that it relies on it: else the rules judge its stores and frees alone.
    fn relies(&self) -> bool {
        let mut all = self.program.cores.iter().flatten();
        all.any(|step| matches!(step, Do::Access(_, _, Some(_))))
    }

    /// Whether the outcome happens on the machine.
    fn happens(&self) -> bool {
        let happens = self.program.reaches(ROOT, 3_000_000, |o| self.is_bad(o));
        happens.unwrap_or_else(|_| panic!("{}: too many states", self.name))
    }

    /// The first rule that the program breaks.
    fn breaks(&self) -> Option<&'static str> {
        let mut checker = Checker::new();
        let events = self.program.events();
        let mut results = events.iter().map(|event| checker.step(event));
        results
            .find_map(Result::err)
            .map(|violation| violation.rule.name())
    }
}

fn yes(allowed: bool) -> &'static str {
    if allowed { "allowed" } else { "forbidden" }
}

#[test]
fn rules_and_machine_agree_with_the_architecture() {
    let (mut table, mut wrong, mut strict) = (String::new(), Vec::new(), 0);
    let tests = suite();
    for test in &tests {
        let happens = test.happens();
        let breaks = test.breaks();
        let rules = match breaks {
            None if test.allowed => "accepted: relies on nothing".into(),
            None => "accepted".into(),
            Some(rule) => match test.stricter {
                Some(Cause::StoringCore) => format!("{rule}: stricter (1)"),
                Some(Cause::WholeTable) => format!("{rule}: stricter (2)"),
                Some(Cause::TlbiAfterMap) => format!("{rule}: stricter (3)"),
                Some(Cause::FreeingCore) => format!("{rule}: stricter (4)"),
                Some(Cause::Elsewhere) => format!("{rule}: stricter (5)"),
                None => rule.to_string(),
            },
        };
        // What is allowed need break no rule where nobody relies on anything.
        let broken = test.allowed || test.stricter.is_some();
        let right = breaks.is_some() == broken || (test.allowed && !test.relies());
        strict += u32::from(test.stricter.is_some());
        let (name, source) = (test.name, test.source);
        let line = format!(
            "| {name} | {source} | {} | {} | {rules} |",
            yes(test.allowed),
            yes(happens)
        );
        if happens != test.allowed || !right {
            wrong.push(line.clone());
        }
        writeln!(table, "{line}").unwrap();
    }
    println!(
        "{table}{} tests, the rules stricter in {strict}",
        tests.len()
    );
    assert!(
        wrong.is_empty(),
        "not as the architecture says:\n{}",
        wrong.join("\n")
    );
    assert!(strict <= 20);
    let path = format!("{}/LITMUS.md", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let head = text.split("\n| test |").next().unwrap_or_default();
    let whole = format!(
        "{head}\n| test | source | architecture | machine | rules |\n|---|---|---|---|---|\n{table}"
    );
    if std::env::var_os("MMU_CHECK_WRITE").is_some() {
        std::fs::write(&path, &whole).unwrap();
    } else {
        assert_eq!(text, whole, "LITMUS.md is not what was found");
    }
}

/// The README says how many are published, and where.
#[test]
fn the_readme_counts_them() {
    let tests = suite();
    let of = |source| tests.iter().filter(|test| test.source == source).count();
    let (esop, herd, derived) = (of(ESOP), of(HERD), of("derived"));
    assert_eq!(esop + herd + derived, tests.len());
    let text = include_str!("../../README.md");
    for counted in [
        format!("{} litmus tests", tests.len()),
        format!(
            "{} published ones ({esop} ESOP22, {herd} herd)",
            esop + herd
        ),
        format!("{derived} derived"),
    ] {
        assert!(text.contains(&counted), "{counted}");
    }
    // Each name is there once, so none is derived by another's name.
    let mut names: Vec<&str> = tests.iter().map(|test| test.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), tests.len());
}
