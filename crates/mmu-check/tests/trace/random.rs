//! Good traces with something done to them, and events with the largest and the smallest values: an error with a
//! line of the trace, or none, and never a panic. Overflow checks are on in the tests.

use mmu_check::machine::{Bug, Chance, Site, run, scenario};
use mmu_check::trace::{self, Header, Writer};
use mmu_check::{Checker, Event, What};

use crate::any::{KINDS, Numbers, event, what};

/// The traces of all scenarios.
fn good() -> Vec<Vec<u8>> {
    let bug = Some(Bug::Omitted(Site::PublishIsb));
    let runs = scenario::ALL.iter().map(|scenario| {
        run(
            scenario,
            crate::setup(bug),
            Checker::new(),
            Chance::seeded(3),
        )
    });
    // Of a long one the beginning does.
    runs.map(|run| crate::written(&run.trace[..run.trace.len().min(400)]).into_bytes())
        .collect()
}

/// Cuts, swaps, repeats, drops, and flips bits. Returns the first line that is not as it was, from 1.
fn spoil(text: &mut Vec<u8>, n: &mut Numbers) -> u64 {
    let mut lines: Vec<Vec<u8>> = text
        .split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    let at = n.below(lines.len() as u64 - 1) as usize;
    match n.below(5) {
        0 => {
            lines.truncate(at + 1);
            let keep = n.below(lines[at].len() as u64) as usize;
            lines[at].truncate(keep);
        }
        1 => lines.swap(at, at + 1),
        2 => lines.insert(at + 1, lines[at].clone()),
        3 => drop(lines.remove(at)),
        _ => {
            let byte = n.below(lines[at].len() as u64) as usize;
            lines[at][byte] ^= 1 << n.below(8);
        }
    }
    *text = lines.concat();
    at as u64 + 1
}

#[test]
fn a_spoilt_trace_is_refused_in_its_line_or_taken() {
    let good = good();
    let mut n = Numbers(11);
    let (mut refused, mut taken) = (0, 0);
    for _ in 0..4000 {
        let mut text = n.of(&good.iter().collect::<Vec<_>>()).clone();
        let first = spoil(&mut text, &mut n);
        let lines = text.iter().filter(|byte| **byte == b'\n').count() as u64;
        match trace::check(&mut Checker::new(), &text[..], trace::MEMORY_MAX, |_| ()) {
            Ok(_) => taken += 1,
            Err(error) => {
                refused += 1;
                let line = error.line;
                assert!((first..=lines + 1).contains(&line), "{error}, from {first}");
            }
        }
    }
    // A flipped bit may make another number of the same form.
    assert!(refused > 3000 && taken > 0, "{refused} {taken}");
}

/// With its end a trace is taken if what was flipped makes another event of the same place: never if lines are
/// missing, twice, or out of order.
#[test]
fn lines_that_are_missing_twice_or_out_of_order_are_refused() {
    let scenario = &scenario::ALL[0];
    let run = run(
        scenario,
        crate::setup(None),
        Checker::new(),
        Chance::seeded(3),
    );
    let whole = crate::written(&run.trace);
    let lines: Vec<&str> = whole.lines().collect();
    let error = |lines: &[&str]| {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        trace::check(
            &mut Checker::new(),
            text.as_bytes(),
            trace::MEMORY_MAX,
            |_| (),
        )
        .map_err(|error| error.line)
    };
    assert!(error(&lines).is_ok());
    let mut n = Numbers(12);
    for _ in 0..300 {
        let at = n.below(lines.len() as u64 - 1) as usize;
        let (mut swapped, mut twice, mut without) = (lines.clone(), lines.clone(), lines.clone());
        swapped.swap(at, at + 1);
        twice.insert(at, lines[at]);
        without.remove(at);
        let line = at as u64 + 1;
        assert_eq!(error(&swapped), Err(line), "{}", lines[at]);
        assert_eq!(error(&twice), Err(line + 1), "{}", lines[at]);
        assert_eq!(error(&without), Err(line), "{}", lines[at]);
    }
}

#[test]
fn what_is_no_trace_at_all_is_refused() {
    let mut n = Numbers(13);
    for _ in 0..2000 {
        let length = n.below(300);
        let text: Vec<u8> = (0..length)
            .map(|_| n.of(b"0 \n=xend1core\xff\0#run"))
            .collect();
        assert!(trace::check(&mut Checker::new(), &text[..], trace::MEMORY_MAX, |_| ()).is_err());
    }
}

/// Any events of any kind, with few addresses, so that they meet; written, read, and judged.
#[test]
fn whatever_the_events_say_they_are_judged() {
    let mut n = Numbers(14);
    let mut violations = 0;
    for _ in 0..60 {
        let mut writer = Writer::new(String::new(), Header { clock: 1 });
        let mut sequence = n.any() as u32;
        for _ in 0..n.below(200) + 1 {
            let kind = n.below(KINDS);
            let mut event = event(kind, &mut n);
            (event.sequence, event.time) = (sequence, 0);
            (event.core, event.task) = (n.of(&[0, 1, 7]), n.of(&[0, 1, u16::MAX]));
            event.what = near(event.what, &mut n);
            sequence = sequence.wrapping_add(event.count() as u32);
            writer.write(event).unwrap();
        }
        let text = writer.finish().unwrap();
        let summary = trace::check(
            &mut Checker::new(),
            text.as_bytes(),
            trace::MEMORY_MAX,
            |_| (),
        );
        violations += summary.unwrap().violations;
    }
    assert!(violations > 500, "{violations}");
}

