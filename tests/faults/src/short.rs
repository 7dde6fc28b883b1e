//! An invalidation that leaves out the end of its range.

use stage1_paging::{Batch, Tlbi};

const NUM: u32 = 39;
const SCALE: u32 = 44;
const TTL: u64 = 0b11 << 37;
const ASID: u64 = 0xFFFF << 48;

/// `batch` without its last page; a range operation, which has no such operand in general, without
/// its last unit of pages. One page, an ASID and everything stay what they are: no range.
pub(crate) fn shortened(batch: Batch) -> Batch {
    if batch.count > 1 {
        return Batch {
            count: batch.count - 1,
            ..batch
        };
    }
    let first = match batch.first {
        Tlbi::Rvae1is(operand) => range(operand, Tlbi::Rvae1is, Tlbi::Vae1is),
        Tlbi::Rvale1is(operand) => range(operand, Tlbi::Rvale1is, Tlbi::Vale1is),
        Tlbi::Rvaae1is(operand) => range(operand, Tlbi::Rvaae1is, Tlbi::Vaae1is),
        Tlbi::Rvaale1is(operand) => range(operand, Tlbi::Rvaale1is, Tlbi::Vaale1is),
        other => other,
    };
    Batch { first, ..batch }
}

/// `(NUM + 1) << (5 * SCALE + 1)` pages, less one unit of the largest scale that leaves some.
fn range(operand: u64, range: fn(u64) -> Tlbi, page: fn(u64) -> Tlbi) -> Tlbi {
    let (num, scale) = (operand >> NUM & 0x1F, operand >> SCALE & 0b11);
    // A hint would demand an alignment that the shorter range need not have.
    let rest = operand & !(0x1F << NUM | 0b11 << SCALE | TTL);
    match (num, scale) {
        (1.., _) => range(operand - (1 << NUM)),
        // 32 units of the next scale are as long as this one.
        (0, 1..) => range(rest | 30 << NUM | (scale - 1) << SCALE),
        // Two pages: the first alone, whose operand has VA[55:12] where a range's has VA[48:12].
        (0, 0) => {
            let base = operand & ((1 << 37) - 1);
            let upper = if base >> 36 == 1 { 0x7F << 37 } else { 0 };
            page(operand & ASID | upper | base)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(batch: Batch) -> u64 {
        batch.ops().filter_map(Tlbi::reach).sum()
    }

    fn one(first: Tlbi) -> Batch {
        Batch {
            first,
            count: 1,
            step: 0,
        }
    }

    #[test]
    fn a_batch_loses_its_last_page() {
        let batch = Batch {
            first: Tlbi::Vale1is(7),
            count: 5,
            step: 1,
        };
        assert_eq!(shortened(batch), Batch { count: 4, ..batch });
    }

    #[test]
    fn a_range_begins_where_it_did_and_is_shorter() {
        let operand = |num: u64, scale: u64| 7 << 48 | 1 << 46 | scale << 44 | num << 39 | 0x1234;
        for (num, scale, less) in [(3, 0, 2), (1, 2, 1 << 11), (0, 1, 2), (0, 3, 1 << 11)] {
            let batch = one(Tlbi::Rvale1is(operand(num, scale)));
            let short = shortened(batch);
            assert_eq!(pages(batch) - pages(short), less, "{num} {scale}");
            let Tlbi::Rvale1is(operand) = short.first else {
                panic!("{short:?}");
            };
            assert_eq!(operand & (ASID | ((1 << 37) - 1)), 7 << 48 | 0x1234);
            assert_eq!(operand >> 46 & 0b11, 0b01);
        }
    }

    #[test]
    fn two_pages_become_one_of_the_same_half() {
        let tg = 1 << 46;
        let lower = one(Tlbi::Rvae1is(9 << 48 | tg | 0x1234));
        assert_eq!(shortened(lower).first, Tlbi::Vae1is(9 << 48 | 0x1234));
        let upper = 1 << 36 | 0x1234;
        let page = 0xFF << 36 | 0x1234;
        let batch = one(Tlbi::Rvaale1is(tg | upper));
        assert_eq!(shortened(batch).first, Tlbi::Vaale1is(page));
    }

    #[test]
    fn what_is_no_range_stays() {
        for first in [Tlbi::Vaae1is(5), Tlbi::Aside1is(1 << 48), Tlbi::Vmalle1is] {
            assert_eq!(shortened(one(first)), one(first));
        }
    }
}
