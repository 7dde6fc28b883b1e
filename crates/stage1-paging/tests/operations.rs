//! What the operations do and refuse, one by one. The random test has the combinations.

mod common;

use common::*;
use stage1_paging::model::{Model, Seen};
use stage1_paging::*;

const GIB: u64 = 1 << 30;
const MIB2: u64 = 2 << 20;

#[test]
fn the_largest_fit_uses_blocks_where_both_sides_are_aligned() {
    let model = model();
    let space = model.space(Half::Upper);
    let base = 0xffff_8000_0000_0000;
    let start = base + GIB - MIB2 - 4096;
    // One page, one 2 MiB block, one 1 GiB block, one 2 MiB block, one page.
    let n = (GIB + 2 * MIB2) / 4096 + 2;
    let first = frame((2 * GIB - MIB2) / 4096 - 1);
    space
        .map(pages(start, n), first, Prot::RW, Fit::Largest)
        .unwrap();
    let levels: Vec<Level> = list(&space, pages(start, n)).iter().map(|m| m.2).collect();
    assert_eq!(
        levels,
        [Level::L3, Level::L2, Level::L1, Level::L2, Level::L3]
    );
    for offset in [0, 4096, MIB2, MIB2 + 4096, GIB, (n - 1) * 4096] {
        let there = space.walk(Va::new(start + offset)).unwrap();
        assert_eq!(there.frame(), first.checked_add(offset / 4096));
        let page = Seen::Page(there.frame().unwrap(), Prot::RW);
        assert_eq!(seen(&model, &space, start + offset), only(page));
    }
    let mut gather = space.gather(Parked::default());
    assert_eq!(space.unmap(pages(start, n), &mut gather), Ok(n));
    let (parked, _) = gather.finish();
    assert_eq!(parked.0.iter().map(|m| m.frames()).sum::<u64>(), n);
    assert_eq!(seen(&model, &space, start + MIB2), only(Seen::Fault));
}

#[test]
fn pages_are_pages_where_pages_are_asked_for() {
    let model = model();
    let space = model.space(TASK);
    space
        .map(pages(0, 1024), frame(0), Prot::RW, Fit::Pages)
        .unwrap();
    assert!(
        list(&space, pages(0, 1024))
            .iter()
            .all(|m| m.2 == Level::L3)
    );
}

#[test]
fn no_block_is_used_where_either_side_is_not_aligned() {
    // Not the address, not the frame, neither and by as much, neither and differently.
    for (va, first) in [(4096, 512), (0, 513), (4096, 513), (4096, 514)] {
        let model = model();
        let space = model.space(TASK);
        let area = pages(va, 511);
        space
            .map(area, frame(first), Prot::RW, Fit::Largest)
            .unwrap();
        let area = pages(GIB + va, 512);
        space
            .map(area, frame(first), Prot::RW, Fit::Largest)
            .unwrap();
        let mapped = list(&space, Pages::whole(TASK));
        assert_eq!(mapped.len(), 511 + 512);
        assert_eq!(mapped[511], (GIB + va, first, Level::L3));
        assert!(mapped.iter().all(|m| m.2 == Level::L3));
    }
    // Aligned on both sides, and a page short.
    let model = model();
    let space = model.space(TASK);
    space
        .map(pages(0, 511), frame(512), Prot::RW, Fit::Largest)
        .unwrap();
    assert_eq!(list(&space, pages(0, 511)).len(), 511);
}

#[test]
fn listed_frames_that_cannot_be_mapped_are_not_taken() {
    let model = model();
    let space = model.space(TASK);
    space.map_page(Va::new(3 * 4096), ram(0), Prot::RW).unwrap();
    let mut frames = (10..).map(ram);
    let result = space.map_frames(pages(0, 5), &mut frames, Prot::RW);
    assert_eq!(failure(result), (What::AlreadyMapped, 3 * 4096, 3));
    let result = space.map_frames(pages(3 * 4096, 1), &mut frames, Prot::RW);
    assert_eq!(failure(result), (What::AlreadyMapped, 3 * 4096, 0));
    assert_eq!(frames.next(), Some(ram(13)));
    let result = space.map_frames(pages(4 * 4096, 3), frames.take(2), Prot::RW);
    assert_eq!(failure(result), (What::TooFewFrames, 6 * 4096, 2));
    assert_eq!(list(&space, pages(0, 7)).len(), 6);
}

