//! Each fault of the instructions changes what it says, and nothing else: the same page-table work with
//! it and without it, as the observer saw it and as the machine executed it.

use crate::machine::{Faulty, LINEAR, Line, VMAP, What, data, injected, lines, with};
use lazy_mmu_faults::{Fault, NAMES};
use stage1_hw::{Barrier, Instructions, Op, Why};
use stage1_paging::{Batch, Desc, Level, Prot, Tlbi};

const ISHST: Op = Op::Dsb(Barrier::Ishst);

/// The work with the fault is the work without it, after this.
fn changes(fault: Fault, mut change: impl FnMut(&mut Vec<Line>)) {
    for range in [false, true] {
        let mut expected = with(Fault::None, range);
        let right = expected.clone();
        change(&mut expected);
        assert_ne!(expected, right, "{fault:?} changes nothing");
        assert_eq!(with(fault, range), expected, "{fault:?}");
    }
}

/// Not executed and not seen: the lines of which this is true.
fn lacks(fault: Fault, of: impl Fn(&What) -> bool) {
    changes(fault, |lines| lines.retain(|line| !of(&line.what)));
}

fn op(what: &What) -> Option<(Op, Why)> {
    match *what {
        What::Op(op, why) => Some((op, why)),
        _ => None,
    }
}

fn lacks_op(fault: Fault, wanted: Op, for_what: Why) {
    lacks(fault, |what| op(what) == Some((wanted, for_what)));
}

fn is_tlbi(what: &What) -> bool {
    matches!(what, What::Op(Op::Tlbi(_), _))
}

fn line(op: Op, why: Why) -> Line {
    Line {
        what: What::Op(op, why),
        seen: true,
        executed: true,
    }
}

fn is(line: &Line, wanted: Op, why: Why) -> bool {
    op(&line.what) == Some((wanted, why))
}

#[test]
fn without_a_fault_all_is_seen_and_executed() {
    let lines = with(Fault::None, false);
    assert!(
        lines.iter().all(|line| line.seen && line.executed),
        "{lines:#?}"
    );
}

#[test]
fn barriers_left_out() {
    lacks_op(Fault::PublishNoDsb, ISHST, Why::Publish);
    lacks_op(Fault::PublishNoIsb, Op::Isb, Why::Publish);
    lacks_op(Fault::LinkNoDmb, Op::Dmb(Barrier::Ishst), Why::Link);
    lacks_op(Fault::RootUnpublished, ISHST, Why::Root);
    lacks_op(Fault::Ttbr0NoIsb, Op::Isb, Why::Ttbr0);
    lacks_op(Fault::TlbiNoDsbBefore, ISHST, Why::BeforeTlbi);
    lacks_op(Fault::TlbiNoDsbAfter, Op::Dsb(Barrier::Ish), Why::AfterTlbi);
    lacks_op(Fault::TlbiNoIsb, Op::Isb, Why::AfterTlbi);
    lacks_op(Fault::SwitchNoDsb, Op::Dsb(Barrier::Ish), Why::Switch);
    lacks_op(Fault::SwitchNoIsb, Op::Isb, Why::Switch);
    lacks(Fault::AckNoBarrier, |what| {
        op(what).is_some_and(|(op, why)| op != Op::Isb && why == Why::Acknowledge)
    });
    lacks_op(Fault::AckNoIsb, Op::Isb, Why::Acknowledge);
    lacks_op(Fault::SendNoIsb, Op::Isb, Why::Send);
    lacks_op(Fault::IdleNoIsb, Op::Isb, Why::Idle);
}

#[test]
fn other_things_left_out() {
    lacks(Fault::TlbiNone, is_tlbi);
    lacks(Fault::LinkNoZero, |what| *what == What::Zero(Why::Link));
}

#[test]
fn publish_swapped() {
    changes(Fault::PublishSwapped, |lines| {
        for at in 1..lines.len() {
            if is(&lines[at - 1], ISHST, Why::Publish) && is(&lines[at], Op::Isb, Why::Publish) {
                lines.swap(at - 1, at);
            }
        }
    });
}

#[test]
fn pair_unasked() {
    changes(Fault::PairUnasked, |lines| {
        let twice = |line: Line| {
            let pair = [line.clone(), self::line(ISHST, Why::Publish), line.clone()];
            let times = if is(&line, Op::Isb, Why::Publish) {
                3
            } else {
                1
            };
            pair.into_iter().take(times)
        };
        *lines = lines.drain(..).flat_map(twice).collect();
    });
}

