//! What a debt keeps apart, what it merges, and what that costs. One that merges wrongly leaves a stale
//! translation; one that merges without need invalidates what nobody withdrew.

mod common;

use common::*;
use stage1_paging::model::{Model, Seen};
use stage1_paging::*;

const MIB2: u64 = 2 << 20;
const GIB: u64 = 1 << 30;

/// All that a core may have.
const FEATURES: [Features; 4] = [
    PLAIN,
    Features {
        range: true,
        ttl: false,
    },
    Features {
        range: false,
        ttl: true,
    },
    FULL,
];

/// The page at index `index` of the last-level table of a 2 MiB slot.
fn page(slot: u64, index: u64) -> Pages {
    pages(slot * MIB2 + index * PAGE_SIZE, 1)
}

/// The 2 MiB block of a slot.
fn block(slot: u64) -> Pages {
    pages(slot * MIB2, 512)
}

/// The 1 GiB block of a slot of 1 GiB.
fn large_block(slot: u64) -> Pages {
    pages(slot * GIB, 512 * 512)
}

/// Maps `ranges`, each to frames that are aligned as it is, and has both cores use them.
fn map<'m>(model: &'m Model, ranges: &[Pages]) -> Space<'m, Model> {
    let space = model.space(TASK);
    for range in ranges {
        let frame = frame(range.start().raw() >> PAGE_SHIFT);
        space.map(*range, frame, Prot::RO, Fit::Largest).unwrap();
        seen(model, &space, range.start().raw());
    }
    space
}

/// Unmaps `ranges` in this order with one gather, and expects that no core can use any of them then.
fn withdraw(features: Features, ranges: &[Pages]) {
    let model = Model::new(2, features);
    let space = map(&model, ranges);
    let mut gather = space.gather(());
    for range in ranges {
        space.unmap(*range, &mut gather).unwrap();
    }
    gather.finish();
    for range in ranges {
        assert_eq!(
            seen(&model, &space, range.start().raw()),
            only(Seen::Fault),
            "{range:?} is stale, {features:?}, withdrawn in the order {ranges:?}"
        );
    }
}

/// Calls `f` with every order of `items`.
fn orders<T: Copy>(items: &mut [T], fixed: usize, f: &mut impl FnMut(&[T])) {
    if fixed == items.len() {
        return f(items);
    }
    for next in fixed..items.len() {
        items.swap(fixed, next);
        orders(items, fixed + 1, f);
        items.swap(fixed, next);
    }
}

#[test]
fn a_page_in_the_gap_between_merged_blocks_is_not_left_stale() {
    // The fifth block is merged with the fourth; the page lies between them, and no stride of 2 MiB meets it.
    let blocks = [0, 2, 64, 128, 192].map(block);
    for features in FEATURES {
        withdraw(features, &[&blocks[..], &[page(160, 3)]].concat());
    }
}

#[test]
fn a_block_in_the_gap_between_merged_pages_is_not_left_stale() {
    // The range operations over the gap have the pages' level for a hint, unless the block is known to be there.
    let singles = [(0, 0), (64, 0), (128, 0), (192, 7), (196, 9)].map(|(slot, at)| page(slot, at));
    for features in FEATURES {
        withdraw(features, &[&singles[..], &[block(194)]].concat());
    }
}

#[test]
fn a_page_beside_a_block_in_the_gap_does_not_bring_the_hint_back() {
    let singles = [(0, 0), (64, 0), (128, 0), (192, 7), (196, 9)].map(|(slot, at)| page(slot, at));
    for features in FEATURES {
        withdraw(
            features,
            &[&singles[..], &[block(194), page(195, 3)]].concat(),
        );
    }
}

#[test]
fn a_block_in_the_gap_between_merged_large_blocks_is_not_left_stale() {
    let blocks = [0, 2, 8, 16, 24].map(large_block);
    for features in FEATURES {
        withdraw(features, &[&blocks[..], &[block(20 * 512 + 5)]].concat());
    }
}

#[test]
fn no_order_of_withdrawals_leaves_a_stale_translation() {
    let two_levels = [
        block(1),
        page(2, 5),
        block(3),
        page(6, 9),
        page(8, 0),
        block(9),
    ];
    let three_levels = [
        block(1),
        page(2, 5),
        block(3),
        large_block(1),
        block(2 * 512 + 7),
        large_block(3),
    ];
    for mut ranges in [two_levels, three_levels] {
        for features in [PLAIN, FULL] {
            orders(&mut ranges, 0, &mut |order| withdraw(features, order));
        }
    }
}