/// Blocks and pages in every table of `half`'s first and last: some in the same table, some the first or last of theirs.
fn scattered(half: Half) -> Vec<Pages> {
    let start = Pages::whole(half).start().raw();
    let l0 = 1 << 39;
    [
        (0, 1),
        (0x3000, 2),
        (511 * 0x1000, 1),
        (5 * MIB2, 3 * 512),
        (7 * GIB, 1 << 18),
        (l0 - MIB2, 512),
        (3 * l0 + 5 * GIB + 7 * MIB2 + 0x9000, 1),
        (3 * l0 + 5 * GIB + 9 * MIB2, 512),
        (511 * l0 + 511 * GIB, 512),
        (511 * l0 + 511 * GIB + 511 * MIB2 + 511 * 0x1000, 1),
    ]
    .map(|(offset, n)| pages(start + offset, n))
    .to_vec()
}

/// Maps them, each at a frame of its own, and returns what is mapped then.
fn map_scattered(space: &Space<'_, Model>, half: Half) -> Vec<Mapping> {
    for (n, range) in (0..).zip(scattered(half)) {
        let first = frame((n + 1) << 18);
        space.map(range, first, Prot::RW, Fit::Largest).unwrap();
    }
    space.mappings(Pages::whole(half)).unwrap().collect()
}

#[test]
fn destroy_parks_every_mapping_at_its_own_address() {
    for half in [TASK, Half::Upper] {
        let model = model();
        let space = model.space(half);
        let mapped = map_scattered(&space, half);
        let count = |level| mapped.iter().filter(|m| m.level == level).count();
        assert_eq!(Level::ALL.map(count), [0, 1, 6, 6]);
        let (parked, _) = space.destroy(Parked::default());
        assert_eq!(parked.0, mapped);
    }
}

#[test]
fn unmap_parks_every_mapping_at_its_own_address() {
    for half in [TASK, Half::Upper] {
        let model = model();
        let space = model.space(half);
        let mapped = map_scattered(&space, half);
        let mut gather = space.gather(Parked::default());
        space.unmap(Pages::whole(half), &mut gather).unwrap();
        assert_eq!(gather.finish().0.0, mapped);
    }
}

#[test]
fn mappings_of_the_upper_half_are_global_and_those_of_a_task_are_not() {
    for (half, global) in [(Half::Upper, true), (TASK, false)] {
        let model = model();
        let space = model.space(half);
        let area = pages(Pages::whole(half).start().raw() + MIB2, 513);
        let (block, page) = (area.take(512), area.skip(512));
        space.map(block, frame(0), Prot::RW, Fit::Largest).unwrap();
        space.map_frames(page, [ram(0)], Prot::RW).unwrap();
        let tagged = || {
            let mut mapped = space.mappings(Pages::whole(half)).unwrap();
            mapped.all(|m| m.desc.is_global() == global)
        };
        assert!(tagged(), "{half:?}");
        let mut gather = space.gather(());
        space
            .replace(page.start(), &[ram(1)], Prot::RW, &mut gather)
            .unwrap();
        assert!(tagged(), "{half:?}");
    }
}

