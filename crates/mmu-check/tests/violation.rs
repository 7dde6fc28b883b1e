//! What a person reads: `violations.txt` has a program for each reason, and under it, indented, the text of the
//! violation at its end.
//!
//! A line is an event, of core 0 in task 1 or, behind `1:`, of core 1 in task 2. The tables and both cores are there
//! before. `MMU_CHECK_WRITE=1` writes the file anew, to be read and compared.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use mmu_check::event::Barrier;
use mmu_check::{Checker, Event, Op, Reason, Rule, Step, Violation, What};

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

/// The program with what is there before.
fn events(name: &str, lines: &[&str]) -> Vec<Event> {
    let all = BEFORE.iter().chain(lines).enumerate();
    all.map(|(n, line)| {
        let (core, what) = match line.strip_prefix("1: ") {
            Some(what) => (1, what),
            None => (0, *line),
        };
        format!("{n} core={core} task={} {what}", core + 1)
            .parse()
            .unwrap_or_else(|e| panic!("{name}: {line}: {e}"))
    })
    .collect()
}

/// The first violation, and at which event.
fn first_violation(events: &[Event]) -> Option<(usize, Violation)> {
    let mut checker = Checker::new();
    let mut steps = events.iter().map(|event| checker.step(event)).enumerate();
    steps.find_map(|(n, result)| Some((n, *result.err()?)))
}

/// The violation at the last line, and none before.
fn violation(name: &str, lines: &[&str]) -> Violation {
    let events = events(name, lines);
    let found = first_violation(&events);
    let (at, violation) = found.unwrap_or_else(|| panic!("{name}: no rule is broken"));
    assert_eq!(at + 1, events.len(), "{name}: {violation}");
    violation
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

/// The events of a step where `violation` says that it is missing.
fn carried_out(step: &Step, violation: &Violation, before: &[Event]) -> Vec<(u8, What)> {
    let at = &violation.at;
    let asid_of = |root| {
        before.iter().rev().find_map(|e| match e.what {
            What::Ttbr0 { root: own, asid } if own == root => Some(asid),
            _ => None,
        })
    };
    let one = |core, what| Vec::from([(core, what)]);
    match *step {
        Step::Zero => {
            let What::Store { new, .. } = at.what else {
                panic!("{at}");
            };
            one(
                at.core,
                What::Zero {
                    frame: new & !0xfff,
                },
            )
        }
        Step::Break => one(at.core, broken(violation, before)),
        Step::LeaveRoot => {
            let leave = |core| {
                let (root, asid) = (0xf000, 9);
                [(core, What::Ttbr0 { root, asid }), (core, What::Isb)]
            };
            (0..2).flat_map(leave).collect()
        }
        Step::Order(core) => one(core, What::Dmb(Barrier::Ishst)),
        Step::Dsb(core) => one(core, What::Dsb(Barrier::Ishst)),
        Step::Tlbi {
            core, va, tables, ..
        } => {
            let op = if tables { Op::VAAE1IS } else { Op::VAALE1IS };
            one(core, What::tlbi(op, va >> 12 & 0xfff_ffff_ffff))
        }
        Step::TlbiSpace(core) => {
            let asid = match at.what {
                What::Ttbr0 { asid, .. } => asid,
                What::Free { frame } => asid_of(frame).unwrap(),
                _ => panic!("{at}"),
            };
            one(core, What::tlbi(Op::ASIDE1IS, u64::from(asid) << 48))
        }
        Step::Complete(core) => one(core, What::Dsb(Barrier::Ish)),
        Step::Isb(core) => one(core, What::Isb),
        ref step => panic!("{step}: not known here"),
    }
}

/// The store that breaks what is live.
fn broken(violation: &Violation, before: &[Event]) -> What {
    let leads = |new: u64| match violation.at.what {
        What::Free { frame } => new & 0xffff_ffff_f000 == frame,
        _ => false,
    };
    let made = before
        .iter()
        .rfind(|e| matches!(e.what, What::Store { new, .. } if leads(new)));
    let store = match violation.at.what {
        What::Store { .. } => Some(&violation.at),
        _ => made,
    };
    let What::Store {
        slot,
        va,
        level,
        old,
        new,
    } = store.expect("a store").what
    else {
        panic!("{violation}");
    };
    let old = if violation.why == Reason::OverLive {
        old
    } else {
        new
    };
    What::Store {
        slot,
        va,
        level,
        old,
        new: 0,
    }
}

/// The program with these steps, where they are said to be missing: `late` is right before the event that breaks the rule.
fn repaired(events: &[Event], violation: &Violation, steps: &[Step], late: bool) -> Vec<Event> {
    let at = events.len() - 1;
    let after = violation.after.filter(|_| !late);
    let place = after.map_or(at, |after| after.sequence as usize + 1);
    let mut all = events[..place].to_vec();
    for step in steps {
        for (core, what) in carried_out(step, violation, &events[..at]) {
            let task = u16::from(core) + 1;
            all.push(Event {
                core,
                task,
                what,
                ..events[at]
            });
        }
    }
    all.extend(&events[place..]);
    if let (true, Some(last)) = (steps.contains(&Step::Break), all.last_mut())
        && let What::Store { old, .. } = &mut last.what
    {
        *old = 0;
    }
    for (n, event) in all.iter_mut().enumerate() {
        event.sequence = n as u32;
    }
    all
}

/// The steps that are called missing repair each program, between the two events that are named; and no step is named that
/// is not missing.
#[test]
fn the_missing_steps_are_what_is_missing() {
    let file = include_str!("violations.txt");
    let mut repairs = 0;
    for case in file.split("\n\n") {
        let lines: Vec<&str> = case
            .lines()
            .filter(|l| !l.starts_with([' ', '#']))
            .collect();
        let name = case.lines().next().unwrap();
        let events = events(name, &lines);
        let violation = violation(name, &lines);
        let steps = &violation.missing;
        if steps.is_empty() {
            assert!(
                matches!(violation.why, Reason::Operand(_) | Reason::Foreign(_)),
                "{name}"
            );
            continue;
        }
        repairs += 1;
        for late in [false, true] {
            let found = first_violation(&repaired(&events, &violation, steps, late));
            assert!(
                found.is_none(),
                "{violation}\nrepaired: {}",
                found.unwrap().1
            );
        }
        // Right before the event, where nothing that is there already takes a step's place.
        for left_out in 0..steps.len() {
            let mut fewer = steps.clone();
            let step = fewer.remove(left_out);
            let found = first_violation(&repaired(&events, &violation, &fewer, true));
            assert!(found.is_some(), "{violation}\nnot missing: {step}");
        }
    }
    assert!(repairs > 25, "{repairs}");
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

/// The tables of the rules have what a violation says.
#[test]
fn each_title_is_in_the_tables() {
    let row = |rule: Rule| format!("| {} | {} |", rule.name(), rule.title());
    let rows: Vec<String> = Rule::ALL.map(row).into();
    for page in [include_str!("../README.md"), include_str!("../src/lib.rs")] {
        let lines = page.lines().map(|line| line.trim_start_matches("//! "));
        let found: Vec<&str> = lines.filter(|line| line.starts_with("| R")).collect();
        assert_eq!(found, rows);
    }
}
