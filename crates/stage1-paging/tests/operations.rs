//! What the operations do and refuse, one by one. The random test has the combinations.

mod common;

use common::*;
use stage1_paging::model::{Model, Seen};
use stage1_paging::*;

const GIB: u64 = 1 << 30;
const MIB2: u64 = 2 << 20;

fn model() -> Model {
    Model::new(2, FULL)
}

fn failure<T: std::fmt::Debug>(result: Result<T, Error>) -> (What, u64, u64) {
    let e = result.unwrap_err();
    (e.what, e.at.raw(), e.done)
}

fn list(space: &Space<'_, Model>, pages: Pages) -> Vec<(u64, u64, Level)> {
    let each = |m: Mapping| (m.va.raw(), m.frame().pa().raw() >> 12, m.level);
    space.mappings(pages).unwrap().map(each).collect()
}

#[test]
fn ranges_are_checked_when_they_are_made() {
    let new = |va, n| Pages::new(Va::new(va), n).map_err(|e| e.what);
    assert_eq!(new(1, 1), Err(What::Misaligned));
    assert_eq!(new(1 << 48, 1), Err(What::NonCanonical));
    assert_eq!(new(0xfffe_ffff_ffff_f000, 1), Err(What::NonCanonical));
    assert_eq!(new((1 << 48) - 4096, 2), Err(What::TooLong));
    assert_eq!(new(0u64.wrapping_sub(4096), 2), Err(What::TooLong));
    assert_eq!(new(0, u64::MAX), Err(What::TooLong));
    assert_eq!(new(0, 1 << 36), Ok(Pages::whole(TASK)));
    assert_eq!(new(!0 << 48, 1 << 36), Ok(Pages::whole(Half::Upper)));
    assert!(new(0u64.wrapping_sub(4096), 1).unwrap().skip(1).is_empty());
    let pieces: Vec<u64> = pages(0, 10).chunks(4).map(Pages::count).collect();
    assert_eq!(pieces, [4, 4, 2]);
    assert!(Pa::new(1 << 48).is_none() && Frame::new(Pa::new(1).unwrap()).is_none());
    assert!(ram(0).checked_add(u64::MAX).is_none());
}

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

#[test]
fn the_very_last_page_of_either_half() {
    for (half, va) in [
        (TASK, (1 << 48) - 4096),
        (Half::Upper, 0u64.wrapping_sub(4096)),
    ] {
        let model = model();
        let space = model.space(half);
        space.map_page(Va::new(va), ram(3), Prot::RX).unwrap();
        assert_eq!(
            list(&space, Pages::whole(half)),
            [(va, ram(3).pa().raw() >> 12, Level::L3)]
        );
        assert_eq!(seen(&model, &space, va), only(Seen::Page(ram(3), Prot::RX)));
        let mut gather = space.gather(());
        assert_eq!(space.unmap(Pages::whole(half), &mut gather), Ok(1));
        let _ = gather.finish();
        assert_eq!(seen(&model, &space, va), only(Seen::Fault));
    }
}

/// The last frame that 48 bits can name.
const LAST: u64 = (1 << 36) - 1;

#[test]
fn the_very_last_frame_is_mapped_and_the_one_beyond_it_refused() {
    // At every level: the run that ends with the last frame, and the same one frame further up.
    for (n, fit, level) in [
        (1, Fit::Pages, Level::L3),
        (7, Fit::Pages, Level::L3),
        (512, Fit::Largest, Level::L2),
        (1 << 18, Fit::Largest, Level::L1),
    ] {
        let model = model();
        let mut space = model.space(TASK);
        let (area, first) = (pages(GIB, n), frame(LAST + 1 - n));
        let beyond = space.map(pages(0, n + 1), first, Prot::RW, fit);
        assert_eq!(failure(beyond), (What::OutputTooHigh, 0, 0));
        space.map(area, first, Prot::RW, fit).unwrap();
        assert_eq!(list(&space, area)[0], (GIB, LAST + 1 - n, level));
        let last = area.skip(n - 1).start();
        let walk = space.walk(last).unwrap();
        assert_eq!(walk.frame(), Some(frame(LAST)));
        let page = only(Seen::Page(frame(LAST), Prot::RW));
        assert_eq!(seen(&model, &space, last.raw()), page);
        // One run without a break, up to the last frame.
        assert!(!format!("{space:?}").contains('…'), "{space:?}");
        // In pieces too.
        space.split(last).unwrap();
        assert_eq!(seen(&model, &space, last.raw()), page);
        assert_eq!(list(&space, area).last().unwrap().1, LAST);
    }
    let model = model();
    let space = model.space(TASK);
    space
        .map_frames(pages(0, 2), [frame(LAST), frame(0)], Prot::RO)
        .unwrap();
    assert_eq!(list(&space, pages(0, 2))[0].1, LAST);
}