#[test]
fn refusals_change_nothing() {
    let model = model();
    let space = model.space(TASK);
    let rwx = Prot {
        access: Access::ReadWriteExecute,
        ..Prot::RW
    };
    let device = Prot {
        access: Access::ReadExecute,
        ..Prot::DEVICE
    };
    let upper = Pages::whole(Half::Upper).take(1);
    let mut gather = space.gather(());
    assert_eq!(
        failure(space.map(pages(0, 1), ram(0), rwx, Fit::Pages)).0,
        What::WriteAndExecute
    );
    assert_eq!(
        failure(space.map(pages(0, 1), ram(0), device, Fit::Pages)).0,
        What::ExecutableDevice
    );
    assert_eq!(
        failure(space.map(pages(0, 2), frame((1 << 36) - 1), Prot::RW, Fit::Pages)).0,
        What::OutputTooHigh
    );
    assert_eq!(
        failure(space.map(upper, ram(0), Prot::RW, Fit::Pages)).0,
        What::OtherHalf
    );
    assert_eq!(
        failure(space.unmap(upper, &mut gather)),
        (What::OtherHalf, !0 << 48, 0)
    );
    assert_eq!(
        failure(space.move_pages(pages(0, 1), upper.start(), &mut gather)).0,
        What::OtherHalf
    );
    assert_eq!(
        failure(space.move_pages(upper, Va::new(0), &mut gather)).0,
        What::OtherHalf
    );
    assert_eq!(
        failure(space.protect(upper, Access::ReadOnly, &mut gather)).0,
        What::OtherHalf
    );
    assert_eq!(
        failure(space.replace(upper.start(), &[ram(0)], Prot::RW, &mut gather)).0,
        What::OtherHalf
    );
    assert_eq!(failure(space.reserve(upper)).0, What::OtherHalf);
    assert_eq!(failure(space.lookup(upper.start())).0, What::OtherHalf);
    assert_eq!(failure(space.walk(Va::new(1 << 50))).0, What::NonCanonical);
    assert_eq!(
        failure(space.protect(pages(0, 1), Access::ReadWriteExecute, &mut gather)).0,
        What::WriteAndExecute
    );
    gather.finish();
    assert_eq!(
        (model.tables(), list(&space, Pages::whole(TASK)).len()),
        (1, 0)
    );
    assert!(
        space.map(pages(0, 0), ram(0), Prot::RW, Fit::Pages).is_ok(),
        "nothing to do is no failure"
    );
}

#[test]
fn out_of_frames_says_how_far_it_got_and_owes_for_it() {
    let model = model();
    let space = model.space(TASK);
    model.limit_tables(3);
    let range = pages(MIB2 - 2 * 4096, 4);
    assert_eq!(
        failure(space.map(range, ram(0), Prot::RW, Fit::Pages)),
        (What::OutOfFrames, MIB2, 2)
    );
    assert_eq!(
        seen(&model, &space, MIB2 - 4096),
        only(Seen::Page(ram(1), Prot::RW))
    );
    // Half a move, for the same reason; then all of it.
    let mut gather = space.gather(());
    let to = Va::new(2 * MIB2 - 4096);
    assert_eq!(
        failure(space.move_pages(range.take(2), to, &mut gather)),
        (What::OutOfFrames, MIB2 - 2 * 4096, 0)
    );
    model.limit_tables(1);
    assert_eq!(
        failure(space.move_pages(range.take(2), to, &mut gather)),
        (What::OutOfFrames, MIB2 - 4096, 1)
    );
    model.limit_tables(1);
    assert_eq!(
        space.move_pages(range.skip(1).take(1), Va::new(2 * MIB2), &mut gather),
        Ok(1)
    );
    gather.finish();
    assert_eq!(
        seen(&model, &space, 2 * MIB2 - 4096),
        only(Seen::Page(ram(0), Prot::RW))
    );
    assert_eq!(
        seen(&model, &space, 2 * MIB2),
        only(Seen::Page(ram(1), Prot::RW))
    );
    assert_eq!(seen(&model, &space, MIB2 - 4096), only(Seen::Fault));
}

#[test]
fn out_of_frames_leaves_what_was_reserved_owed_for() {
    let model = model();
    let space = model.space(TASK);
    model.limit_tables(3);
    let _ = model.events();
    let result = space.reserve(pages(MIB2 - 4096, 2));
    assert_eq!(failure(result), (What::OutOfFrames, MIB2, 1));
    assert_eq!(trace(&model.events()), "amsamsamsdi");
}

#[test]
fn an_executable_mapping_is_never_made_from_a_writable_one() {
    let model = model();
    let space = model.space(Half::Upper);
    let va = 0xffff_ffff_8000_0000;
    space
        .map(pages(va, 2), ram(0), Prot::RO, Fit::Pages)
        .unwrap();
    space
        .map_page(Va::new(va + 8192), ram(2), Prot::RW)
        .unwrap();
    let mut gather = space.gather(());
    let result = space.protect(pages(va, 3), Access::ReadExecute, &mut gather);
    assert_eq!(failure(result), (What::WriteAndExecute, va + 8192, 2));
    let result = space.replace(Va::new(va + 8192), &[ram(9)], Prot::RX, &mut gather);
    assert_eq!(failure(result), (What::WriteAndExecute, va + 8192, 0));
    let result = space.protect(pages(va, 1), Access::ReadWrite, &mut gather);
    assert_eq!(failure(result), (What::WriteAndExecute, va, 0));
    gather.finish();
    assert_eq!(seen(&model, &space, va), only(Seen::Page(ram(0), Prot::RX)));
    assert_eq!(
        seen(&model, &space, va + 8192),
        only(Seen::Page(ram(2), Prot::RW))
    );
}

