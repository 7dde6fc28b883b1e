//! TLB invalidation instructions and their operands. These bits are composed here and nowhere else.
//!
//! Operand layouts: Arm ARM DDI 0487, C5.5, `TLBI VAE1IS` and `TLBI RVAE1IS` with their siblings.

use crate::addr::{Asid, Half, Level, PAGE_SHIFT, Va};

/// What the cores' TLB invalidation can do. All cores must have it; `default()` is what every
/// Armv8.0 core has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Features {
    /// FEAT_TLBIRANGE: ID_AA64ISAR0_EL1.TLB = 0b0010.
    pub range: bool,
    /// FEAT_TTL: ID_AA64MMFR2_EL1.TTL = 0b0001. Where it is absent those operand bits are RES0.
    pub ttl: bool,
}

/// One TLB invalidation: the instruction, and the operand for its register.
///
/// All broadcast within the Inner Shareable domain. An unbroadcast one is never right when another
/// core may have used the table, and no cheaper when none has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Tlbi {
    /// `tlbi vae1is`: one address, one ASID or global, walk caches too.
    Vae1is(u64),
    /// `tlbi vale1is`: one address, one ASID or global, last level only.
    Vale1is(u64),
    /// `tlbi vaae1is`: one address, every ASID, walk caches too.
    Vaae1is(u64),
    /// `tlbi vaale1is`: one address, every ASID, last level only.
    Vaale1is(u64),
    /// `tlbi rvae1is`: a range, one ASID or global, walk caches too. FEAT_TLBIRANGE.
    Rvae1is(u64),
    /// `tlbi rvale1is`: a range, one ASID or global, last level only. FEAT_TLBIRANGE.
    Rvale1is(u64),
    /// `tlbi rvaae1is`: a range, every ASID, walk caches too. FEAT_TLBIRANGE.
    Rvaae1is(u64),
    /// `tlbi rvaale1is`: a range, every ASID, last level only. FEAT_TLBIRANGE.
    Rvaale1is(u64),
    /// `tlbi aside1is`: everything non-global of one ASID.
    Aside1is(u64),
    /// `tlbi vmalle1is`: everything of EL1 and EL0.
    Vmalle1is,
}

/// Longest run one range operation takes, at SCALE 3: 32 units of 2^16 pages.
const RANGE_MAX_PAGES: u64 = 32 << 16;
/// TG: 4 KiB granule.
const TG_4K: u64 = 0b01 << 46;

impl Tlbi {
    /// The invalidation of the entry for `va`.
    ///
    /// `leaf_only` leaves walk caches alone. `level` is where the leaf stands, or `None` when that
    /// is not known or a table is withdrawn; it becomes the TTL hint where there is FEAT_TTL.
    pub const fn page(
        half: Half,
        va: Va,
        level: Option<Level>,
        leaf_only: bool,
        features: Features,
    ) -> Self {
        // VA[55:12] in bits 43:0. Bits 63:56 of the address must go, or they would spill into TTL
        // and ASID.
        let va = (va.raw() >> PAGE_SHIFT) & ((1 << 44) - 1);
        // TTL[3:2] = 0b01 is the 4 KiB granule, TTL[1:0] the level. Level 0 has no leaves and no
        // encoding.
        let ttl = match level {
            Some(level) if features.ttl && level.number() > 0 => {
                (0b0100 | level.number() as u64) << 44
            }
            _ => 0,
        };
        match (half, leaf_only) {
            (Half::Lower(asid), false) => Tlbi::Vae1is(asid_field(asid) | ttl | va),
            (Half::Lower(asid), true) => Tlbi::Vale1is(asid_field(asid) | ttl | va),
            (Half::Upper, false) => Tlbi::Vaae1is(ttl | va),
            (Half::Upper, true) => Tlbi::Vaale1is(ttl | va),
        }
    }

    /// The invalidation of `(num + 1) << (5 * scale + 1)` pages from `va`; `num` below 32, `scale`
    /// below 4.
    ///
    /// `level` as in [`Tlbi::page`]: with a TTL the range must be aligned to that level, or it
    /// need not invalidate anything.
    const fn range(
        half: Half,
        va: Va,
        scale: u32,
        num: u64,
        level: Option<Level>,
        leaf_only: bool,
        f: Features,
    ) -> Self {
        // BaseADDR is VA[48:12] in bits 36:0. VA[48] distinguishes the halves.
        let base = (va.raw() >> PAGE_SHIFT) & ((1 << 37) - 1);
        // TTL is the level alone. For level 0, which has no leaves, that is no hint.
        let ttl = match level {
            Some(level) if f.ttl => (level.number() as u64) << 37,
            _ => 0,
        };
        let operand = TG_4K | ((scale as u64 & 0b11) << 44) | ((num & 0x1f) << 39) | ttl | base;
        match (half, leaf_only) {
            (Half::Lower(asid), false) => Tlbi::Rvae1is(asid_field(asid) | operand),
            (Half::Lower(asid), true) => Tlbi::Rvale1is(asid_field(asid) | operand),
            (Half::Upper, false) => Tlbi::Rvaae1is(operand),
            (Half::Upper, true) => Tlbi::Rvaale1is(operand),
        }
    }

