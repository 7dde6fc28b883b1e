//! A trace that begins in the middle: the rules need no more than its description of how things stood. Whatever comes
//! behind it is judged as if they had been given all that was before.

use mmu_check::event::{AccessKind, Barrier, Call, Expect, What};
use mmu_check::machine::{Bug, Chance, Site, run, scenario};
use mmu_check::trace::{self, Header, Writer};
use mmu_check::{Checker, Coverage, Event, Op, Reason, Violation};

use crate::any::{KINDS, Numbers, event};
use crate::random::near;

fn described(checker: &Checker) -> Vec<Event> {
    let mut events = Vec::new();
    checker.describe(&mut |event| events.push(event)).unwrap();
    events
}

/// A new checker that knows what this one knows.
fn continued(checker: &Checker) -> Checker {
    let mut new = Checker::new();
    for event in described(checker) {
        new.assume(&event);
    }
    assert_eq!(new.owed(), None);
    assert_eq!(*new.coverage(), Coverage::default());
    // It would say the same of how things stand, word by word.
    let same = described(&new).into_iter().zip(described(checker));
    same.for_each(|(a, b)| assert_eq!(a.to_string(), b.to_string()));
    assert_eq!(described(&new).len(), described(checker).len());
    new
}

/// What a violation is, apart from the events before it, which are left out, and from the number of a store that owes.
fn essence(violation: &Violation) -> (&'static str, Reason, u64, Event, Option<(u64, u64)>) {
    let owes = violation.owes.map(|owes| match owes.what {
        What::Store { slot, new, .. } => (slot, new),
        other => panic!("{other} owes nothing"),
    });
    let rule = violation.rule.name();
    (rule, violation.why, violation.address, violation.at, owes)
}

/// Gives both the same, and compares what they say of each: by `of`.
fn compare<T: PartialEq + std::fmt::Debug>(
    whole: &mut Checker,
    cut: &mut Checker,
    events: &[Event],
    of: fn(&Violation) -> T,
) -> u64 {
    let mut violations = 0;
    for event in events {
        let [a, b] = [&mut *whole, &mut *cut].map(|checker| checker.step(event).err());
        let [a, b] = [a, b].map(|found| found.map(|violation| of(&violation)));
        assert_eq!(a, b, "at {event}");
        violations += u64::from(a.is_some());
    }
    violations
}

/// What there was to check behind the cut. The first use of a mapping is the first that is known.
fn assert_same_coverage(before: &Coverage, whole: &Coverage, cut: &Coverage) {
    let whole = whole.counts().into_iter().zip(before.counts());
    for (((name, whole), (_, before)), (_, cut)) in whole.zip(cut.counts()) {
        if name == "used mappings" {
            assert!(cut >= whole - before, "{name}");
        } else {
            assert_eq!(cut, whole - before, "{name}");
        }
    }
}

/// Cut at every tenth moment at which that can be done.
#[test]
fn what_is_behind_the_cut_is_judged_alike() {
    let (mut cuts, mut violations) = (0, 0);
    for bug in [
        None,
        Some(Bug::Omitted(Site::PublishIsb)),
        Some(Bug::Omitted(Site::PublishDsb)),
        Some(Bug::RemappedEarly),
    ] {
        for scenario in &scenario::ALL {
            let run = run(
                scenario,
                crate::setup(bug),
                Checker::new(),
                Chance::seeded(5),
            );
            let (mut checker, mut settled) = (Checker::new(), 0);
            for (at, event) in run.trace.iter().enumerate() {
                let _ = checker.step(event);
                settled += u64::from(checker.owed().is_none());
                if checker.owed().is_some() || settled % 10 != 1 {
                    continue;
                }
                cuts += 1;
                let mut cut = continued(&checker);
                let mut whole = Checker::new();
                for event in &run.trace[..=at] {
                    let _ = whole.step(event);
                }
                violations += compare(&mut whole, &mut cut, &run.trace[at + 1..], essence);
                assert_same_coverage(checker.coverage(), whole.coverage(), cut.coverage());
            }
        }
    }
    assert!(cuts > 100 && violations > 100, "{cuts} {violations}");
}

