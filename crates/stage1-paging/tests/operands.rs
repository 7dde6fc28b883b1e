//! TLBI operands, bit by bit, and that the invalidations of a debt cover it.

mod common;

use common::*;
use stage1_paging::model::Model;
use stage1_paging::*;

const UPPER: u64 = 0xffff_8000_1234_5000;

#[test]
fn address_bits_do_not_spill() {
    // VA[55:12] and no more: the top byte of an upper address would land in TTL and ASID.
    let op = Tlbi::page(Half::Upper, Va::new(UPPER), None, true, PLAIN);
    assert_eq!(op, Tlbi::Vaale1is(0x0000_0ff8_0001_2345 | 0xf << 40));
    let op = Tlbi::page(TASK, Va::new(0x1234_5000), None, false, PLAIN);
    assert_eq!(op, Tlbi::Vae1is(0x0005_0000_0001_2345));
}

#[test]
fn ttl_names_granule_and_level_where_there_is_one() {
    let ttl = |level, features| match Tlbi::page(TASK, Va::new(0), level, true, features) {
        Tlbi::Vale1is(x) => (x >> 44) & 0xf,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        Level::ALL.map(|l| ttl(Some(l), FULL)),
        [0, 0b0101, 0b0110, 0b0111]
    );
    assert_eq!(Level::ALL.map(|l| ttl(Some(l), PLAIN)), [0; 4]);
    assert_eq!(ttl(None, FULL), 0);
}

#[test]
fn the_whole_half() {
    assert_eq!(
        Tlbi::all(Half::Lower(Asid(0xabcd))),
        Tlbi::Aside1is(0xabcd << 48)
    );
    assert_eq!(Tlbi::all(Half::Upper), Tlbi::Vmalle1is);
}

/// The operations of a debt for `n` pages at `va`, mapped as they fit.
fn ops(half: Half, va: u64, n: u64, fit: Fit, features: Features) -> Vec<Tlbi> {
    let model = Model::new(1, features);
    let space = model.space(half);
    space.map(pages(va, n), ram(0), Prot::RW, fit).unwrap();
    let mut gather = space.gather(());
    assert_eq!(space.unmap(pages(va, n), &mut gather), Ok(n));
    gather.debt().ops(features).collect()
}

#[test]
fn ranges_take_the_largest_scale() {
    let asid = 5 << 48;
    let tg = 0b01 << 46;
    let (ttl3, ttl2) = (0b11 << 37, 0b10 << 37);
    let field = |scale: u64, num: u64| scale << 44 | num << 39;
    // 512 pages: 8 units of 64.
    let expected = Tlbi::Rvale1is(asid | tg | field(1, 7) | ttl3 | 0x400);
    assert_eq!(ops(TASK, 0x40_0000, 512, Fit::Pages, FULL), [expected]);
    // An odd page at the end goes by itself.
    let [range, single] = ops(TASK, 0x40_0000, 3, Fit::Pages, FULL)[..] else {
        panic!()
    };
    assert_eq!(
        range,
        Tlbi::Rvale1is(asid | tg | field(0, 0) | ttl3 | 0x400)
    );
    assert_eq!(single, Tlbi::Vale1is(asid | 0b0111 << 44 | 0x402));
    // Blocks: one operation each, or a range with their level; BaseADDR is VA[48:12].
    let base = 0xffff_8000_0020_0000;
    let expected = Tlbi::Rvaale1is(tg | field(1, 15) | ttl2 | 0x1ff8_0000_0200 & ((1 << 37) - 1));
    assert_eq!(ops(Half::Upper, base, 1024, Fit::Largest, FULL), [expected]);
    assert_eq!(ops(Half::Upper, base, 1024, Fit::Largest, PLAIN).len(), 2);
}

/// The operations for one page that is unmapped, and for its three tables when they are freed with it.
fn page_and_tables(half: Half, va: u64, features: Features) -> (Vec<Tlbi>, Vec<Tlbi>) {
    let model = Model::new(1, features);
    let mut space = model.space(half);
    let page = pages(va, 1);
    space.map(page, ram(0), Prot::RW, Fit::Pages).unwrap();
    let mut gather = space.gather(());
    space.unmap(page, &mut gather).unwrap();
    let alone = gather.debt().ops(features).collect();
    space.free_tables(page, &mut gather).unwrap();
    (alone, gather.debt().ops(features).collect())
}

#[test]
fn which_instruction_each_half_takes_with_tables_and_without() {
    for (features, ttl) in [(PLAIN, 0), (FULL, 0b0111 << 44)] {
        // Where its tables were linked, and the page, at no one level: without a hint.
        let (alone, tables) = page_and_tables(TASK, 0x1234_5000, features);
        let asid = 5 << 48;
        assert_eq!(alone, [Tlbi::Vale1is(asid | ttl | 0x1_2345)]);
        let expected = [0, 0, 0x1_2200, 0x1_2345].map(|page| Tlbi::Vae1is(asid | page));
        assert_eq!(tables, expected);
        let (alone, tables) = page_and_tables(Half::Upper, UPPER, features);
        let page = |low: u64| 0xff8_0000_0000 | low;
        assert_eq!(alone, [Tlbi::Vaale1is(ttl | page(0x1_2345))]);
        let expected = [0, 0, 0x1_2200, 0x1_2345].map(|low| Tlbi::Vaae1is(page(low)));
        assert_eq!(tables, expected);
    }
}

#[test]
fn which_range_instruction_each_half_takes_with_tables_and_without() {
    let (asid, tg, ttl) = (5 << 48, 0b01 << 46, 0b11 << 37);
    // 128 pages: 2 units of 64.
    let field = 1 << 44 | 1 << 39;
    let upper = (UPPER >> 12) & ((1 << 37) - 1);
    for (features, ttl) in [
        (FULL, ttl),
        (
            Features {
                range: true,
                ttl: false,
            },
            0,
        ),
    ] {
        let model = Model::new(1, features);
        for (half, va) in [(TASK, 0x1234_5000), (Half::Upper, UPPER)] {
            let mut space = model.space(half);
            let area = pages(va, 128);
            space.map(area, ram(0), Prot::RW, Fit::Pages).unwrap();
            let mut gather = space.gather(());
            space.unmap(area, &mut gather).unwrap();
            let last = |gather: &Gather<'_, Model>| gather.debt().ops(features).last().unwrap();
            let alone = match half {
                Half::Upper => Tlbi::Rvaale1is(tg | field | ttl | upper),
                Half::Lower(_) => Tlbi::Rvale1is(asid | tg | field | ttl | 0x1_2345),
            };
            assert_eq!(last(&gather), alone);
            space.free_tables(area, &mut gather).unwrap();
            let with_tables = match half {
                Half::Upper => Tlbi::Rvaae1is(tg | field | upper),
                Half::Lower(_) => Tlbi::Rvae1is(asid | tg | field | 0x1_2345),
            };
            assert_eq!(last(&gather), with_tables);
        }
    }
}

#[test]
fn a_batch_counts_up_in_every_instruction_that_names_one_address() {
    for instruction in [Tlbi::Vae1is, Tlbi::Vale1is, Tlbi::Vaae1is, Tlbi::Vaale1is] {
        let batch = Batch {
            first: instruction(0x100),
            count: 3,
            step: 2,
        };
        let ops: Vec<Tlbi> = batch.ops().collect();
        assert_eq!(ops, [0x100, 0x102, 0x104].map(instruction));
    }
}
