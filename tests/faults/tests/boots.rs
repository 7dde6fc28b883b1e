//! Every fault has boots in `tests/faults.boots`, and for everybody who must see it one that expects it.

use std::collections::BTreeSet;

use lazy_mmu_faults::{NAMES, by_name};

const BOOTS: &str = include_str!("../../faults.boots");

/// Fault and line of every boot.
fn boots() -> impl Iterator<Item = (&'static str, &'static str)> {
    let boots = BOOTS.lines().filter(|line| line.starts_with("@boot"));
    boots.filter_map(|line| {
        let (_, fault) = line.split_once(" fault=")?; // after `run=`: the bare one prints the names
        Some((fault.split([' ', '"']).next()?, line))
    })
}

#[test]
fn every_fault_is_booted_and_every_boot_has_a_fault() {
    let booted: BTreeSet<_> = boots().map(|(name, _)| name).collect();
    let unknown: Vec<_> = booted
        .iter()
        .filter(|name| by_name(name).is_none())
        .collect();
    assert!(unknown.is_empty(), "no such fault: {unknown:?}");
    let names: BTreeSet<_> = NAMES.iter().map(|entry| entry.name).collect();
    assert_eq!(names.len(), NAMES.len(), "a name is there twice");
    assert_eq!(booted, names);
}

/// What a boot expects where this one sees the fault; `None` where it says so in words of its own.
fn message_of(who: &str) -> Option<String> {
    match who {
        "QEMU" => Some("is the old translation still in the TLB".to_owned()),
        "witness" => Some("witness: DIFFERS".to_owned()),
        rule if rule.starts_with('R') => Some(format!("VIOLATION {rule}\"")),
        _ => None,
    }
}

#[test]
fn who_must_see_a_fault_is_expected_to() {
    for entry in NAMES {
        for who in entry.seen.split(", ") {
            let (who, _) = who.split_once(' ').unwrap_or((who, ""));
            let Some(message) = message_of(who) else {
                continue;
            };
            let mut of_it = boots().filter(|(name, _)| *name == entry.name);
            // QEMU by itself, the rules when they are checked.
            let checked = if who.starts_with('R') {
                " check=on"
            } else {
                ""
            };
            let seen = of_it.any(|(_, line)| line.contains(&message) && line.contains(checked));
            assert!(seen, "{}: no boot expects `{message}` of it", entry.name);
        }
    }
}

/// And the other way: no rule is expected to be broken by a fault of which the list does not say it.
#[test]
fn what_is_expected_is_said_in_the_list() {
    for (name, line) in boots() {
        let entry = NAMES.iter().find(|entry| entry.name == name).unwrap();
        for rule in line.split("VIOLATION ").skip(1) {
            let (rule, _) = rule.split_once('"').unwrap();
            let mut said = entry.seen.split([',', ' ']);
            assert!(said.any(|who| who == rule), "{name}: {rule}");
        }
    }
}
