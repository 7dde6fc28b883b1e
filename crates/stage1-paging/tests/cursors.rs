//! Cursors: what they owe and when, what they refuse, and that they keep to their pages.
//! `random.rs` drives them among the other operations.

mod common;

use common::*;
use stage1_paging::model::Seen;
use stage1_paging::*;

const VA: u64 = 0x40_0000;

#[test]
fn a_cursor_owes_one_pair_for_all_that_it_mapped_when_it_is_dropped() {
    let model = model();
    let space = model.space(TASK);
    let area = pages(VA + 0x1f_e000, 4);
    space.reserve(area).unwrap();
    let _ = model.events();
    // Over the end of a table.
    let mut cursor = space.cursor(area);
    for (n, page) in (0..).zip(area) {
        cursor.map(page, ram(n), Prot::RW).unwrap();
    }
    let again = cursor.map(area.start(), ram(9), Prot::RW);
    assert_eq!(failure(again).0, What::AlreadyMapped);
    assert_eq!(trace(&model.events()), "ssss");
    drop(cursor);
    assert_eq!(trace(&model.events()), "di");
    for (n, page) in (0..).zip(area) {
        let mapped = only(Seen::Page(ram(n), Prot::RW));
        assert_eq!(seen(&model, &space, page.raw()), mapped);
    }
    // Without a change it owes nothing; cleared descriptors owe no pair; changed ones do.
    let mut gather = space.gather(());
    let _ = model.events();
    let mut cursor = space.cursor(area);
    let same = cursor.protect(area.start(), Access::ReadWrite, &mut gather);
    assert_eq!(same, Ok(true));
    assert_eq!(cursor.unmap(area.start(), &mut gather), Ok(true));
    assert_eq!(cursor.unmap(area.start(), &mut gather), Ok(false));
    drop(cursor);
    assert_eq!(trace(&model.events()), "c");
    let mut cursor = space.cursor(area);
    let second = area.skip(1).start();
    assert_eq!(
        cursor.protect(second, Access::ReadOnly, &mut gather),
        Ok(true)
    );
    drop(cursor);
    assert_eq!(trace(&model.events()), "sdi");
    gather.finish();
    assert_eq!(trace(&model.events()), "dtDi");
}

#[test]
fn a_cursor_owes_for_a_table_that_it_linked_for_nothing() {
    let model = model();
    let space = model.space(TASK);
    model.limit_tables(1);
    let mut cursor = space.cursor(pages(VA, 1));
    let refused = cursor.map(Va::new(VA), ram(0), Prot::RW);
    assert_eq!(failure(refused), (What::OutOfFrames, VA, 0));
    let _ = model.events();
    drop(cursor);
    assert_eq!(trace(&model.events()), "di");
}

#[test]
fn a_cursor_refuses_what_the_operations_on_ranges_refuse() {
    let model = model();
    let (space, other) = (model.space(TASK), model.space(TASK));
    let block = pages(VA, 512);
    space.map(block, ram(0), Prot::RW, Fit::Largest).unwrap();
    let area = pages(VA, 1026);
    let mut gather = space.gather(());
    let (mut mine, mut cursor) = (other.gather(()), space.cursor(area));
    let far = Va::new(VA + (2 << 20));
    cursor.map(far, ram(1), Prot::RW).unwrap();
    let mut refused = |va: u64, what| {
        let va = Va::new(va);
        assert_eq!(failure(cursor.unmap(va, &mut gather)).0, what);
        let protected = cursor.protect(va, Access::ReadOnly, &mut gather);
        assert_eq!(failure(protected).0, what);
        let mapped = failure(cursor.map(va, ram(2), Prot::RW)).0;
        let block = what == What::PartOfBlock;
        assert_eq!(mapped, if block { What::AlreadyMapped } else { what });
    };
    // In the table that is remembered, before it, in no page, in no half, behind the pages.
    refused(far.raw() + 8, What::Misaligned);
    refused(VA - 0x1000, What::Outside);
    refused(VA + 0x1000, What::PartOfBlock);
    refused(1 << 50, What::NonCanonical);
    refused(VA + 1026 * 0x1000, What::Outside);
    let executable = cursor.protect(far, Access::ReadExecute, &mut gather);
    assert_eq!(failure(executable).0, What::WriteAndExecute);
    let both = cursor.map(
        far,
        ram(3),
        Prot {
            access: Access::ReadWriteExecute,
            ..Prot::RW
        },
    );
    assert_eq!(failure(both).0, What::WriteAndExecute);
    assert_eq!(failure(cursor.unmap(far, &mut mine)).0, What::OtherGather);
    let protected = cursor.protect(far, Access::ReadOnly, &mut mine);
    assert_eq!(failure(protected).0, What::OtherGather);
}

