//! Moves: what they keep, what they refuse, and how far they get.

mod common;

use common::*;
use stage1_paging::*;

const GIB: u64 = 1 << 30;
const MIB2: u64 = 2 << 20;

#[test]
fn out_of_frames_leaves_an_overlapping_move_undone() {
    let model = model();
    let space = model.space(TASK);
    space
        .map(pages(MIB2 - 3 * 4096, 3), ram(0), Prot::RW, Fit::Pages)
        .unwrap();
    let before = list(&space, Pages::whole(TASK));
    model.limit_tables(0);
    let mut gather = space.gather(());
    let result = space.move_pages(pages(MIB2 - 3 * 4096, 3), Va::new(MIB2 - 4096), &mut gather);
    assert_eq!(failure(result), (What::OutOfFrames, MIB2 - 2 * 4096, 0));
    assert!(gather.debt().is_empty());
    assert_eq!(list(&space, Pages::whole(TASK)), before);
}

#[test]
fn a_move_to_where_it_is_counts_what_it_would_move() {
    let model = model();
    let space = model.space(TASK);
    space
        .map(pages(0, 513), frame(0), Prot::RW, Fit::Largest)
        .unwrap();
    let mut gather = space.gather(());
    let _ = model.events();
    let mut stay = |at: u64, n| space.move_pages(pages(at, n), Va::new(at), &mut gather);
    assert_eq!(stay(0, 600), Ok(513));
    assert_eq!(failure(stay(0x1000, 1)), (What::PartOfBlock, 0x1000, 0));
    assert_eq!(model.events(), []);
}

#[test]
fn an_overlapping_move_keeps_order_holes_and_permissions() {
    // Where page numbers are small, and where they are large.
    for (from, to) in [
        (510, 512),
        (512, 510),
        (500, 501),
        (501, 500),
        (0, 700),
        (700, 0),
    ]
    .into_iter()
    .flat_map(|(from, to)| [0, 5 << 18].map(|base| (base + from, base + to)))
    {
        let model = model();
        let space = model.space(TASK);
        let page = |p: u64| Va::new(p * 4096);
        let mut want = Vec::new();
        for i in (0..900).filter(|i| i % 7 != 3) {
            let prot = if i % 2 == 0 { Prot::RW } else { Prot::RX };
            space.map_page(page(from + i), ram(i * 3), prot).unwrap();
            want.push(((to + i) * 4096, ram(i * 3).pa().raw() >> 12, Level::L3));
        }
        seen(&model, &space, (from + 300) * 4096);
        let _ = model.events();
        let mut gather = space.gather(());
        assert_eq!(
            space.move_pages(pages(from * 4096, 900), page(to), &mut gather),
            Ok(want.len() as u64)
        );
        gather.finish();
        assert_eq!(list(&space, Pages::whole(TASK)), want);
        // No remains of what was broken.
        let ends = (from.min(to)..from.max(to) + 900).map(|p| space.lookup(page(p)).unwrap().1);
        assert!(
            ends.into_iter()
                .all(|desc| desc.is_valid() || desc == Desc::INVALID)
        );
        let counts = count(&model.events());
        assert!(
            counts.dsb <= 3 && counts.isb <= 2,
            "one invalidation and one pair: {counts:?}"
        );
        assert_eq!(model.conflicts(), []);
        for va in want.iter().map(|w| w.0).step_by(97) {
            assert_eq!(seen(&model, &space, va).concat().len(), 2);
        }
    }
}

#[test]
fn a_move_elsewhere_keeps_order_holes_and_permissions() {
    for (from, to) in [(500, 2000), (2000, 500), (3, 5 << 18), (5 << 18, 3)] {
        let model = model();
        let space = model.space(TASK);
        let page = |p: u64| Va::new(p * 4096);
        let mut want = Vec::new();
        for i in (0..900).filter(|i| i % 7 != 3 && i % 400 < 390) {
            let prot = if i % 2 == 0 { Prot::RW } else { Prot::RX };
            space.map_page(page(from + i), ram(i * 3), prot).unwrap();
            want.push((page(to + i).raw(), ram(i * 3).pa().raw() >> 12, Level::L3));
        }
        let mut gather = space.gather(());
        let moved = space.move_pages(pages(from * 4096, 900), page(to), &mut gather);
        assert_eq!(moved, Ok(want.len() as u64), "holes are not counted");
        gather.finish();
        assert_eq!(list(&space, Pages::whole(TASK)), want);
        let access = |(va, ..): &(u64, u64, Level)| space.lookup(Va::new(*va)).unwrap().1.access();
        let odd = want.iter().filter(|at| (at.0 / 4096 - to) % 2 == 1);
        assert!(odd.clone().count() > 300 && odd.clone().all(|at| access(at).is_executable()));
    }
}