#[test]
fn tlbi_first() {
    changes(Fault::TlbiFirst, |lines| {
        let mut dsb = None;
        for line in std::mem::take(lines) {
            if is(&line, ISHST, Why::BeforeTlbi) {
                dsb = Some(line);
                continue;
            }
            if is(&line, Op::Dsb(Barrier::Ish), Why::AfterTlbi) {
                lines.extend(dsb.take());
            }
            lines.push(line);
        }
    });
}

#[test]
fn tlbi_local() {
    changes(Fault::TlbiLocal, |lines| {
        for line in lines.iter_mut().filter(|line| is_tlbi(&line.what)) {
            line.what = What::Op(Op::TlbiAllLocal, Why::Invalidate);
        }
    });
}

#[test]
fn tlbi_short() {
    changes(Fault::TlbiShort, |lines| {
        let mut shortened = 0;
        for line in lines {
            let What::Op(Op::Tlbi(batch), why) = &line.what else {
                continue;
            };
            let pages = |batch: &Batch| batch.ops().filter_map(Tlbi::reach).sum::<u64>();
            if pages(batch) == 4 {
                shortened += 1;
                let less = match batch.first {
                    Tlbi::Rvaale1is(operand) => Batch {
                        first: Tlbi::Rvaale1is(operand - (1 << 39)),
                        ..*batch
                    },
                    _ => Batch { count: 3, ..*batch },
                };
                assert!(pages(&less) < 4);
                line.what = What::Op(Op::Tlbi(less), *why);
            }
        }
        assert_eq!(shortened, 1);
    });
}

/// Each invalidation of all levels is one of the last, with the same operand; one that has no such form stays.
#[test]
fn tlbi_leaf_only() {
    let _injected = injected(Fault::TlbiLeafOnly);
    for (all, leaf) in [
        (Tlbi::Vae1is(7), Tlbi::Vale1is(7)),
        (Tlbi::Vaae1is(7), Tlbi::Vaale1is(7)),
        (Tlbi::Rvae1is(7), Tlbi::Rvale1is(7)),
        (Tlbi::Rvaae1is(7), Tlbi::Rvaale1is(7)),
        (Tlbi::Vale1is(7), Tlbi::Vale1is(7)),
        (Tlbi::Aside1is(7), Tlbi::Aside1is(7)),
        (Tlbi::Vmalle1is, Tlbi::Vmalle1is),
    ] {
        let op = |first| {
            Op::Tlbi(Batch {
                first,
                count: 2,
                step: 1,
            })
        };
        Faulty::NEW.execute(op(all), Why::Invalidate);
        let line = Line {
            what: What::Op(op(leaf), Why::Invalidate),
            seen: true,
            executed: true,
        };
        assert_eq!(lines(), [line], "{all:?}");
    }
}

/// The invalidations come when the next one does, or the switch: after what relied on them.
#[test]
fn free_before_invalidation() {
    changes(Fault::FreeBeforeInvalidation, |lines| {
        let mut late = Vec::new();
        for line in std::mem::take(lines) {
            let why = op(&line.what).map(|(_, why)| why);
            if matches!(why, Some(Why::BeforeTlbi | Why::Switch)) {
                lines.append(&mut late);
            }
            match why {
                Some(Why::BeforeTlbi | Why::Invalidate | Why::AfterTlbi) => late.push(line),
                _ => lines.push(line),
            }
        }
        assert!(late.is_empty());
    });
}

#[test]
fn executed_and_not_seen() {
    let unseen = |fault, of: fn(&Op) -> bool| {
        changes(fault, |lines| {
            for line in lines {
                line.seen &= !op(&line.what).is_some_and(|(op, _)| of(&op));
            }
        });
    };
    unseen(Fault::DsbNotCounted, |op| matches!(op, Op::Dsb(_)));
    unseen(Fault::DmbNotCounted, |op| matches!(op, Op::Dmb(_)));
    unseen(Fault::IsbNotCounted, |op| *op == Op::Isb);
    unseen(Fault::TlbiNotCounted, |op| matches!(op, Op::Tlbi(_)));
}

