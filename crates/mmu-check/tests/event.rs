//! Events as text and as words, and stores in runs: what goes in comes out.

mod any;

use any::{KINDS, Numbers, event, what};
use mmu_check::event::{Merge, What};
use mmu_check::{Checker, Event};

/// The match has no arm for others, so a new kind does not compile before it is counted.
fn number_of(what: What) -> u64 {
    match what {
        What::Store { .. } => 0,
        What::Stores { .. } => 1,
        What::Zero { .. } => 2,
        What::Dsb(_) => 3,
        What::Dmb(_) => 4,
        What::Isb => 5,
        What::Tlbi { .. } => 6,
        What::Ttbr0 { .. } => 7,
        What::Switch { .. } => 8,
        What::ExceptionEntry => 9,
        What::ExceptionReturn => 10,
        What::IrqEnter => 11,
        What::IrqExit => 12,
        What::CoreStart => 13,
        What::Free { .. } => 14,
        What::Alloc { .. } => 15,
        What::Contract(_) => 16,
        What::Call(_) => 17,
        What::TaskEnd => 18,
        What::Done { .. } => 19,
        What::Access { .. } => 20,
        What::Policy(_) => 21,
        What::Hook(_) => 22,
        What::Owe => 23,
        What::Reenter { .. } => 24,
        What::Window { .. } => 25,
    }
}

#[test]
fn every_kind_is_read_as_it_was_written() {
    let mut n = Numbers(1);
    for kind in 0..KINDS {
        for _ in 0..500 {
            let event = event(kind, &mut n);
            assert_eq!(number_of(event.what), kind);
            assert_eq!(event.to_string().parse(), Ok(event), "{event}");
            assert_eq!(Event::from_words(event.to_words()), Some(event), "{event}");
        }
    }
}

#[test]
fn an_event_is_nine_words() {
    assert_eq!(Event::WORDS, 9);
    assert_eq!(size_of::<Event>(), 72);
}

#[test]
fn what_no_event_has_made_is_none() {
    assert_eq!(Event::from_words([0; Event::WORDS]), None);
    // Words of two events, or of nothing at all: an event or none, and no panic. What is taken for an
    // event has the words that it came from, but for those that its kind has not.
    let mut n = Numbers(2);
    let mut taken = 0;
    for _ in 0..100_000 {
        let mut words = [0; Event::WORDS].map(|_| n.any());
        words[0] = (words[0] & !(0xff << 40)) | n.below(32) << 40;
        if let Some(event) = Event::from_words(words) {
            taken += 1;
            assert_eq!(Event::from_words(event.to_words()), Some(event));
        }
    }
    assert!(taken > 1000);
}

#[test]
fn text_of_each_new_kind() {
    for text in [
        "7 core=1 task=2 stores slot=0x3008 va=0x1000 level=3 old=0x0 new=0x40000707 old-step=0x0 \
         new-step=0x1000 count=3",
        "7 time=99 core=1 task=2 owe",
        "7 core=1 task=2 hook leave",
        "7 core=1 task=2 policy linux7",
        "7 core=1 task=2 reenter begin=1",
        "7 core=1 task=2 window tag=0x12 open=0",
    ] {
        let event: Event = text.parse().unwrap();
        assert_eq!(event.to_string(), text);
    }
    let time_0: Event = "0 time=0x0 core=0 task=0 owe".parse().unwrap();
    assert_eq!(time_0.to_string(), "0 core=0 task=0 owe");
}