/// The runs of pages that the debt has after `ranges` were unmapped in this order, and the TLBIs for them.
fn owed(features: Features, ranges: &[Pages]) -> (Vec<Pages>, Vec<Tlbi>) {
    let model = Model::new(1, features);
    let space = model.space(TASK);
    let mut gather = space.gather(());
    for range in ranges {
        let frame = frame(range.start().raw() >> PAGE_SHIFT);
        space.map(*range, frame, Prot::RO, Fit::Largest).unwrap();
    }
    for range in ranges {
        space.unmap(*range, &mut gather).unwrap();
    }
    let debt = gather.debt();
    (debt.pages().collect(), debt.ops(features).collect())
}

/// From the first page of one to the last of the other.
fn hull(first: Pages, last: Pages) -> Pages {
    let end = last.skip(last.count() - 1).start().raw() + PAGE_SIZE;
    pages(
        first.start().raw(),
        (end - first.start().raw()) >> PAGE_SHIFT,
    )
}

#[test]
fn cost_a_fifth_run_is_merged_with_the_nearest_alone() {
    let four = [100, 200, 300, 400].map(|index| page(0, index));
    // Where the fifth is, which of the four it is nearest to.
    for (at, nearest) in [
        (50, 0),
        (149, 0),
        (151, 1),
        (249, 1),
        (251, 2),
        (349, 2),
        (351, 3),
        (450, 3),
    ] {
        let fifth = page(0, at);
        let mut expected = four.to_vec();
        expected[nearest] = if at < 100 * (nearest as u64 + 1) {
            hull(fifth, four[nearest])
        } else {
            hull(four[nearest], fifth)
        };
        let ranges = [&four[..], &[fifth]].concat();
        assert_eq!(owed(PLAIN, &ranges).0, expected, "page {at}");
    }
}

#[test]
fn cost_the_nearest_is_where_the_gap_is_smallest_whatever_the_length_of_the_run() {
    // Between a run of 300 pages and a single one, 100 pages after it.
    let ranges = [pages(0, 300), page(0, 400), page(3, 0), page(6, 0)];
    for (at, nearest) in [(340, 0), (360, 1)] {
        let fifth = page(0, at);
        let mut expected = ranges;
        expected[nearest] = match nearest {
            0 => hull(ranges[0], fifth),
            _ => hull(fifth, ranges[1]),
        };
        let all = [&ranges[..], &[fifth]].concat();
        assert_eq!(owed(PLAIN, &all).0, expected, "page {at}");
    }
}

#[test]
fn cost_of_long_runs_those_are_merged_with_the_smallest_gap() {
    // Gaps of 30, 20, 5 and 40 pages.
    let runs = [0, 40, 70, 85, 135].map(|at| pages(at * PAGE_SIZE, 10));
    let merged = [runs[0], runs[1], hull(runs[2], runs[3]), runs[4]];
    assert_eq!(owed(PLAIN, &runs).0, merged);
}

#[test]
fn cost_the_two_cheapest_of_five_are_merged_in_whatever_order_they_come() {
    // Four close to each other, one far away.
    let close = [10, 20, 31, 45].map(|index| page(0, index));
    let far = page(7, 100);
    orders(
        &mut [close[0], close[1], close[2], close[3], far],
        0,
        &mut |order| {
            let (runs, ops) = owed(FULL, order);
            let merged = hull(close[0], close[1]);
            assert_eq!(runs, [merged, close[2], close[3], far], "{order:?}");
            assert!(ops.len() <= 10, "{ops:?}");
        },
    );
    // A block is not made 512 pages for a page beside it, where two pages are nearer to each other than that.
    let pages = [page(2, 3), page(2, 400), page(5, 0), page(8, 9)];
    orders(
        &mut [block(1), pages[0], pages[1], pages[2], pages[3]],
        0,
        &mut |order| {
            let (runs, ops) = owed(PLAIN, order);
            let merged = hull(pages[0], pages[1]);
            assert_eq!(runs, [block(1), merged, pages[2], pages[3]], "{order:?}");
            assert_eq!(ops.len(), 1 + 398 + 2);
        },
    );
}