/// What a kernel writes from the middle on is read, and found the same in.
#[test]
fn a_trace_that_begins_in_the_middle_is_one() {
    let bug = Some(Bug::Omitted(Site::PublishIsb));
    let mut found_any = false;
    for scenario in &scenario::ALL {
        let run = run(
            scenario,
            crate::setup(bug),
            Checker::new(),
            Chance::seeded(9),
        );
        let mut checker = Checker::new();
        let mut events = run.trace.iter();
        for event in events.by_ref().take(run.trace.len() / 2) {
            let _ = checker.step(event);
        }
        let mut writer = Writer::new(String::new(), Header { clock: 7 });
        let begun = events.by_ref().any(|event| {
            let _ = checker.step(event);
            writer.state(&checker).unwrap().is_none()
        });
        if !begun {
            continue;
        }
        let before = *checker.coverage();
        let mut expected = Vec::new();
        for event in events {
            writer.write(*event).unwrap();
            expected.extend(
                checker
                    .step(event)
                    .err()
                    .map(|violation| essence(&violation)),
            );
        }
        let text = writer.finish().unwrap();
        let (mut cut, mut found) = (Checker::new(), Vec::new());
        let summary = trace::check(&mut cut, text.as_bytes(), trace::MEMORY_MAX, |violation| {
            found.push(essence(&violation));
        });
        let summary = summary.unwrap();
        assert_eq!(summary.run.before, before.events);
        assert!(summary.run.stated > 0);
        assert_eq!(found, expected, "{}", scenario.name);
        assert_same_coverage(&before, checker.coverage(), cut.coverage());
        found_any |= !found.is_empty();
    }
    assert!(found_any);
}

/// Any events; then everything is paid, but that some core may not synchronise; there the cut; and any events again.
#[test]
fn whatever_was_before_is_told() {
    let mut n = Numbers(21);
    let (mut cuts, mut violations) = (0, 0);
    for _ in 0..2000 {
        let mut whole = Checker::new();
        for _ in 0..n.below(3) + 1 {
            for event in some(&mut n) {
                let _ = whole.step(&event);
            }
            for event in paid(&mut n) {
                let _ = whole.step(&event);
            }
        }
        if whole.owed().is_some() {
            continue;
        }
        cuts += 1;
        let mut cut = continued(&whole);
        // Of many debts at once any may be the one that is named.
        let rule = |violation: &Violation| violation.rule;
        violations += compare(&mut whole, &mut cut, &relying(&mut n), rule);
        violations += compare(&mut whole, &mut cut, &some(&mut n), rule);
    }
    assert!(cuts > 400 && violations > 1000, "{cuts} {violations}");
}

const CORES: [u8; 3] = [0, 1, 7];

fn at(core: u8, task: u16, what: What) -> Event {
    Event {
        sequence: 0,
        time: 0,
        core,
        task,
        what,
    }
}

fn some(n: &mut Numbers) -> Vec<Event> {
    let count = n.below(40);
    let mut events = Vec::new();
    for _ in 0..count {
        let kind = n.below(KINDS);
        let what = near(event(kind, n).what, n);
        // Runs of stores are many, and the same.
        if matches!(what, What::Stores { .. }) {
            continue;
        }
        events.push(at(n.of(&CORES), n.of(&[0, 1, u16::MAX]), what));
    }
    events
}

/// A page of those that [`paid`] maps.
fn page(n: &mut Numbers) -> (u64, u64) {
    let index = n.below(8);
    (0x8000 + 8 * index, 0xffff_8000_0000_0000 + 4096 * index)
}

