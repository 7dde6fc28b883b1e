//! `report.json` of a real run says what was run, and its figures agree with each other.
//!
//! `make build` builds the kernel.

mod common;

use lazy_mmu_tools::{Outcome, report};
use serde_json::{Value, json};

const COUNTS: [&str; 5] = ["pairs", "dsb", "isb", "dmb", "tlbi"];
const POLICIES: [&str; 5] = ["eager", "flat", "reenter", "v3", "linux7"];

fn run(smp: u32, args: &str) -> (Outcome, Value) {
    let (outcome, kept) = common::boot(args, |boot| boot.smp = smp);
    let text = kept.read(report::FILE).unwrap();
    assert!(report::check(&text).unwrap().complete);
    (outcome, serde_json::from_str(&text).unwrap())
}

fn rows(report: &Value) -> &[Value] {
    report["rows"].as_array().unwrap()
}

fn number(value: &Value, field: &str) -> u64 {
    let number = value[field].as_u64();
    number.unwrap_or_else(|| panic!("{field} of {value}"))
}

/// The plugin has counted as much in the row's windows.
fn windows_are_the_rows(row: &Value) {
    let windows = row["windows"].as_array().unwrap();
    assert!(!windows.is_empty(), "{row}");
    for kind in &COUNTS[1..] {
        let executed = windows
            .iter()
            .flat_map(|window| window["executed"].as_object().unwrap());
        let of_kind = executed.filter(|(name, _)| name.split('-').next() == Some(kind));
        let seen: u64 = of_kind.map(|(_, count)| count.as_u64().unwrap()).sum();
        assert_eq!(seen, number(row, kind), "{kind} of {row}");
    }
    for window in windows {
        assert!(
            number(window, "instructions") > number(row, "dsb"),
            "{window}"
        );
    }
}

#[test]
fn a_run_of_one_policy_says_what_the_others_would_have_paid() {
    let args = "run=vmap,zap policy=v3 pages=64 k=8 seed=5";
    let (alone, report) = run(1, args);
    let (_, all) = run(1, "run=vmap,zap pages=64 k=8 seed=5");
    assert_eq!(
        report["arguments"],
        json!(args.split(' ').collect::<Vec<_>>())
    );
    assert_eq!(report["machine"]["cpu"], "max");
    assert_eq!(
        (number(&report, "verdict"), &report["kernel"]),
        (0, &json!("lazy-mmu-kernel"))
    );
    assert_eq!(report["commit"], json!(lazy_mmu_tools::places::commit()));
    assert_eq!((rows(&report).len(), rows(&all).len()), (2, 10));
    for row in rows(&all) {
        windows_are_the_rows(row);
        let own = row["policy"].as_str().unwrap();
        let mut of_run = rows(&report)
            .iter()
            .filter(|other| other["run"] == row["run"]);
        let predicted = &of_run.next().unwrap()["replay"];
        assert_eq!((number(row, "seed"), &row["replay"]), (5, predicted));
        for by in ["pairs", "closed_form"] {
            assert_eq!(number(&predicted[by], own), number(row, "pairs"), "{row}");
        }
    }
    let pairs = |policy| number(&rows(&report)[0]["replay"]["pairs"], policy);
    let [eager, flat, reenter, _, linux7] = POLICIES.map(pairs);
    let line = format!(
        "vmap          not run, pairs for the same calls: eager {eager}, flat {flat}, reenter {reenter}, linux7 {linux7}"
    );
    assert!(alone.console.contains(&line), "{line}\n{}", alone.console);
    assert!(!alone.console.contains("different amounts"));
}

#[test]
fn the_tasks_of_a_stress_run_and_the_others_make_the_machine() {
    let (outcome, report) = run(2, "run=mixed policy=eager,v3 pages=32 k=8 tasks=3");
    assert_eq!(report["machine"]["smp"], 2);
    for row in rows(&report) {
        windows_are_the_rows(row);
        assert_eq!(row["replay"], Value::Null);
        let tasks = row["tasks"].as_array().unwrap();
        assert_eq!(tasks.len(), 3);
        let others = row["others"].as_object().unwrap();
        for count in COUNTS {
            let sum: u64 = tasks
                .iter()
                .chain(others.values())
                .map(|one| number(one, count))
                .sum();
            assert_eq!(sum, number(row, count), "{count} of {row}");
        }
        let depth = tasks.iter().map(|task| number(task, "depth")).max();
        assert_eq!(depth, Some(number(row, "depth")));
        assert!(
            tasks
                .iter()
                .all(|task| number(task, "rounds") > 0 && number(task, "sections") > 0)
        );
    }
    let stores: Vec<u64> = rows(&report)
        .iter()
        .map(|row| number(row, "stores"))
        .collect();
    let said = outcome.console.contains(
        "mixed         the rows did different amounts of work; pairs per 1000 stores: eager ",
    );
    assert_eq!(said, stores[0] != stores[1], "{}", outcome.console);
}