#[test]
fn a_move_elsewhere_says_what_stands_in_its_way_and_where() {
    let model = model();
    let space = model.space(TASK);
    let to = GIB + 510 * 4096;
    space
        .map(pages(0, 8), frame(0), Prot::RW, Fit::Pages)
        .unwrap();
    // In the second table there.
    space
        .map_page(Va::new(to + 5 * 4096), ram(0), Prot::RW)
        .unwrap();
    let mut gather = space.gather(());
    let result = space.move_pages(pages(0, 8), Va::new(to), &mut gather);
    assert_eq!(failure(result), (What::AlreadyMapped, 5 * 4096, 5));
    let there = |n| (to + n * 4096, n, Level::L3);
    let mut want = vec![(5 * 4096, 5, Level::L3), (6 * 4096, 6, Level::L3)];
    want.push((7 * 4096, 7, Level::L3));
    want.extend([0, 1, 2, 3, 4].map(there));
    want.push((to + 5 * 4096, ram(0).pa().raw() >> 12, Level::L3));
    assert_eq!(list(&space, Pages::whole(TASK)), want);
}

#[test]
fn an_overlapping_move_says_what_stands_in_its_way_and_where() {
    let page = |n: u64| n * 4096;
    // Ten pages move up or down by four; something is mapped at the page `at` of where they go.
    for (from, to, at) in [(520, 524, 6), (520, 524, 9), (524, 520, 0), (524, 520, 3)] {
        let model = model();
        let space = model.space(TASK);
        let area = pages(page(from), 10);
        space.map(area, frame(0), Prot::RW, Fit::Pages).unwrap();
        space
            .map_page(Va::new(page(to + at)), ram(0), Prot::RW)
            .unwrap();
        let before = list(&space, Pages::whole(TASK));
        let mut gather = space.gather(());
        let result = space.move_pages(area, Va::new(page(to)), &mut gather);
        let what = (What::AlreadyMapped, page(from + at), 0);
        assert_eq!(failure(result), what, "{from} to {to}, {at}");
        assert_eq!(list(&space, Pages::whole(TASK)), before);
    }
    // A block that begins before the part that must be free, and one that would be moved.
    let model = model();
    let space = model.space(TASK);
    space
        .map(pages(0, 512), frame(0), Prot::RW, Fit::Largest)
        .unwrap();
    space
        .map(pages(MIB2, 8), ram(0), Prot::RW, Fit::Pages)
        .unwrap();
    let before = list(&space, Pages::whole(TASK));
    let mut gather = space.gather(());
    let mut refused = |from, n, to| {
        let result = space.move_pages(pages(page(from), n), Va::new(page(to)), &mut gather);
        assert_eq!(list(&space, Pages::whole(TASK)), before);
        failure(result)
    };
    assert_eq!(refused(512, 8, 508), (What::AlreadyMapped, page(512), 0));
    assert_eq!(refused(0, 1024, 1), (What::PartOfBlock, 0, 0));
    assert!(gather.debt().is_empty());
}

