//! Every barrier and TLBI of the sequences, in order, with its operand and what it is for.

mod common;

use common::*;
use stage1_hw::{Barrier, Op, Upkeep, Why};
use stage1_paging::{Features, Fit, Gather, Half, Prot, Space, Tlbi};

const LOW: u64 = 0x40_0000;
const HIGH: u64 = 0xffff_8000_1234_5000;
/// Its operand bits: VA[55:12].
const HIGH_PAGE: u64 = 0xff8_0001_2345;
const ASID: u64 = 5 << 48;

const NO_RANGE: Features = Features {
    range: false,
    ttl: true,
};
const NO_TTL: Features = Features {
    range: true,
    ttl: false,
};

fn plain(tlb: Features) -> Upkeep {
    Upkeep {
        tlb,
        repeat_tlbi: false,
    }
}

/// What `invalidate` executes for what `withdraw` took out of a space.
fn invalidate(
    half: Half,
    upkeep: Upkeep,
    withdraw: impl FnOnce(&mut Space<'static, Machine>, &mut Gather<'static, Machine>),
) -> Vec<Event> {
    let (_, mut space) = space(half);
    let mut gather = space.gather(());
    withdraw(&mut space, &mut gather);
    log();
    stage1_hw::invalidate(Recorder, gather.debt(), upkeep);
    log()
}

/// The same for `n` pages at `va`, mapped as they fit.
fn unmapped(half: Half, tlb: Features, va: u64, n: u64) -> Vec<Event> {
    invalidate(half, plain(tlb), |space, gather| {
        space
            .map(pages(va, n), data(0), Prot::RW, Fit::Largest)
            .unwrap();
        assert_eq!(space.unmap(pages(va, n), gather), Ok(n));
    })
}

/// The same with the tables of those pages freed as well.
fn freed(half: Half, tlb: Features, va: u64, n: u64) -> Vec<Event> {
    invalidate(half, plain(tlb), |space, gather| {
        let pages = pages(va, n);
        space.map(pages, data(0), Prot::RW, Fit::Pages).unwrap();
        space.unmap(pages, gather).unwrap();
        space.free_tables(pages, gather).unwrap();
    })
}

#[test]
fn publish_is_dsb_ishst_then_isb() {
    log();
    stage1_hw::publish(Recorder);
    assert_eq!(
        log(),
        [dsb(Barrier::Ishst, Why::Publish), isb(Why::Publish)]
    );
}

#[test]
fn publish_root_is_dsb_ishst() {
    log();
    stage1_hw::publish_root(Recorder);
    assert_eq!(log(), [dsb(Barrier::Ishst, Why::Root)]);
}

#[test]
fn drop_all_local_is_tlbi_then_dsb_nsh_then_isb() {
    log();
    stage1_hw::drop_all_local(Recorder);
    let expected = [
        Event::Execute(Op::TlbiAllLocal, Why::LeaveEarly),
        dsb(Barrier::Nsh, Why::LeaveEarly),
        isb(Why::LeaveEarly),
    ];
    assert_eq!(log(), expected);
}

#[test]
fn one_page() {
    let expect = |half, features, va, op| {
        let expected = invalidation(&[tlbi(op, 1, 1)]);
        assert_eq!(unmapped(half, features, va, 1), expected);
    };
    let ttl3 = 0b0111 << 44;
    expect(TASK, PLAIN, LOW, Tlbi::Vale1is(ASID | 0x400));
    expect(TASK, FULL, LOW, Tlbi::Vale1is(ASID | ttl3 | 0x400));
    expect(Half::Upper, PLAIN, HIGH, Tlbi::Vaale1is(HIGH_PAGE));
    expect(Half::Upper, FULL, HIGH, Tlbi::Vaale1is(ttl3 | HIGH_PAGE));
}

#[test]
fn many_pages_without_range_are_one_batch() {
    let ttl3 = 0b0111 << 44;
    let first = Tlbi::Vale1is(ASID | 0x400);
    let expected = invalidation(&[tlbi(first, 16, 1)]);
    assert_eq!(unmapped(TASK, PLAIN, LOW, 16), expected);
    let first = Tlbi::Vale1is(ASID | ttl3 | 0x400);
    let expected = invalidation(&[tlbi(first, 16, 1)]);
    assert_eq!(unmapped(TASK, NO_RANGE, LOW, 16), expected);
    // Blocks of 2 MiB: 512 pages apart.
    let expected = invalidation(&[tlbi(Tlbi::Vale1is(ASID | 0x400), 2, 512)]);
    assert_eq!(unmapped(TASK, PLAIN, LOW, 1024), expected);
}