/// The same with few addresses and descriptors.
pub fn near(what: What, n: &mut Numbers) -> What {
    const FRAMES: [u64; 5] = [0, 0x1000, 0x2000, 0xffff_ffff_e000, 0xffff_ffff_f000];
    let index = n.of(&[0, 1, 511]);
    let half = n.of(&[0, 0xffff_0000_0000_0000]);
    let mut level = n.below(4);
    let frame = n.of(&FRAMES);
    let size = |level: u64| 1_u64 << (39 - 9 * level);
    let page = half | (index * size(level));
    let last = n.of(&[
        0,
        0xffff_ffff_ffff_f000,
        0x7fff_ffff_f000,
        0xffff_0000_0000_0000,
    ]);
    let mut desc = || n.of(&FRAMES) | n.of(&[0, 1, 3, 0x701, 0x703, 0xf03]);
    match what {
        What::Store { .. } => What::Store {
            slot: frame | (index * 8),
            va: page,
            level: level as u8,
            old: desc(),
            new: desc(),
        },
        What::Stores {
            old_step, new_step, ..
        } => {
            level = level.max(1);
            What::Stores {
                slot: frame,
                va: half,
                level: level as u8,
                old: desc(),
                new: desc(),
                old_step,
                new_step,
                count: 512,
            }
        }
        What::Zero { .. } => What::Zero { frame },
        What::Alloc { .. } => What::Alloc { frame },
        What::Free { .. } => What::Free { frame },
        What::Ttbr0 { .. } => What::Ttbr0 {
            root: frame,
            asid: index as u16,
        },
        What::Access { kind, expect, .. } => What::Access {
            va: last,
            kind,
            expect,
        },
        What::Done { pages, tables, .. } => What::Done {
            va: last,
            pages,
            asid: index as u16,
            tables,
        },
        other => other,
    }
}

/// A kernel gives events to a checker that no trace could have.
#[test]
fn what_no_trace_can_say_is_judged_too() {
    let mut n = Numbers(15);
    for _ in 0..200 {
        let mut checker = Checker::new();
        for _ in 0..100 {
            let kind = n.below(KINDS);
            let what = match what(kind, &mut n) {
                What::Store { old, new, .. } => What::Store {
                    slot: n.any(),
                    va: n.any(),
                    level: n.any() as u8,
                    old,
                    new,
                },
                What::Stores {
                    old,
                    new,
                    old_step,
                    new_step,
                    ..
                } => What::Stores {
                    slot: n.any(),
                    va: n.any(),
                    level: n.any() as u8,
                    old,
                    new,
                    old_step,
                    new_step,
                    count: n.below(600) as u16,
                },
                What::Zero { .. } => What::Zero { frame: n.any() },
                What::Alloc { .. } => What::Alloc { frame: n.any() },
                What::Free { .. } => What::Free { frame: n.any() },
                What::Ttbr0 { asid, .. } => What::Ttbr0 {
                    root: n.any(),
                    asid,
                },
                What::Done {
                    va, asid, tables, ..
                } => What::Done {
                    va,
                    pages: n.any(),
                    asid,
                    tables,
                },
                What::Tlbi { op, .. } => What::Tlbi {
                    op,
                    operand: n.any(),
                },
                other => other,
            };
            let event = Event {
                sequence: 0,
                time: 0,
                core: n.below(8) as u8,
                task: n.u16(),
                what,
            };
            // A violation or none.
            let _ = checker.step(&event);
        }
    }
}

/// Tables that are linked in circles, everywhere: what one store withdraws is bounded.
#[test]
fn tables_in_circles_end() {
    let mut text = String::new();
    let mut sequence = 0;
    let mut line = |what: &str| {
        text += &format!("{sequence} core=0 task=0 {what}\n");
        sequence += if what.starts_with("stores") { 512 } else { 1 };
    };
    for level in 0..3 {
        let slot = 0x1000 * (level + 1);
        for frame in [0x1003, 0x2003, 0x3003] {
            line(&format!(
                "stores slot={slot:#x} va=0xffff000000000000 level={level} old=0x0 new={frame:#x} \
                 old-step=0x0 new-step=0x0 count=512"
            ));
        }
    }
    for _ in 0..20 {
        for (old, new) in [("0x3003", "0x0"), ("0x0", "0x3003")] {
            let store = "store slot=0x1000 va=0xffff000000000000 level=0";
            line(&format!("{store} old={old} new={new}"));
        }
    }
    trace::check(
        &mut Checker::new(),
        text.as_bytes(),
        trace::MEMORY_MAX,
        |_| (),
    )
    .unwrap();
}