#[test]
fn a_hole_takes_no_place_wherever_it_would_go() {
    let page = |n: u64| Va::new(n * 4096);
    // Apart, and overlapping in both directions: pages 1, 4 and 9 of the ten are holes, so what is mapped where those would go
    // stays, a block included, and no table is linked for them.
    for (from, to) in [
        (600, 3000),
        (600, 604),
        (604, 600),
        (700, 1527),
        (1523, 1527),
        (507, 512),
    ] {
        let model = model();
        let space = model.space(TASK);
        let area = Pages::new(page(from), 10).unwrap();
        let holes = |n: &u64| [1, 4, 9].contains(n);
        let kept = |n: u64| holes(&n) && !area.contains(page(to + n));
        for n in (0..10).filter(|n| !holes(n)) {
            space.map_page(page(from + n), ram(n), Prot::RW).unwrap();
        }
        let block = to / 512 == 2 && (to + 9) / 512 == 3;
        if block {
            let there = pages(3 * MIB2, 512);
            space.map(there, frame(0), Prot::RW, Fit::Largest).unwrap();
        }
        for n in (0..10).filter(|n| kept(*n) && !block) {
            space.map_page(page(to + n), ram(50 + n), Prot::RW).unwrap();
        }
        let mut gather = space.gather(());
        assert_eq!(
            space.move_pages(area, page(to), &mut gather),
            Ok(7),
            "{from} to {to}"
        );
        gather.finish();
        let number = |n: u64| space.walk(page(to + n)).unwrap().frame();
        for n in 0..10 {
            let want = match n {
                _ if !holes(&n) => Some(ram(n)),
                9 if block => Some(frame((to + 9) % 512)),
                _ if kept(n) && !block => Some(ram(50 + n)),
                _ => None,
            };
            assert_eq!(number(n), want, "{from} to {to}, page {n}");
        }
    }
    // All holes: no table, no debt.
    let model = model();
    let space = model.space(TASK);
    let mut gather = space.gather(());
    for to in [MIB2, GIB] {
        let moved = space.move_pages(pages(MIB2 - 0x3000, 9), Va::new(to), &mut gather);
        assert_eq!(moved, Ok(0));
    }
    assert_eq!(model.events(), []);
}

#[test]
fn a_block_moves_as_a_block_where_it_is_aligned() {
    let model = model();
    let space = model.space(TASK);
    space
        .map(pages(0, 1024), frame(0), Prot::RW, Fit::Largest)
        .unwrap();
    let mut gather = space.gather(());
    assert_eq!(
        space.move_pages(pages(0, 1024), Va::new(GIB), &mut gather),
        Ok(1024)
    );
    let result = space.move_pages(pages(GIB, 512), Va::new(4096), &mut gather);
    assert_eq!(failure(result), (What::PartOfBlock, GIB, 0));
    gather.finish();
    assert_eq!(
        list(&space, Pages::whole(TASK)),
        [(GIB, 0, Level::L2), (GIB + MIB2, 512, Level::L2)]
    );
}

#[test]
fn a_block_does_not_move_to_where_a_table_is() {
    let model = model();
    let space = model.space(TASK);
    space
        .map(pages(0, 512), frame(0), Prot::RW, Fit::Largest)
        .unwrap();
    space.reserve(pages(GIB + MIB2, 1)).unwrap();
    let before = list(&space, Pages::whole(TASK));
    let mut gather = space.gather(());
    let result = space.move_pages(pages(0, 512), Va::new(GIB + MIB2), &mut gather);
    assert_eq!(failure(result), (What::PartOfBlock, 0, 0));
    assert_eq!(list(&space, Pages::whole(TASK)), before);
    assert_eq!(
        space.move_pages(pages(0, 512), Va::new(GIB), &mut gather),
        Ok(512)
    );
}

/// A table that stands behind a block is no block: its pages are moved, and what a TLB holds of them goes.
#[test]
fn a_move_of_a_block_and_the_pages_behind_it_leaves_none_of_them_stale() {
    let model = model();
    let space = model.space(TASK);
    let (block, page) = (pages(0, 512), pages(MIB2, 1));
    space
        .map(block, frame(512), Prot::RW, Fit::Largest)
        .unwrap();
    space.map(page, ram(1), Prot::RW, Fit::Pages).unwrap();
    seen(&model, &space, MIB2);
    let mut gather = space.gather(());
    let both = pages(0, 1024);
    assert_eq!(space.move_pages(both, Va::new(GIB), &mut gather), Ok(513));
    gather.finish();
    let moved = only(model::Seen::Page(ram(1), Prot::RW));
    assert_eq!(seen(&model, &space, GIB + MIB2), moved);
    assert_eq!(seen(&model, &space, MIB2), only(model::Seen::Fault));
}