#[test]
fn lines_that_are_no_event_say_where() {
    let stores = "stores slot=0x3ff0 va=0x0 level=3 old=0x0 new=0x1 old-step=0x0 new-step=0x0";
    for (line, expected) in [
        ("1 time=x core=0 task=0 isb", "time= expected at word 2"),
        ("1 core=0 time=1 task=0 isb", "task= expected at word 3"),
        ("1 core=8 task=0 isb", "core= below 8 expected at word 2"),
        ("1 core=0 task=0 hook land", "a hook expected at word 5"),
        (
            "1 core=0 task=0 reenter begin=2",
            "begin= expected at word 5",
        ),
        (
            "4294967296 core=0 task=0 isb",
            "a sequence number expected at word 1",
        ),
        (
            "+1 core=0 task=0 isb",
            "a sequence number expected at word 1",
        ),
        ("1 core=0 task=65536 isb", "task= expected at word 3"),
        ("1 core=0 task=-1 isb", "task= expected at word 3"),
        (
            "1 core=0 task=0 isb isb",
            "the end of the line expected at word 5",
        ),
        ("1 core=0 task=0", "an event's name expected at word 4"),
        (
            "1 core=0 task=0 zero frame=0x3008",
            "frame= of 48 bits, a multiple of 4096, expected at word 5",
        ),
        (
            "1 core=0 task=0 free frame=0x1000000000000",
            "frame= of 48 bits, a multiple of 4096, expected at word 5",
        ),
        (
            "1 core=0 task=0 alloc frame=0x10000000000000000",
            "frame= expected at word 5",
        ),
        (
            "1 core=0 task=0 ttbr0 root=0x3001 asid=0",
            "root= of 48 bits, a multiple of 4096, expected at word 5",
        ),
        (
            "1 core=0 task=0 ttbr0 root=0x3000 asid=65536",
            "asid= expected at word 6",
        ),
        (
            "1 core=0 task=0 store slot=0x3004 va=0x0 level=3 old=0x0 new=0x1",
            "slot= of 48 bits, a multiple of 8, expected at word 5",
        ),
        (
            "1 core=0 task=0 store slot=0x3000 va=0x1000000000000 level=3 old=0x0 new=0x1",
            "va= of either half expected at word 6",
        ),
        (
            "1 core=0 task=0 store slot=0x3000 va=0x0 level=4 old=0x0 new=0x1",
            "level= of 0 to 3 expected at word 7",
        ),
        (
            "1 core=0 task=0 tlbi vmalle1is 0x1",
            "an operand, 0 where there is none, expected at word 6",
        ),
        (
            "1 core=0 task=0 tlbi vae1is 0x10000000000000000",
            "an operand, 0 where there is none, expected at word 6",
        ),
        (
            "1 core=0 task=0 done va=0x0 pages=9223372036854775808 asid=0 tables=0",
            "pages= up to 2^36 expected at word 6",
        ),
        (
            &format!("1 core=0 task=0 {stores} count=3"),
            "count= within the table expected at word 12",
        ),
        (
            &format!("1 core=0 task=0 {stores} count=0"),
            "count= within the table expected at word 12",
        ),
    ] {
        let error = line.parse::<Event>().unwrap_err().to_string();
        assert_eq!(error, format!("no event: {expected}"), "{line}");
    }
}

fn merged(events: &[Event]) -> Vec<Event> {
    let mut merge = Merge::new();
    let pushed = events.iter().flat_map(|event| merge.push(*event));
    let mut written: Vec<Event> = pushed.flatten().collect();
    written.extend(merge.flush());
    assert_eq!(merge.flush(), None);
    written
}

/// Stores from `first` on to neighbours, `count` of them.
fn run(sequence: u32, first: What, steps: (u64, u64), count: u64) -> Vec<Event> {
    let What::Store {
        slot,
        va,
        level,
        old,
        new,
    } = first
    else {
        panic!("{first} is no store");
    };
    let store = |n: u64| Event {
        sequence: sequence.wrapping_add(n as u32),
        time: 0,
        core: 1,
        task: 2,
        what: What::Store {
            slot: slot + 8 * n,
            va: va.wrapping_add(n << (39 - 9 * level)),
            level,
            old: old.wrapping_add(steps.0.wrapping_mul(n)),
            new: new.wrapping_add(steps.1.wrapping_mul(n)),
        },
    };
    (0..count).map(store).collect()
}

const FIRST: What = What::Store {
    slot: 0x3000,
    va: 0xffff_0000_0000_0000,
    level: 3,
    old: 0,
    new: 0x40_0707,
};

#[test]
fn a_tables_worth_of_stores_is_one_event() {
    for (steps, sequence) in [
        ((0, 4096), 0),
        ((4096, 0u64.wrapping_sub(4096)), u32::MAX - 3),
    ] {
        let stores = run(sequence, FIRST, steps, 512);
        let written = merged(&stores);
        assert_eq!(written.len(), 1);
        assert_eq!(written[0].count(), 512);
        assert_eq!(written[0].singles().collect::<Vec<_>>(), stores);
        assert_eq!(written[0].to_string().parse(), Ok(written[0]));
    }
}

/// The table's end, and whatever is between or different, ends a run.
#[test]
fn a_run_ends_where_it_does_not_go_on() {
    let whole = run(5, FIRST, (0, 4096), 6);
    let change = |change: fn(&mut Event)| {
        let mut stores = whole.clone();
        change(&mut stores[3]);
        let counts: Vec<u64> = merged(&stores).iter().map(Event::count).collect();
        let singles: Vec<Event> = merged(&stores).iter().flat_map(Event::singles).collect();
        assert_eq!(singles, stores);
        counts
    };
    // The fourth differs; the fifth does not go on behind it either.
    assert_eq!(change(|_| ()), [6]);
    assert_eq!(change(|e| e.core = 0), [3, 1, 2]);
    assert_eq!(change(|e| e.task = 0), [3, 1, 2]);
    assert_eq!(change(|e| e.sequence = 0), [3, 1, 2]);
    assert_eq!(change(|e| e.what = What::Isb), [3, 1, 2]);
    assert_eq!(
        change(|e| e.what = FIRST),
        [3, 1, 2],
        "neither place nor value goes on"
    );
    let other = |e: &mut Event| {
        if let What::Store { new, .. } = &mut e.what {
            *new += 8;
        }
    };
    assert_eq!(change(other), [3, 2, 1], "another value in its place");
    let last = What::Store {
        slot: 0x3ff0,
        va: 0x1000,
        level: 3,
        old: 0,
        new: 1,
    };
    let counts: Vec<u64> = merged(&run(0, last, (0, 0), 4))
        .iter()
        .map(Event::count)
        .collect();
    assert_eq!(counts, [2, 2], "two tables");
}