/// What shows which core and which task has synchronised with what, and whose the frames are.
fn relying(n: &mut Numbers) -> Vec<Event> {
    let mut events = Vec::new();
    for _ in 0..20 {
        let what = match n.below(6) {
            0 => What::ExceptionEntry,
            1 => What::Free {
                frame: n.below(4) << 12,
            },
            2 => What::Call(n.of(Call::ALL)),
            3 => n.of(&[What::IrqEnter, What::IrqExit]),
            _ => What::Access {
                va: page(n).1,
                kind: AccessKind::Read,
                expect: n.of(&[Expect::Works, Expect::Retries]),
            },
        };
        events.push(at(n.of(&CORES), n.of(&[0, 1, 6]), what));
    }
    events
}

/// Everything is paid, and then some mappings are made that not every core synchronises with.
fn paid(n: &mut Numbers) -> Vec<Event> {
    let all = Op::named("vmalle1is").unwrap();
    let mut events = Vec::new();
    for _ in 0..2 {
        for core in CORES {
            events.push(at(core, 5, What::Dsb(Barrier::Ish)));
            events.push(at(
                core,
                5,
                What::Tlbi {
                    op: all,
                    operand: 0,
                },
            ));
            events.push(at(core, 5, What::Dsb(Barrier::Ish)));
        }
        for core in CORES {
            events.push(at(core, 5, What::Isb));
            events.push(at(core, 5, What::Isb));
        }
    }
    // The core that is heard of last is any.
    for _ in 0..n.below(4) {
        let frame = n.below(4) << 12;
        events.push(at(0, 5, What::Alloc { frame }));
        let (slot, va) = page(n);
        let new = 0x703 | (n.below(4) << 12);
        let (level, old) = (3, 0);
        events.push(at(
            0,
            5,
            What::Store {
                slot,
                va,
                level,
                old,
                new,
            },
        ));
        events.push(at(0, 5, What::Dsb(Barrier::Ishst)));
        if n.flag() {
            CORES
                .iter()
                .for_each(|core| events.push(at(*core, 5, What::Isb)));
        }
    }
    for _ in 0..n.below(4) {
        let (core, task) = (n.of(&CORES), n.of(&[0, 1, 6]));
        let irq = n.flag();
        if irq {
            events.push(at(core, task, What::IrqEnter));
        }
        for _ in 0..n.below(3) {
            let (slot, va) = page(n);
            let store = What::Store {
                slot,
                va,
                level: 3,
                old: 0,
                new: 0x703 | (n.below(4) << 12),
            };
            events.push(at(core, task, store));
        }
        events.push(at(core, task, What::Dsb(Barrier::Ishst)));
        let synchronises = n.of(&[
            What::Isb,
            What::ExceptionEntry,
            What::ExceptionReturn,
            What::Owe,
        ]);
        events.push(at(n.of(&CORES), n.of(&[0, 1, 6]), synchronises));
        if irq {
            events.push(at(core, task, What::IrqExit));
        }
        if n.below(4) == 0 {
            events.push(at(core, 6, What::TaskEnd));
        }
    }
    events
}

/// What would have to be said of debts cannot be said: not by the checker, and not in a trace.
#[test]
fn debts_are_not_left_open_across_the_cut() {
    let lines = [
        "core=0 task=1 zero frame=0x3000",
        "core=0 task=1 dsb ish",
        "core=0 task=1 store slot=0x2000 va=0xffff000000000000 level=2 old=0x0 new=0x3003",
        "core=0 task=1 dsb ishst",
        "core=0 task=1 store slot=0x2000 va=0xffff000000000000 level=2 old=0x3003 new=0x0",
        "core=0 task=1 dsb ishst",
        "core=0 task=1 tlbi vmalle1is 0x0",
        "core=0 task=1 dsb ish",
        "core=0 task=1 isb",
        "core=0 task=1 ttbr0 root=0x1000 asid=1",
        "core=0 task=1 isb",
        "core=0 task=1 ttbr0 root=0x2000 asid=2",
        "core=0 task=1 isb",
        "core=0 task=1 isb",
    ];
    let store = Some("no DSB has followed a store");
    let invalid = Some("an invalidation is not complete");
    let ttbr0 = Some("a core may not have left what its TTBR0 had");
    let owed = [
        store, None, store, None, invalid, invalid, invalid, invalid, None, ttbr0, None, ttbr0,
        ttbr0, None,
    ];
    let mut checker = Checker::new();
    let mut stated = "mmu-check trace 1 clock=0\n".to_owned();
    for (number, (line, owed)) in lines.iter().zip(owed).enumerate() {
        let line = format!("{number} {line}");
        checker.step(&line.parse().unwrap()).unwrap();
        assert_eq!(checker.owed(), owed, "{line}");
        assert_eq!(checker.describe(&mut |_| ()).err(), owed);
        let mut writer = Writer::new(String::new(), Header { clock: 0 });
        assert_eq!(writer.state(&checker), Ok(owed));
        // As a trace that states all of these.
        stated += &format!("{line}\n");
        let text = format!(
            "{stated}run first=0 stated={} before=1\n0 core=0 task=1 isb\nend events=1\n",
            number + 1
        );
        let result = trace::check(
            &mut Checker::new(),
            text.as_bytes(),
            trace::MEMORY_MAX,
            |_| (),
        );
        let refused = result
            .err()
            .map(|error| (error.line, error.wrong.to_string()));
        let words = |owed| format!("a run cannot begin here: by the lines before it, {owed}");
        assert_eq!(refused, owed.map(|owed| (number as u64 + 3, words(owed))));
    }
}

