//! What the machine says of a program of one core: which of TTBR0's roots an access may come from, and where it stores.
#![cfg(feature = "machine")]

use mmu_check::What;
use mmu_check::event::AccessKind::{Read, Write};
use mmu_check::event::Barrier::{Ish, Ishst};
use mmu_check::machine::Fault;
use mmu_check::machine::program::Seen::Value;
use mmu_check::machine::program::{Do, Program, Seen};

const PAGE: u64 = 0x1000;
/// A block of level 1, not global, that may be written; and one that may not.
const RW: u64 = 0x0060_0000_0000_0f05;
const RO: u64 = RW | 0x80;
const ISB: Do = Do::Synchronise(What::Isb);
const EXCEPTION: Do = Do::Synchronise(What::ExceptionEntry);
/// States of one program; none of these has a tenth of it.
const MOST: usize = 10_000;

const fn root(space: u64) -> u64 {
    0x10_0000 + space * 0x2000
}

/// The descriptor of the space's only mapping.
const fn slot(space: u64) -> u64 {
    root(space) + 0x1000
}

/// The block that the space maps.
const fn block(space: u64) -> u64 {
    (space + 1) << 30
}

/// Where [`PAGE`] is in the block.
const fn data(space: u64) -> u64 {
    block(space) + PAGE
}

/// What is there in the beginning. An access stores 1.
const fn value(space: u64) -> u64 {
    0x10 + space
}

/// The core goes to the space.
const fn enter(space: u64) -> Do {
    Do::Ttbr0(root(space), space as u16 + 1)
}

/// These steps behind the making of three spaces, in the first of which the core is.
fn program(steps: &[Do]) -> Program {
    let spaces = (0..3).flat_map(|space| {
        [
            Do::Zero(root(space)),
            Do::Zero(slot(space)),
            Do::Store(root(space), 0, 0, slot(space) | 3),
            Do::Store(slot(space), 0, 1, block(space) | RW),
            Do::Data(data(space), value(space)),
        ]
    });
    Program {
        start: spaces.chain([Do::Dsb(Ishst), enter(0), ISB]).collect(),
        cores: vec![steps.to_vec()],
    }
}

/// Whether a schedule ends with this of what the steps have seen.
fn reaches(steps: &[Do], is_it: impl Fn(&[Seen]) -> bool) -> bool {
    let end = program(steps).reaches(root(0), MOST, |outcome| is_it(&outcome.seen[0]));
    end.expect("few states")
}

/// Until the context is synchronised, a walk may begin at any root that TTBR0 had since the last time, not at the last
/// two alone.
#[test]
fn every_root_since_the_last_synchronisation() {
    let [zero, one, two] = [0, 1, 2].map(enter);
    for (writes, may_be) in [
        (&[][..], &[0][..]),
        (&[one], &[0, 1]),
        (&[one, two], &[0, 1, 2]),
        (&[one, two, one], &[0, 1, 2]),
        (&[one, zero], &[0, 1]),
        (&[one, zero, two], &[0, 1, 2]),
        (&[one, ISB, two], &[1, 2]),
        (&[one, EXCEPTION, two], &[1, 2]),
        (&[one, two, ISB], &[2]),
        (&[one, two, ISB, zero], &[0, 2]),
        (&[one, two, zero, ISB], &[0]),
        (&[one, two, Do::Dsb(Ish)], &[0, 1, 2]),
    ] {
        let steps = [writes, &[Do::Access(PAGE, Read, None)]].concat();
        let seen = |space| reaches(&steps, |seen| seen[writes.len()] == Value(value(space)));
        let spaces: Vec<u64> = (0..3).filter(|space| seen(*space)).collect();
        assert_eq!(spaces, may_be, "{writes:x?}");
    }
}

/// A store of data is reported with where it goes. There it is, and nowhere else; one that faults is nowhere.
#[test]
fn where_a_store_goes() {
    let store = |new| Do::Store(slot(0), 0, 1, new);
    let flush = Do::Tlbi(mmu_check::Op::named("vmalle1is").unwrap(), 0);
    let gone = [store(0), Do::Dsb(Ishst), flush, Do::Dsb(Ish), ISB];
    let made = |new| [store(new), Do::Dsb(Ishst), ISB];
    let (other, no_store) = (block(1) | RW, block(1) | RO);
    let (old, new) = (Value(data(0)), Value(data(1)));
    let refused = Seen::Fault(Fault::Permission);
    let missing = Seen::Fault(Fault::Translation);
    for (steps, may_be) in [
        (vec![], &[old][..]),
        (vec![store(other)], &[old, new]),
        (vec![store(no_store)], &[old, refused]),
        (vec![enter(1)], &[old, new]),
        ([&gone[..], &made(other)].concat(), &[new]),
        ([&gone[..], &made(no_store)].concat(), &[refused]),
        (gone.to_vec(), &[missing]),
    ] {
        let at = steps.len();
        let read_back = [Do::Dsb(Ish), Do::Load(data(0)), Do::Load(data(1))];
        let steps = [&steps[..], &[Do::Access(PAGE, Write, None)], &read_back].concat();
        for reported in [old, new, refused, missing] {
            let seen = reaches(&steps, |seen| seen[at] == reported);
            assert_eq!(
                seen,
                may_be.contains(&reported),
                "{steps:x?}: {reported:x?}"
            );
        }
        let elsewhere = reaches(&steps, |seen| {
            let [old_has, new_has] = [0, 1].map(|space| match seen[at] == Value(data(space)) {
                true => Value(1),
                false => Value(value(space)),
            });
            seen[at + 2..] != [old_has, new_has]
        });
        assert!(!elsewhere, "{steps:x?}");
    }
}