/// A run has the time of its first store.
#[test]
fn stores_at_different_times_are_one_run() {
    let mut stores = run(5, FIRST, (0, 4096), 6);
    for (n, store) in stores.iter_mut().enumerate() {
        store.time = 100 + 7 * n as u64;
    }
    let written = merged(&stores);
    assert_eq!(written.len(), 1);
    assert_eq!((written[0].count(), written[0].time), (6, 100));
}

/// Whatever the events, what is written stands for them.
#[test]
fn what_is_merged_comes_apart_again() {
    let mut n = Numbers(3);
    let mut longest = 0;
    for _ in 0..2000 {
        let mut events: Vec<Event> = Vec::new();
        for _ in 0..n.below(8) {
            let next = events
                .last()
                .map_or(0, |e: &Event| e.sequence.wrapping_add(1));
            if n.flag() {
                let kind = n.below(KINDS);
                // A run from elsewhere stays one.
                let events_of = event(kind, &mut n);
                events.extend(events_of.singles().take(600));
            } else {
                let steps = (n.of(&[0, 8, 4096]), n.of(&[0, 4096, u64::MAX]));
                let (at, count) = (n.below(512), 1 + n.below(20));
                let first = What::Store {
                    slot: 0x3000 + 8 * at,
                    va: n.of(&[0, 0xffff_ffff_ffff_f000]),
                    level: n.of(&[2, 3]),
                    old: n.any(),
                    new: n.any(),
                };
                events.extend(run(next, first, steps, count));
            }
        }
        let written = merged(&events);
        longest = written
            .iter()
            .map(Event::count)
            .max()
            .unwrap_or(0)
            .max(longest);
        // Times within a run are the run's.
        let untimed = |mut event: Event| {
            event.time = 0;
            event
        };
        let apart: Vec<Event> = written
            .iter()
            .flat_map(Event::singles)
            .map(untimed)
            .collect();
        let events: Vec<Event> = events.into_iter().map(untimed).collect();
        assert_eq!(apart, events);
    }
    assert!(longest > 10, "{longest}");
}

/// The rules hear the same of a run as of its stores.
#[test]
fn the_rules_take_a_run_for_its_stores() {
    // A table that somebody has linked long ago.
    let zero = "0 core=1 task=2 owe".parse().unwrap();
    let stores = run(1, FIRST, (0, 4096), 300);
    let access = "301 core=1 task=2 access read works va=0xffff000000080000"
        .parse()
        .unwrap();
    let events = [&[zero], &stores[..], &[access]].concat();
    let heard = |events: &[Event]| {
        let mut checker = Checker::new();
        let results: Vec<_> = events.iter().map(|event| checker.step(event)).collect();
        let violations: Vec<_> = results.into_iter().filter_map(Result::err).collect();
        (violations, *checker.coverage())
    };
    let (one_by_one, coverage) = heard(&events);
    let written = merged(&events);
    assert_eq!(written.len(), 3);
    assert_eq!(heard(&written), (one_by_one.clone(), coverage));
    assert_eq!((coverage.events, coverage.mappings), (301, 300));
    assert_eq!(one_by_one.len(), 1);
    let owed = one_by_one[0].owes.unwrap();
    assert_eq!(owed, stores[128], "the store that owes, not the run");
    // In a report it is one line, and what no rule looks at is none.
    assert_eq!(
        one_by_one[0].last().copied().collect::<Vec<_>>(),
        written[1..2]
    );
}

/// Of a run that breaks a rule at one of its stores, that one is named.
#[test]
fn a_store_of_a_run_that_breaks_a_rule_is_named() {
    let mapped = run(0, FIRST, (0, 4096), 8);
    // Another page in place of each.
    let replaced = What::Store {
        slot: 0x3020,
        va: 0xffff_0000_0000_4000,
        level: 3,
        old: 0x40_4707,
        new: 0x80_4707,
    };
    let mut checker = Checker::new();
    checker.step(&merged(&mapped)[0]).unwrap();
    let replaced = run(8, replaced, (4096, 4096), 3);
    let violation = checker.step(&merged(&replaced)[0]).unwrap_err();
    assert_eq!((violation.rule.name(), violation.at), ("R2", replaced[0]));
}

/// What is for pictures changes nothing that the rules say, and does not count as something to check.
#[test]
fn the_rules_pass_over_what_is_for_pictures() {
    let mut n = Numbers(4);
    let mut checker = Checker::new();
    for kind in 21..KINDS {
        let event = Event {
            core: 0,
            ..event(kind, &mut n)
        };
        assert!(!event.what.is_judged());
        assert_eq!(checker.step(&event), Ok(()));
    }
    assert_eq!(checker.coverage().events, 0);
    for kind in 0..21 {
        assert!(what(kind, &mut n).is_judged());
    }
}