/// An exception's entry counts for what was settled before the core's report before it. Where a DSB was the very next event,
/// no other event says the same.
#[test]
fn the_cut_waits_for_a_core_that_has_just_entered_an_exception() {
    let owed = Some("a core has not synchronised its context with a mapping");
    let mut checker = Checker::new();
    for (line, owed) in [
        ("0 core=1 task=2 isb", None),
        (
            "1 core=0 task=1 store slot=0x3000 va=0xffff000000000000 level=3 old=0x0 new=0x703",
            Some("no DSB has followed a store"),
        ),
        ("2 core=1 task=2 owe", Some("no DSB has followed a store")),
        ("3 core=0 task=1 dsb ishst", None),
        ("4 core=1 task=2 exception-entry", owed),
        ("5 core=0 task=1 isb", owed),
        ("6 core=1 task=2 exception-return", None),
    ] {
        checker.step(&line.parse().unwrap()).unwrap();
        assert_eq!(checker.owed(), owed, "{line}");
    }
}

#[test]
fn what_is_stated_is_whole() {
    let text = "\
mmu-check trace 1 clock=0
0 core=0 task=1 zero frame=0x3000
1 core=0 task=1 dsb ish
run first=9 stated=2 before=7
9 core=0 task=1 isb
end events=1
";
    let check = |text: &str| {
        let result = trace::check(
            &mut Checker::new(),
            text.as_bytes(),
            trace::MEMORY_MAX,
            |_| (),
        );
        result
            .map(|summary| summary.run.before)
            .map_err(|error| error.to_string())
    };
    assert_eq!(check(text), Ok(7));
    for (change, to, words) in [
        (
            "1 core=0 task=1 dsb ish\n",
            "",
            "line 3: it counts 2 before it, and there were 1",
        ),
        (
            "0 core=0 task=1 zero frame=0x3000\n",
            "",
            "line 2: event 1, and 0 is next",
        ),
        ("9 core", "8 core", "line 5: event 8, and 9 is next"),
        (
            "run first=9 stated=2 before=7\n",
            "",
            "line 4: event 9, and 2 is next",
        ),
    ] {
        let error = check(&text.replace(change, to)).unwrap_err();
        assert!(error.starts_with(words), "{error}");
    }
}

/// Nothing was before: the trace says that, and no more.
#[test]
fn nothing_is_told_of_nothing() {
    let mut writer = Writer::new(String::new(), Header { clock: 1 });
    assert_eq!(writer.state(&Checker::new()), Ok(None));
    writer
        .write("3 core=0 task=0 isb".parse().unwrap())
        .unwrap();
    let text = "mmu-check trace 1 clock=1\nrun first=3 stated=0 before=0\n3 core=0 task=0 isb\nend events=1\n";
    assert_eq!(writer.finish().unwrap(), text);
}