#[test]
fn many_pages_with_range_are_one_instruction_each_run() {
    let (tg, ttl3) = (0b01 << 46, 0b11 << 37);
    // Two pages by range, the third by itself.
    let expected = invalidation(&[
        tlbi(Tlbi::Rvale1is(ASID | tg | ttl3 | 0x400), 1, 0),
        tlbi(Tlbi::Vale1is(ASID | 0b0111 << 44 | 0x402), 1, 1),
    ]);
    assert_eq!(unmapped(TASK, FULL, LOW, 3), expected);
    let expected = invalidation(&[tlbi(Tlbi::Rvale1is(ASID | tg | 0x400), 1, 0)]);
    assert_eq!(unmapped(TASK, NO_TTL, LOW, 2), expected);
    // BaseADDR is VA[48:12].
    let base = HIGH >> 12 & ((1 << 37) - 1);
    let expected = invalidation(&[tlbi(Tlbi::Rvaale1is(tg | ttl3 | base), 1, 0)]);
    assert_eq!(unmapped(Half::Upper, FULL, HIGH, 2), expected);
}

#[test]
fn freed_tables_take_walk_caches_along() {
    // An address below each descriptor that linked a table of level 1, 2 and 3, and the page.
    let all = |name: fn(u64) -> Tlbi, asid: u64, va: u64| {
        let one = |shift: u32| {
            let floor = (va >> shift << shift) >> 12 & ((1 << 44) - 1);
            tlbi(name(asid | floor), 1, 1 << (shift - 12))
        };
        invalidation(&[39, 30, 21, 12].map(one))
    };
    let expected = all(Tlbi::Vae1is, ASID, LOW);
    assert_eq!(freed(TASK, PLAIN, LOW, 1), expected);
    // The level's hint would leave what stands at another.
    assert_eq!(freed(TASK, FULL, LOW, 1), expected);
    let expected = all(Tlbi::Vaae1is, 0, HIGH);
    assert_eq!(freed(Half::Upper, PLAIN, HIGH, 1), expected);
    // By range, without a hint of the level.
    let tg = 0b01 << 46;
    let event = tlbi(Tlbi::Rvae1is(ASID | tg | 0x400), 1, 0);
    assert_eq!(freed(TASK, FULL, LOW, 2)[4], event);
    let base = HIGH >> 12 & ((1 << 37) - 1);
    let event = tlbi(Tlbi::Rvaae1is(tg | base), 1, 0);
    assert_eq!(freed(Half::Upper, FULL, HIGH, 2)[4], event);
}

#[test]
fn several_runs_are_between_one_pair_of_dsbs() {
    let two = |upkeep| {
        invalidate(TASK, upkeep, |space, gather| {
            for n in [0, 8] {
                let pages = pages(LOW + 4096 * n, 2);
                space.map(pages, data(n), Prot::RW, Fit::Pages).unwrap();
                space.unmap(pages, gather).unwrap();
            }
        })
    };
    let runs = [
        tlbi(Tlbi::Vale1is(ASID | 0x400), 2, 1),
        tlbi(Tlbi::Vale1is(ASID | 0x408), 2, 1),
    ];
    assert_eq!(two(plain(PLAIN)), invalidation(&runs));
    // With the erratum: all of them, a DSB, all of them again. One `dsb ishst`, one ISB.
    let repeat = Upkeep {
        repeat_tlbi: true,
        ..plain(PLAIN)
    };
    let twice = [&runs[..], &[AFTER_TLBI[0]], &runs].concat();
    assert_eq!(two(repeat), invalidation(&twice));
}

#[test]
fn too_many_for_single_tlbis_is_the_whole_asid_or_everything() {
    let many = |half, va| {
        invalidate(half, plain(PLAIN), |space, gather| {
            let pages = pages(va, 513);
            space.map(pages, data(0), Prot::RW, Fit::Pages).unwrap();
            space.unmap(pages, gather).unwrap();
        })
    };
    let expected = invalidation(&[tlbi(Tlbi::Aside1is(ASID), 1, 0)]);
    assert_eq!(many(TASK, LOW), expected);
    let expected = invalidation(&[tlbi(Tlbi::Vmalle1is, 1, 0)]);
    assert_eq!(many(Half::Upper, HIGH), expected);
}

#[test]
fn repeated_with_every_feature() {
    let repeat = Upkeep {
        repeat_tlbi: true,
        ..plain(FULL)
    };
    let log = invalidate(TASK, repeat, |space, gather| {
        space
            .map(pages(LOW, 2), data(0), Prot::RW, Fit::Pages)
            .unwrap();
        space.unmap(pages(LOW, 2), gather).unwrap();
    });
    let range = tlbi(Tlbi::Rvale1is(ASID | 0b01 << 46 | 0b11 << 37 | 0x400), 1, 0);
    assert_eq!(log, invalidation(&[range, AFTER_TLBI[0], range]));
}