/// The fifth is nearer to the last than any two neighbours are to each other, but for the first two.
#[test]
fn cost_the_first_two_are_merged_where_they_are_the_nearest() {
    let five = [10, 20, 131, 245, 295].map(|index| page(0, index));
    let (runs, ops) = owed(PLAIN, &five);
    assert_eq!(runs, [hull(five[0], five[1]), five[2], five[3], five[4]]);
    assert_eq!(ops.len(), 11 + 3);
}

#[test]
fn cost_every_other_page_is_four_runs_and_reaches_no_further() {
    for downwards in [false, true] {
        let mut every_other: Vec<Pages> = (0..256).map(|n| page(0, 2 * n)).collect();
        if downwards {
            every_other.reverse();
        }
        let (runs, ops) = owed(PLAIN, &every_other);
        assert_eq!(runs.len(), 4);
        // Three gaps are left out, of 255.
        assert_eq!(ops.len(), 511 - 3, "{runs:?}");
    }
}

#[test]
fn cost_four_runs_stay_apart() {
    let ranges = [3, 0, 9, 6].map(|slot| page(slot, slot));
    let (runs, ops) = owed(PLAIN, &ranges);
    let sorted = [0, 3, 6, 9].map(|slot| page(slot, slot));
    assert_eq!((&runs[..], ops.len()), (&sorted[..], 4));
}

#[test]
fn cost_batches_that_arrive_downwards_are_one_run() {
    let batches: Vec<Pages> = (0..8).rev().map(|n| pages(n * 0x4000, 4)).collect();
    let (runs, ops) = owed(PLAIN, &batches);
    assert_eq!((runs, ops.len()), (vec![pages(0, 32)], 32));
}

#[test]
fn cost_batches_that_arrive_unsorted_are_invalidated_once_each() {
    let batch = |n: u64| pages(n * 0x4000, 4);
    orders(&mut [0, 1, 2, 3].map(batch), 0, &mut |order| {
        let (runs, ops) = owed(PLAIN, order);
        let page = |page: Pages| page.start().raw() >> PAGE_SHIFT;
        let mut pages: Vec<u64> = runs
            .iter()
            .flat_map(|run| run.chunks(1))
            .map(page)
            .collect();
        pages.sort_unstable();
        assert_eq!(pages, (0..16).collect::<Vec<_>>(), "{order:?}");
        assert_eq!(ops.len(), 16, "{order:?}");
    });
    // In turn on either side of what is there.
    assert_eq!(owed(PLAIN, &[2, 1, 3, 0].map(batch)).0, [pages(0, 16)]);
}

#[test]
fn cost_a_run_of_another_level_is_not_joined_to_its_neighbour() {
    let (below, above) = (pages(MIB2 - 0x3000, 3), pages(2 * MIB2, 3));
    for ranges in [[below, block(1), above], [above, block(1), below]] {
        let (runs, ops) = owed(PLAIN, &ranges);
        assert_eq!((&runs[..], ops.len()), (&[below, block(1), above][..], 7));
        // Each with the hint of its level.
        let hinted = |level| {
            let all = ops_of(FULL, &ranges);
            all.iter().filter(|op| hint(**op) == level).count()
        };
        assert_eq!([hinted(None), hinted(Some(2)), hinted(Some(3))], [0, 1, 4]);
    }
}

fn ops_of(features: Features, ranges: &[Pages]) -> Vec<Tlbi> {
    owed(features, ranges).1
}

/// The level in the TTL field.
fn hint(op: Tlbi) -> Option<u64> {
    let ttl = match op {
        Tlbi::Vale1is(x) => (x >> 44) & 0b11,
        Tlbi::Rvale1is(x) => (x >> 37) & 0b11,
        other => panic!("{other:?}"),
    };
    (ttl != 0).then_some(ttl)
}

#[test]
fn cost_runs_of_one_level_keep_the_hint_when_they_are_merged() {
    let singles = [0, 64, 128, 192, 196].map(|slot| page(slot, 0));
    let ops = ops_of(FULL, &singles);
    assert!(ops.iter().all(|op| hint(*op) == Some(3)), "{ops:x?}");
    // Of two levels they have none; those beside them keep theirs.
    let ops = ops_of(FULL, &[&singles[..4], &[block(196)]].concat());
    let hints: Vec<_> = ops.iter().map(|op| hint(*op)).collect();
    assert_eq!(hints[..3], [Some(3); 3]);
    assert!(
        hints.len() > 3 && hints[3..].iter().all(Option::is_none),
        "{ops:x?}"
    );
}