    /// The invalidation of a whole half. The upper half is global, and global entries go only with
    /// everything.
    pub const fn all(half: Half) -> Self {
        match half {
            Half::Lower(asid) => Tlbi::Aside1is(asid_field(asid)),
            Half::Upper => Tlbi::Vmalle1is,
        }
    }

    /// The same for an address `pages` further up. Of page operations only; others are as they were.
    const fn plus(self, pages: u64) -> Self {
        match self {
            Tlbi::Vae1is(x) => Tlbi::Vae1is(x + pages),
            Tlbi::Vale1is(x) => Tlbi::Vale1is(x + pages),
            Tlbi::Vaae1is(x) => Tlbi::Vaae1is(x + pages),
            Tlbi::Vaale1is(x) => Tlbi::Vaale1is(x + pages),
            other => other,
        }
    }

    /// How many translations it drops at most; `None` when there is no bound but the TLB's size.
    pub const fn reach(self) -> Option<u64> {
        match self {
            Tlbi::Vae1is(_) | Tlbi::Vale1is(_) | Tlbi::Vaae1is(_) | Tlbi::Vaale1is(_) => Some(1),
            Tlbi::Rvae1is(op) | Tlbi::Rvale1is(op) | Tlbi::Rvaae1is(op) | Tlbi::Rvaale1is(op) => {
                let (num, scale) = ((op >> 39) & 0x1f, (op >> 44) & 0b11);
                Some((num + 1) << (5 * scale + 1))
            }
            Tlbi::Aside1is(_) | Tlbi::Vmalle1is => None,
        }
    }
}

const fn asid_field(asid: Asid) -> u64 {
    (asid.0 as u64) << 48
}

/// Pages to invalidate that all stand at one level, or at unknown ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Run {
    pub va: Va,
    pub pages: u64,
    /// Distance between two addresses to invalidate, in pages.
    pub stride: u64,
    /// The TTL hint.
    pub level: Option<Level>,
}

/// One instruction, to be executed `count` times, its operand growing by `step`. So that a loop over
/// pages is an addition, the instruction, and a branch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Batch {
    /// The first.
    pub first: Tlbi,
    /// How many, at least one.
    pub count: u64,
    /// What to add to the operand each time, in pages as the operand has them.
    pub step: u64,
}

impl Batch {
    /// Just this one.
    pub(crate) const fn one(first: Tlbi) -> Self {
        Self {
            first,
            count: 1,
            step: 0,
        }
    }

    /// Its instructions, one by one.
    pub fn ops(self) -> impl Iterator<Item = Tlbi> {
        (0..self.count).map(move |n| self.first.plus(n * self.step))
    }
}

/// The invalidation of a run of pages, if [`take`] makes one of it.
#[inline(always)]
pub(crate) fn only(half: Half, va: Va, pages: u64, features: Features) -> Option<Batch> {
    let level = Some(Level::L3);
    if pages == 1 {
        return Some(Batch {
            first: Tlbi::page(half, va, level, true, features),
            count: 1,
            step: 1,
        });
    }
    let scale = ((pages | 1).ilog2().wrapping_sub(1) / 5).min(3);
    let shift = 5 * scale + 1;
    let units = pages >> shift;
    if !features.range || !(1..=32).contains(&units) || pages.trailing_zeros() < shift {
        return None;
    }
    let range = Tlbi::range(half, va, scale, units - 1, level, true, features);
    Some(Batch::one(range))
}

/// Takes the next invalidations off a run that is not empty.
///
/// With range operations: from the largest SCALE down, each takes all the units of 2^(5·SCALE+1)
/// pages that fit; an odd last page is left to a page operation. So a run up to 8 GiB takes at most
/// five. (Linux's `__flush_tlb_range_op` counts SCALE down too, so that each BaseADDR keeps its
/// alignment.)
#[inline(always)]
pub(crate) fn take(run: &mut Run, half: Half, leaf_only: bool, features: Features) -> Batch {
    if features.range && run.pages > run.stride {
        // pages > stride ≥ 1: SCALE 0 fits.
        let fit = |scale: &u32| run.pages >> (5 * scale + 1) > 0;
        let scale = (0..4).rev().find(fit).unwrap_or(0);
        let units = (run.pages >> (5 * scale + 1)).min(32);
        let op = Tlbi::range(
            half,
            run.va,
            scale,
            units - 1,
            run.level,
            leaf_only,
            features,
        );
        let pages = units << (5 * scale + 1);
        run.va = Va::new(run.va.raw().wrapping_add(pages << PAGE_SHIFT));
        run.pages -= pages;
        return Batch::one(op);
    }
    let first = Tlbi::page(half, run.va, run.level, leaf_only, features);
    let count = run.pages.div_ceil(run.stride);
    run.pages = 0;
    Batch {
        first,
        count,
        step: run.stride,
    }
}