#[test]
fn counting_frames_ends_at_the_last_one() {
    let add = |from, n| frame(from).checked_add(n);
    assert_eq!(add(0, LAST), Some(frame(LAST)));
    assert_eq!(add(LAST, 0), Some(frame(LAST)));
    assert_eq!(add(LAST - 5, 5), Some(frame(LAST)));
    assert_eq!(add(LAST - 5, 6), None);
    assert_eq!(add(LAST, 1), None);
    // More than 48 bits by themselves, and more than 64 where they become bytes.
    for n in [LAST + 1, LAST + 2, 1 << 52, 1 << 63, u64::MAX] {
        assert_eq!(add(0, n), None, "{n:#x}");
    }
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

#[test]
fn destroy_parks_every_mapping_at_its_own_address() {
    for half in [TASK, Half::Upper] {
        let model = model();
        let space = model.space(half);
        for (n, range) in (0..).zip(scattered(half)) {
            let first = frame((n + 1) << 18);
            space.map(range, first, Prot::RW, Fit::Largest).unwrap();
        }
        let mapped: Vec<Mapping> = space.mappings(Pages::whole(half)).unwrap().collect();
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
        for (n, range) in (0..).zip(scattered(half)) {
            let first = frame((n + 1) << 18);
            space.map(range, first, Prot::RW, Fit::Largest).unwrap();
        }
        let mapped: Vec<Mapping> = space.mappings(Pages::whole(half)).unwrap().collect();
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
fn numbers_are_shown_as_wide_as_they_are() {
    let (va, pa) = (Va::new(0x1000), Pa::new(0x2_3000).unwrap());
    assert_eq!(
        format!("{va} {va:?}"),
        "0x0000000000001000 0x0000000000001000"
    );
    assert_eq!(format!("{pa} {pa:?}"), "0x000000023000 0x000000023000");
    assert_eq!(format!("{:?}", Frame::containing(pa)), "0x000000023000");
    assert_eq!(
        format!("{:?}", pages(0x1000, 3)),
        "0x0000000000001000+3 pages"
    );
    assert_eq!(NoFrame.to_string(), "no frame for a table");
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
    let _ = gather.finish();
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
    let _ = gather.finish();
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
fn an_empty_range_is_nothing_to_do_wherever_it_is() {
    for half in [TASK, Half::Upper] {
        let model = model();
        let mut space = model.space(half);
        let whole = Pages::whole(half);
        let other = match half {
            Half::Upper => pages(0, 0),
            Half::Lower(_) => Pages::whole(Half::Upper).take(0),
        };
        // Also behind the last page, which for the upper half is no address of it.
        for empty in [whole.take(0), whole.skip(whole.count()), other] {
            let mut gather = space.gather(());
            let _ = model.events();
            assert_eq!(space.map(empty, ram(0), Prot::RW, Fit::Pages), Ok(()));
            assert_eq!(space.map_frames(empty, [ram(0)], Prot::RW), Ok(()));
            assert_eq!(space.reserve(empty), Ok(()));
            assert_eq!(space.unmap(empty, &mut gather), Ok(0));
            assert_eq!(space.protect(empty, Access::ReadOnly, &mut gather), Ok(0));
            assert_eq!(space.free_tables(empty, &mut gather), Ok(()));
            assert_eq!(space.mappings(empty).unwrap().count(), 0);
            let _ = gather.finish();
            assert_eq!(model.events(), []);
        }
    }
}

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
    let _ = gather.finish();
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
    let _ = gather.pay();
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
    let _ = gather.finish();
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
        let _ = gather.finish();
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
    let _ = gather.finish();
    let linked = |slot: u64| space.walk(Va::new(slot * MIB2)).unwrap().steps().count() == 4;
    let left: Vec<u64> = (0..1024).filter(|slot| linked(*slot)).collect();
    assert_eq!(left, [1, 600]);
    assert_eq!(model.tables(), before - 6);
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
        let _ = gather.finish();
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
        let _ = gather.finish();
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
    let _ = gather.finish();
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

#[test]
fn a_space_is_drawn_readably() {
    let model = model();
    let space = model.space(TASK);
    space
        .map(pages(0x1000, 3), ram(0), Prot::RX, Fit::Pages)
        .unwrap();
    space
        .map_frames(pages(0x4000, 2), [ram(9), ram(7)], Prot::RW)
        .unwrap();
    space
        .map(pages(GIB, 1 << 18), frame(1 << 18), Prot::RO, Fit::Largest)
        .unwrap();
    let expected = "\
Lower(Asid(5)), root 0x000040000000
0x0000000000001000-0x0000000000003fff        12 KiB, 3 pages: page 0x000080000000 normal r-x nG
0x0000000000004000-0x0000000000005fff         8 KiB, 2 pages: page 0x000080009000 normal rw- nG …
0x0000000040000000-0x000000007fffffff   1048576 KiB, 1 block: block 0x000040000000 normal r-- nG
";
    assert_eq!(format!("{space:?}"), expected);
    let tree = format!("{space:#?}");
    assert!(
        tree.contains("L0[  0] 0x0000000000000000: table 0x000040001000\n"),
        "{tree}"
    );
    assert!(
        tree.contains("      L3[  4] 0x0000000000004000: page 0x000080009000 normal rw- nG\n"),
        "{tree}"
    );
    let walk = space.walk(Va::new(GIB + 5)).unwrap().to_string();
    let expected = "L0 table 0x000040001000 → L1 block 0x000040000000 normal r-- nG";
    assert_eq!(walk, expected);
    let error = space
        .map(pages(0x2000, 1), ram(0), Prot::RW, Fit::Pages)
        .unwrap_err();
    let text =
        "already mapped at 0x0000000000002000 (0 pages done): unmap it first, or use `replace`";
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_drawn_run_ends_where_anything_differs() {
    let model = model();
    let space = model.space(TASK);
    let largest = |va, n, prot| {
        let first = frame((0x1_0000_0000 + va) >> 12);
        space.map(pages(va, n), first, prot, Fit::Largest).unwrap();
    };
    // A hole, another permission, another memory type.
    largest(0x1000, 1, Prot::RX);
    largest(0x3000, 2, Prot::RX);
    largest(0x5000, 1, Prot::RW);
    largest(0x6000, 2, Prot::DEVICE);
    // Another level on either side.
    largest(2 * GIB - 2 * MIB2 - 4096, 1, Prot::RW);
    largest(2 * GIB - 2 * MIB2, 2 * 512, Prot::RW);
    largest(2 * GIB, 2 << 18, Prot::RW);
    // Frames that are not the next ones end no run, they mark it.
    for (n, first) in [(0, 512), (1, 1024), (2, 512)] {
        let block = pages(8 * GIB + n * MIB2, 512);
        let first = frame(first);
        space.map(block, first, Prot::RO, Fit::Largest).unwrap();
    }
    let expected = "\
Lower(Asid(5)), root 0x000040000000
0x0000000000001000-0x0000000000001fff         4 KiB, 1 page: page 0x000100001000 normal r-x nG
0x0000000000003000-0x0000000000004fff         8 KiB, 2 pages: page 0x000100003000 normal r-x nG
0x0000000000005000-0x0000000000005fff         4 KiB, 1 page: page 0x000100005000 normal rw- nG
0x0000000000006000-0x0000000000007fff         8 KiB, 2 pages: page 0x000100006000 device rw- nG
0x000000007fbff000-0x000000007fbfffff         4 KiB, 1 page: page 0x00017fbff000 normal rw- nG
0x000000007fc00000-0x000000007fffffff      4096 KiB, 2 blocks: block 0x00017fc00000 normal rw- nG
0x0000000080000000-0x00000000ffffffff   2097152 KiB, 2 blocks: block 0x000180000000 normal rw- nG
0x0000000200000000-0x00000002005fffff      6144 KiB, 3 blocks: block 0x000000200000 normal r-- nG …
";
    assert_eq!(format!("{space:?}"), expected);
    // What a leaf was before is no difference.
    let mut gather = space.gather(());
    let page = pages(0x5000, 1);
    space.protect(page, Access::ReadOnly, &mut gather).unwrap();
    largest(0x4_0000_0000, 1, Prot::RO);
    space
        .move_pages(page, Va::new(0x4_0000_1000), &mut gather)
        .unwrap();
    let line = "0x0000000400000000-0x0000000400001fff         8 KiB, 2 pages: page 0x000500000000";
    assert!(format!("{space:?}").contains(line), "{space:?}");
    let space = model.space(Half::Upper);
    let last = pages(0u64.wrapping_sub(0x2000), 2);
    space.map(last, frame(7), Prot::RO, Fit::Pages).unwrap();
    let text = format!("{space:?}");
    let line = "0xffffffffffffe000-0xffffffffffffffff         8 KiB, 2 pages: page 0x000000007000";
    assert!(text.contains(line), "{text}");
}