#[test]
fn device_memory_never_becomes_executable() {
    let model = model();
    let space = model.space(TASK);
    let read_only = Prot {
        access: Access::ReadOnly,
        ..Prot::DEVICE
    };
    space.map_page(Va::new(0), ram(0), Prot::RO).unwrap();
    // Read-only from the start, and read-only by now.
    space.map_page(Va::new(4096), ram(1), read_only).unwrap();
    space
        .map_page(Va::new(2 * 4096), ram(2), Prot::DEVICE)
        .unwrap();
    let mut gather = space.gather(());
    space
        .protect(pages(2 * 4096, 1), Access::ReadOnly, &mut gather)
        .unwrap();
    gather.pay();
    let executable = |n, gather: &mut Gather<'_, Model>| {
        failure(space.protect(pages(n * 4096, 1), Access::ReadExecute, gather))
    };
    for n in [1, 2] {
        let what = (What::ExecutableDevice, n * 4096, 0);
        assert_eq!(executable(n, &mut gather), what);
        let prot = Prot {
            access: Access::ReadExecute,
            ..Prot::DEVICE
        };
        let result = space.replace(Va::new(n * 4096), &[ram(n)], prot, &mut gather);
        assert_eq!(failure(result).0, What::ExecutableDevice);
    }
    let result = space.protect(pages(0, 3), Access::ReadExecute, &mut gather);
    assert_eq!(failure(result), (What::ExecutableDevice, 4096, 1));
}

#[test]
fn a_failed_replace_leaves_every_page_as_it_was() {
    let model = model();
    let space = model.space(TASK);
    space
        .map(pages(0, 4), ram(0), Prot::RW, Fit::Pages)
        .unwrap();
    let mut gather = space.gather(Parked::default());
    let result = space.replace(Va::new(0), &[ram(10); 5], Prot::RW, &mut gather);
    assert_eq!(failure(result), (What::NotMapped, 4 * 4096, 0));
    // Visible again, though the gather has not paid: what is restored is owed for.
    for n in 0..4 {
        assert_eq!(
            seen(&model, &space, n * 4096),
            only(Seen::Page(ram(n), Prot::RW))
        );
    }
    let (parked, _) = gather.finish();
    assert!(parked.0.is_empty());
}

#[test]
fn a_replace_says_what_stands_in_its_way_and_where() {
    let model = model();
    let space = model.space(TASK);
    // The end of a table, then a block, then nothing.
    let (page, block) = (pages(MIB2 - 4096, 1), pages(MIB2, 512));
    for area in [page, block] {
        let first = frame(area.start().raw() >> 12);
        space.map(area, first, Prot::RW, Fit::Largest).unwrap();
    }
    let before = list(&space, Pages::whole(TASK));
    let mut gather = space.gather(Parked::default());
    for (va, what, at) in [
        (page.start().raw(), What::PartOfBlock, MIB2),
        (MIB2, What::PartOfBlock, MIB2),
        (MIB2 + 4096, What::PartOfBlock, MIB2 + 4096),
        (MIB2 - 8192, What::NotMapped, MIB2 - 8192),
        (2 * MIB2, What::NotMapped, 2 * MIB2),
        (GIB, What::NotMapped, GIB),
    ] {
        let result = space.replace(Va::new(va), &[ram(7); 2], Prot::RW, &mut gather);
        assert_eq!(failure(result), (what, at, 0), "{va:#x}");
        assert_eq!(list(&space, Pages::whole(TASK)), before);
    }
    assert!(gather.finish().0.0.is_empty());
}