#[test]
fn a_cursor_moves_pages_to_where_another_is() {
    let model = model();
    let (space, other) = (model.space(TASK), model.space(TASK));
    let (area, far) = (pages(VA, 4), pages(VA + (6 << 20), 4));
    space.map(area, ram(0), Prot::RW, Fit::Pages).unwrap();
    let mut gather = space.gather(());
    let (mut from, mut to) = (space.cursor(area), space.cursor(far));
    let place = |n| far.skip(n).start();
    let page = |n| area.skip(n).start();
    let _ = model.events();
    // The table there is linked on the way, for the first.
    for n in 0..3 {
        let moved = from.move_to(page(n), &mut to, place(n), &mut gather);
        assert_eq!(moved, Ok(true));
    }
    assert_eq!(
        from.move_to(page(0), &mut to, place(3), &mut gather),
        Ok(false)
    );
    let refused = from.move_to(page(3), &mut to, place(1), &mut gather);
    assert_eq!(failure(refused), (What::AlreadyMapped, page(3).raw(), 0));
    let outside = from.move_to(page(3), &mut to, page(0), &mut gather);
    assert_eq!(failure(outside), (What::Outside, page(0).raw(), 0));
    let mut foreign = other.cursor(far);
    let refused = from.move_to(page(3), &mut foreign, place(3), &mut gather);
    assert_eq!(failure(refused).0, What::OtherGather);
    assert!(!gather.touches(area.skip(3)) && gather.touches(area.take(1)));
    drop((from, to));
    gather.finish();
    for n in 0..3 {
        let mapped = only(Seen::Page(ram(n), Prot::RW));
        assert_eq!(seen(&model, &space, place(n).raw()), mapped);
        assert_eq!(seen(&model, &space, page(n).raw()), only(Seen::Fault));
    }
}

#[test]
fn a_cursor_pays_before_it_moves_to_where_a_page_was_withdrawn() {
    let model = model();
    let space = model.space(TASK);
    let area = pages(VA, 2);
    space.map(area, ram(0), Prot::RW, Fit::Pages).unwrap();
    let (first, second) = (area.start(), area.skip(1).start());
    // Both are in a TLB.
    assert_eq!(seen(&model, &space, VA), only(Seen::Page(ram(0), Prot::RW)));
    let mut gather = space.gather(());
    let (mut from, mut to) = (space.cursor(area), space.cursor(area));
    assert_eq!(to.unmap(first, &mut gather), Ok(true));
    let _ = model.events();
    assert_eq!(from.move_to(second, &mut to, first, &mut gather), Ok(true));
    assert_eq!(trace(&model.events()), "dtDisc");
    let same = from.move_to(first, &mut to, first, &mut gather);
    assert_eq!(same, Ok(true));
    assert_eq!(trace(&model.events()), "");
    drop((from, to));
    gather.finish();
    assert_eq!(seen(&model, &space, VA), only(Seen::Page(ram(1), Prot::RW)));
}

/// What a change that paid first made of one page is not made of the next without a look.
#[test]
fn a_cursor_pays_each_time_for_a_right_that_a_tlb_may_contradict() {
    let model = model();
    let space = model.space(TASK);
    let area = pages(VA, 2);
    space.map(area, ram(0), Prot::RX, Fit::Pages).unwrap();
    let mut gather = space.gather(());
    let mut cursor = space.cursor(area);
    for page in area {
        let _ = model.events();
        cursor.protect(page, Access::ReadOnly, &mut gather).unwrap();
        assert_eq!(trace(&model.events()), "s");
        cursor
            .protect(page, Access::ReadWrite, &mut gather)
            .unwrap();
        assert_eq!(trace(&model.events()), "dtDis");
    }
}