#[test]
fn seen_and_not_executed() {
    let only_seen = |fault, of: fn(&Op) -> bool| {
        changes(fault, |lines| {
            for line in lines {
                line.executed &= !op(&line.what).is_some_and(|(op, _)| of(&op));
            }
        });
    };
    only_seen(Fault::DsbOnlyRecorded, |op| *op == ISHST);
    only_seen(Fault::TlbiOnlyRecorded, |op| matches!(op, Op::Tlbi(_)));
}

#[test]
fn seen_as_one_kind_and_executed_as_another() {
    let exchanged = |fault, other: fn(Op, Why) -> Option<Op>| {
        changes(fault, |lines| {
            *lines = lines
                .drain(..)
                .flat_map(|mut line| {
                    let instead = op(&line.what).and_then(|(op, why)| {
                        let what = What::Op(other(op, why)?, why);
                        let (seen, executed) = (false, true);
                        Some(Line {
                            what,
                            seen,
                            executed,
                        })
                    });
                    line.executed = instead.is_none();
                    [Some(line), instead]
                })
                .flatten()
                .collect();
        });
    };
    const ISH: Op = Op::Dsb(Barrier::Ish);
    const NSH: Op = Op::Dsb(Barrier::Nsh);
    exchanged(Fault::DsbIshstAsNsh, |op, _| (op == ISHST).then_some(NSH));
    exchanged(Fault::DsbIshAsIshst, |op, why| {
        ((op, why) == (ISH, Why::AfterTlbi)).then_some(ISHST)
    });
    exchanged(Fault::SwitchDsbAsNsh, |op, why| {
        ((op, why) == (ISH, Why::Switch)).then_some(NSH)
    });
    exchanged(Fault::DmbIshstAsIshld, |op, _| {
        (op == Op::Dmb(Barrier::Ishst)).then_some(Op::Dmb(Barrier::Ishld))
    });
    exchanged(Fault::TlbiAsLocal, |op, _| match op {
        Op::Tlbi(_) => Some(Op::TlbiAllLocal),
        _ => None,
    });
    exchanged(Fault::TlbiAsOther, |op, _| match op {
        Op::Tlbi(batch) => {
            let first = match batch.first {
                Tlbi::Vaale1is(operand) => Tlbi::Vaae1is(operand),
                Tlbi::Rvaale1is(operand) => Tlbi::Rvaae1is(operand),
                other => panic!("the work makes no {other:?}"),
            };
            Some(Op::Tlbi(Batch { first, ..batch }))
        }
        _ => None,
    });
}

/// The last page stored at `va`: changed to `new`.
fn stores(fault: Fault, new: impl Fn(u64, Desc) -> Desc) {
    changes(fault, |lines| {
        for line in lines {
            if let What::Store { va, new: stored } = &mut line.what {
                *stored = new(*va, *stored);
            }
        }
    });
}

#[test]
fn wrong_frame() {
    stores(Fault::WrongFrame, |va, new| {
        let page = va.wrapping_sub(VMAP) / 4096;
        if (1..4).contains(&page) && new.is_valid() {
            Desc::leaf(Level::L3, data(page - 1), Prot::RW, true)
        } else {
            new
        }
    });
}

#[test]
fn free_still_mapped() {
    stores(Fault::FreeStillMapped, |va, new| {
        if va == LINEAR && !new.is_valid() {
            Desc::leaf(Level::L3, data(9), Prot::RW, true)
        } else {
            new
        }
    });
}

/// Those of the mode and of the services, and those that the image makes: no instruction changes.
const OTHERS: [Fault; 15] = [
    Fault::AllocFails,
    Fault::FrameLost,
    Fault::FrameOverwritten,
    Fault::NoFrame,
    Fault::PreemptionsLost,
    Fault::StatePerCore,
    Fault::SwitchHookOnCurrent,
    Fault::SecondEnterIgnored,
    Fault::OweLost,
    Fault::InnerExitPaysNothing,
    Fault::SettledLate,
    Fault::SettledNot,
    Fault::FlagStays,
    Fault::OtherCalls,
    Fault::HookWrong,
];

#[test]
fn every_fault_changes_the_instructions_or_is_no_instruction() {
    for range in [false, true] {
        let right = with(Fault::None, range);
        for entry in NAMES {
            // The work ends early; or it has nothing to change: it unlinks no table.
            if [Fault::NoFrame, Fault::TlbiLeafOnly].contains(&entry.fault) {
                continue;
            }
            let same = with(entry.fault, range) == right;
            assert_eq!(same, OTHERS.contains(&entry.fault), "{}", entry.name);
        }
    }
}