#[test]
fn a_block_is_split_break_before_make_and_only_by_the_owner_of_the_space() {
    let model = model();
    let mut space = model.space(TASK);
    let n = GIB / 4096;
    space
        .map(pages(0, n), frame(0), Prot::RO, Fit::Largest)
        .unwrap();
    let at = MIB2 + 3 * 4096;
    seen(&model, &space, at);
    let mut gather = space.gather(());
    assert_eq!(
        failure(space.unmap(pages(at, 1), &mut gather)),
        (What::PartOfBlock, at, 0)
    );
    assert_eq!(
        failure(space.unmap(pages(0, 7), &mut gather)),
        (What::PartOfBlock, 0, 0)
    );
    // Both splits need a table; the second is not to be had, and the first stays.
    model.limit_tables(1);
    assert_eq!(
        failure(space.split(Va::new(at))),
        (What::OutOfFrames, at, 0)
    );
    assert_eq!(
        seen(&model, &space, at),
        only(Seen::Page(frame(at / 4096), Prot::RO))
    );
    model.limit_tables(1);
    space.split(Va::new(at)).unwrap();
    assert_eq!(list(&space, pages(0, n)).len(), 511 + 512);
    assert_eq!(space.unmap(pages(at, 509), &mut gather), Ok(509));
    gather.finish();
    assert_eq!(seen(&model, &space, at), only(Seen::Fault));
    assert_eq!(
        seen(&model, &space, at - 4096),
        only(Seen::Page(frame(at / 4096 - 1), Prot::RO))
    );
    assert_eq!(
        seen(&model, &space, 9 * MIB2),
        only(Seen::Page(frame(9 * 512), Prot::RO))
    );
    assert_eq!(model.conflicts(), []);
}

#[test]
fn a_split_changes_nothing_where_a_mapping_begins_or_none_is() {
    let model = model();
    let mut space = model.space(TASK);
    let area = pages(MIB2, 1024);
    space.map(area, frame(512), Prot::RW, Fit::Largest).unwrap();
    space.map_page(Va::new(4 * MIB2), ram(0), Prot::RW).unwrap();
    let _ = model.events();
    for at in [
        MIB2,
        2 * MIB2,
        4 * MIB2,
        0,
        4096,
        3 * MIB2,
        4 * MIB2 + 4096,
        5 * MIB2 + 4096,
        GIB + 4096,
        GIB + MIB2,
    ] {
        space.split(Va::new(at)).unwrap();
        assert_eq!(model.events(), [], "{at:#x}");
    }
}

#[test]
fn a_part_of_a_block_lists_the_whole_block_and_what_comes_after() {
    let model = model();
    let space = model.space(TASK);
    let blocks = pages(MIB2, 1024);
    space
        .map(blocks, frame(512), Prot::RW, Fit::Largest)
        .unwrap();
    let page = Va::new(3 * MIB2);
    space.map_page(page, ram(0), Prot::RW).unwrap();
    let first = (MIB2, 512, Level::L2);
    let second = (2 * MIB2, 1024, Level::L2);
    let last = (3 * MIB2, ram(0).pa().raw() >> 12, Level::L3);
    let from = |page: u64, n| list(&space, pages(MIB2 + page * 4096, n));
    assert_eq!(from(3, 1), [first]);
    assert_eq!(from(3, 509), [first]);
    assert_eq!(from(3, 510), [first, second]);
    assert_eq!(from(511, 514), [first, second, last]);
}

#[test]
fn a_table_with_one_page_is_not_freed_wherever_the_page_is() {
    for index in [0, 1, 255, 511] {
        let model = model();
        let mut space = model.space(TASK);
        let at = GIB + index * 4096;
        space.map_page(Va::new(at), ram(0), Prot::RW).unwrap();
        let mut gather = space.gather(());
        space.free_tables(Pages::whole(TASK), &mut gather).unwrap();
        assert!(gather.debt().is_empty());
        gather.finish();
        assert_eq!(seen(&model, &space, at), only(Seen::Page(ram(0), Prot::RW)));
    }
}

#[test]
fn tables_outside_of_the_range_are_not_freed() {
    let model = model();
    let mut space = model.space(TASK);
    // Empty tables below two tables of level 2. The range begins in the middle of the first and ends in the middle of the second.
    for slot in [1, 5, 6, 511, 512, 514, 515, 600] {
        space.reserve(pages(slot * MIB2, 1)).unwrap();
    }
    let before = model.tables();
    let mut gather = space.gather(());
    let range = pages(5 * MIB2 + 4096, 510 * 512);
    space.free_tables(range, &mut gather).unwrap();
    gather.finish();
    let linked = |slot: u64| space.walk(Va::new(slot * MIB2)).unwrap().steps().count() == 4;
    let left: Vec<u64> = (0..1024).filter(|slot| linked(*slot)).collect();
    assert_eq!(left, [1, 600]);
    assert_eq!(model.tables(), before - 6);
}