/// Each page of a run that was withdrawn, and none beside it.
#[test]
fn a_cursor_pays_first_only_where_its_destination_is_owed_for() {
    let page = |n: u64| pages(VA + n * 0x1000, 1);
    for to in 6..14 {
        let model = model();
        let space = model.space(TASK);
        let withdrawn = pages(VA + 8 * 0x1000, 4);
        for area in [withdrawn, page(32)] {
            space.map(area, ram(0), Prot::RW, Fit::Pages).unwrap();
        }
        let mut gather = space.gather(());
        space.unmap(withdrawn, &mut gather).unwrap();
        let (mut from, mut there) = (space.cursor(page(32)), space.cursor(page(to)));
        let (old, new) = (page(32).start(), page(to).start());
        let _ = model.events();
        let moved = from.move_to(old, &mut there, new, &mut gather);
        assert_eq!(moved, Ok(true));
        let owed = if withdrawn.covers(page(to)) {
            "dtDisc"
        } else {
            "sc"
        };
        assert_eq!(trace(&model.events()), owed, "page {to}");
    }
}

/// Of two refusals that an entry could give, each gives the same.
#[test]
fn that_a_page_is_of_the_other_half_is_said_before_what_it_may_not_be() {
    let model = model();
    let space = model.space(TASK);
    let (page, prot) = (
        pages(!0 << 48, 1),
        Prot {
            access: Access::ReadWriteExecute,
            ..Prot::RW
        },
    );
    let mut cursor = space.cursor(Pages::whole(Half::Upper));
    for refused in [
        space.map(page, ram(0), prot, Fit::Pages),
        space.map_page(page.start(), ram(0), prot),
        space.map_frames(page, [ram(0)], prot),
    ] {
        assert_eq!(failure(refused).0, What::OtherHalf);
    }
    let refused = cursor.map(page.start(), ram(0), Prot::RW);
    assert_eq!(failure(refused).0, What::OtherHalf);
}

/// A place that is none is refused, whatever is mapped; and the invalidation for a page that was moved settles the link of the table that it
/// took.
#[test]
fn a_cursor_looks_at_the_place_first_and_owes_once_for_table_and_page() {
    let model = model();
    let space = model.space(Half::Upper);
    let start = !0 << 48;
    let (area, far) = (pages(start, 1), pages(start + (6 << 20), 1));
    let mut gather = space.gather(());
    let (mut from, mut to) = (space.cursor(area), space.cursor(far));
    for (place, what) in [
        (far.start().raw() + 8, What::Misaligned),
        (far.start().raw() + 0x1000, What::Outside),
    ] {
        let refused = from.move_to(area.start(), &mut to, Va::new(place), &mut gather);
        assert_eq!(failure(refused), (what, place, 0));
    }
    space.map(area, ram(0), Prot::RW, Fit::Pages).unwrap();
    let _ = model.events();
    let moved = from.move_to(area.start(), &mut to, far.start(), &mut gather);
    assert_eq!(moved, Ok(true));
    drop((from, to));
    let owed = trace(&model.events()).matches("di").count();
    assert_eq!(owed, usize::from(!model.invalidation_settles()));
    gather.finish();
    let mapped = only(Seen::Page(ram(0), Prot::RW));
    assert_eq!(seen(&model, &space, far.start().raw()), mapped);
}

/// Where a table was unlinked, a walk cache may still have it: another one is linked behind the invalidation.
#[test]
fn a_cursor_pays_before_it_links_a_table_where_one_was_unlinked() {
    let model = model();
    let mut space = model.space(TASK);
    let (area, far) = (pages(VA, 1), pages(VA + (2 << 20), 1));
    for pages in [area, far] {
        space.map(pages, ram(0), Prot::RW, Fit::Pages).unwrap();
        assert_eq!(
            seen(&model, &space, pages.start().raw()),
            only(Seen::Page(ram(0), Prot::RW))
        );
    }
    let mut first = space.gather(());
    space.unmap(far, &mut first).unwrap();
    first.finish();
    let mut gather = space.gather(());
    let table = pages(VA + (2 << 20), 512);
    space.free_tables(table, &mut gather).unwrap();
    assert!(gather.touches(far));
    let (mut from, mut to) = (space.cursor(area), space.cursor(far));
    let moved = from.move_to(area.start(), &mut to, far.start(), &mut gather);
    assert_eq!(moved, Ok(true));
    assert_eq!(model.conflicts(), []);
    drop((from, to));
    gather.finish();
}