/// How many invalidations [`take`] makes of a run.
pub(crate) fn steps(run: &Run, features: Features) -> u64 {
    if features.range && run.pages > run.stride {
        // The four scales have 5 bits of the count each, the last bit is the single page, and what
        // is above all these takes the longest operation several times.
        let used = |scale: &u32| (run.pages >> (5 * scale + 1)) & 0x1f != 0;
        let scales = (0..4).filter(used).count() as u64;
        return run.pages / RANGE_MAX_PAGES + scales + (run.pages & 1);
    }
    run.pages.div_ceil(run.stride)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::{Asid, Pages};
    use crate::debt::Debt;

    /// First page and pages that an operation names.
    fn named(op: Tlbi, stride: u64) -> (u64, u64) {
        match op {
            Tlbi::Vale1is(x) => (x & ((1 << 44) - 1), stride),
            Tlbi::Rvale1is(x) => (x & ((1 << 37) - 1), op.reach().unwrap()),
            other => panic!("{other:?}"),
        }
    }

    fn covers_exactly(pages: u64, stride: u64, features: Features) {
        let run = Run {
            va: Va::new(0x4000_0000),
            pages,
            stride,
            level: Some(Level::L3),
        };
        let (mut rest, mut next, mut count) = (run, 0x4_0000, 0);
        while rest.pages > 0 {
            let batch = take(&mut rest, Half::Lower(Asid(1)), true, features);
            for op in batch.ops() {
                let (first, n) = named(op, stride);
                assert_eq!(first, next, "gap in {pages} pages");
                next += n;
                count += 1;
            }
        }
        assert_eq!(next, 0x4_0000 + pages);
        assert_eq!(count, steps(&run, features), "{pages} pages by {stride}");
    }

    #[test]
    fn every_run_is_covered_exactly_and_counted_right() {
        for range in [false, true] {
            let features = Features { range, ttl: false };
            for pages in (1..5000)
                .chain((1 << 16) - 3..(1 << 16) + 3)
                .chain([RANGE_MAX_PAGES - 1, RANGE_MAX_PAGES])
            {
                covers_exactly(pages, 1, features);
            }
            for blocks in (1..200).chain([4096, 4097, 8191, 10_000]) {
                covers_exactly(blocks * 512, 512, features);
            }
            covers_exactly(3 << 18, 1 << 18, features);
            // A table that was unlinked at level 0: one operation, for all the pages that it spanned.
            covers_exactly(1 << 27, 1 << 27, features);
        }
        covers_exactly(
            3 * RANGE_MAX_PAGES + 77_777,
            1,
            Features {
                range: true,
                ttl: true,
            },
        );
    }

    /// What is found by the fast way is what the other makes; and it is found wherever that makes one operation of a run of pages.
    #[test]
    fn the_only_operation_is_the_one_that_all_are() {
        for (range, ttl) in [(false, false), (true, false), (true, true)] {
            let features = Features { range, ttl };
            let sizes = (1..5000).chain((12..24).flat_map(|n| (1 << n) - 2..(1 << n) + 3));
            for pages in sizes {
                for half in [Half::Upper, Half::Lower(Asid(7))] {
                    let mut debt = Debt::new(half);
                    debt.add(Va::new(0x4000_0000), Level::L3, pages);
                    let mut batches = debt.batches(features);
                    let first = batches.next();
                    let one = first.filter(|batch| {
                        batch.count == 1
                            && batch.first.reach().is_some()
                            && batches.next().is_none()
                    });
                    assert_eq!(debt.only(features), one, "{pages} pages, {features:?}");
                }
            }
        }
    }

    /// A run of blocks, one of which a table was unlinked, and several runs need more than that.
    #[test]
    fn the_only_operation_is_for_pages_of_one_run() {
        let va = Va::new(0x4000_0000);
        let adds: [fn(&mut Debt, Va); 4] = [
            |debt, va| debt.add(va, Level::L2, 1),
            |debt, va| debt.add_table(va, Level::L2),
            |debt, va| {
                debt.add(va, Level::L3, 1);
                debt.add(Va::new(va.raw() + 0x4000), Level::L3, 1);
            },
            |debt, va| {
                debt.add(va, Level::L3, 2);
                debt.add_all();
            },
        ];
        for add in adds {
            let mut debt = Debt::new(Half::Upper);
            add(&mut debt, va);
            // One operation would reach the pages of each.
            let (range, ttl) = (true, true);
            assert_eq!(debt.only(Features { range, ttl }), None, "{debt:?}");
        }
    }

    #[test]
    fn everything_touches_every_page_of_its_half() {
        for half in [Half::Upper, Half::Lower(Asid(1))] {
            let whole = Pages::whole(half);
            let last = whole.skip(whole.count() - 1);
            let mut debt = Debt::new(half);
            assert!(debt.is_empty() && !debt.touches(whole));
            debt.add(whole.start(), Level::L3, 1);
            debt.add_all();
            assert!(!debt.is_empty() && debt.frees_tables());
            assert!(debt.touches_page(last.start()));
            assert!(
                [whole.take(1), last, whole]
                    .iter()
                    .all(|p| debt.touches(*p))
            );
            let _ = debt.done();
            assert!(debt.is_empty() && !debt.touches(whole));
        }
    }
}