#[test]
fn cost_a_page_that_loses_a_right_and_then_its_mapping_is_invalidated_once() {
    let model = Model::new(1, PLAIN);
    let space = model.space(TASK);
    let area = pages(0, 8);
    space.map(area, ram(0), Prot::RW, Fit::Pages).unwrap();
    let mut gather = space.gather(());
    space.protect(area, Access::ReadOnly, &mut gather).unwrap();
    for page in [3, 0, 7] {
        space.unmap(area.skip(page).take(1), &mut gather).unwrap();
    }
    assert_eq!(gather.debt().pages().collect::<Vec<_>>(), [area]);
    assert_eq!(gather.debt().reach(PLAIN), Some(8));
    gather.finish();
    // Where the debt is of that page alone.
    let (mut gather, last) = (space.gather(()), area.skip(1).take(1));
    space.protect(last, Access::ReadWrite, &mut gather).unwrap();
    space.unmap(last, &mut gather).unwrap();
    assert_eq!(gather.debt().pages().collect::<Vec<_>>(), [last]);
}

#[test]
fn cost_a_block_is_one_invalidation_at_the_stride_of_its_level() {
    for (range, level) in [(page(5, 5), 3), (block(5), 2), (large_block(5), 1)] {
        let [op] = ops_of(FULL, &[range])[..] else {
            panic!("{range:?}")
        };
        assert_eq!(hint(op), Some(level));
        assert_eq!(ops_of(PLAIN, &[range]).len(), 1);
        // Its neighbour makes one range with it, at the same level.
        let two = pages(range.start().raw(), 2 * range.count());
        let [op] = ops_of(FULL, &[two])[..] else {
            panic!("{two:?}")
        };
        assert_eq!((hint(op), op.reach()), (Some(level), Some(two.count())));
    }
}

/// Unmaps a block and five pages around it with one gather, in this order (0 is the block), looks at
/// all of them before and after.
fn merged_spans(features: Features, order: [usize; 6]) {
    const SLOT: u64 = 2 << 20;
    let model = Model::new(2, features);
    let space = model.space(TASK);
    // The block in slot 1; the pages each at another place in theirs, so that no stride of 2 MiB
    // meets two of them.
    let single = |slot: u64| pages(slot * SLOT + (slot + 3) * 0x1000, 1);
    let ranges = [
        pages(SLOT, 512),
        single(0),
        single(4),
        single(8),
        single(12),
        single(2),
    ];
    for (n, range) in ranges.into_iter().enumerate() {
        space
            .map(range, ram(n as u64 * 512), Prot::RW, Fit::Largest)
            .unwrap();
        seen(&model, &space, range.start().raw());
    }
    let mut gather = space.gather(());
    for n in order {
        space.unmap(ranges[n], &mut gather).unwrap();
    }
    gather.finish();
    for range in ranges {
        let va = range.start().raw();
        assert_eq!(
            seen(&model, &space, va),
            only(Seen::Fault),
            "{va:#x} {features:?} {order:?}"
        );
    }
}

#[test]
fn merged_spans_of_several_levels_leave_nothing() {
    for features in [PLAIN, FULL] {
        merged_spans(features, [1, 2, 3, 4, 5, 0]);
        merged_spans(features, [0, 2, 3, 4, 5, 1]);
        merged_spans(features, [5, 0, 2, 3, 4, 1]);
        merged_spans(features, [4, 3, 2, 1, 0, 5]);
    }
}

#[test]
fn the_batches_are_the_operations_folded() {
    let (model, va) = (model(), 0x40_0000);
    let space = model.space(TASK);
    let (run, block) = (pages(va, 600), pages(va + (1 << 30), 512));
    space.map(run, ram(0), Prot::RW, Fit::Pages).unwrap();
    space.map(block, ram(0), Prot::RW, Fit::Largest).unwrap();
    let mut gather = space.gather(());
    space.unmap(block, &mut gather).unwrap();
    for page in run.chunks(150) {
        space.unmap(page, &mut gather).unwrap();
        for features in [FULL, PLAIN] {
            let mut unfolded = Vec::new();
            let debt = gather.debt();
            debt.each_batch(features, |batch| unfolded.extend(batch.ops()));
            assert_eq!(unfolded, debt.ops(features).collect::<Vec<_>>());
        }
    }
}
