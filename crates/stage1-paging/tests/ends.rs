//! Where things end: ranges, the halves of the address space, the frames of 48 bits.

mod common;

use common::*;
use stage1_paging::model::Seen;
use stage1_paging::*;

const GIB: u64 = 1 << 30;

/// The last frame that 48 bits can name.
const LAST: u64 = (1 << 36) - 1;

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
fn pages_from_start_to_end() {
    let between =
        |start, end| Pages::between(Va::new(start), Va::new(end)).map_err(|e| (e.what, e.at.raw()));
    let of = |half| Ok(Pages::whole(half));
    assert_eq!(between(0x1000, 0x4000), Ok(pages(0x1000, 3)));
    assert_eq!(between(0x1000, 0x1000), Ok(pages(0x1000, 0)));
    assert_eq!(between(0, 1 << 48), of(TASK));
    assert_eq!(between(!0 << 48, 0), of(Half::Upper));
    assert_eq!(
        between(!0 << 48, (!0 << 48) + 0x2000),
        Ok(pages(!0 << 48, 2))
    );
    assert_eq!(between(0, 0), Ok(pages(0, 0)));
    assert_eq!(between(1, 0x4000), Err((What::Misaligned, 1)));
    assert_eq!(between(0x1000, 0x4001), Err((What::Misaligned, 0x4001)));
    assert_eq!(between(0x4000, 0x1000), Err((What::Reversed, 0x4000)));
    assert_eq!(between(0x4000, 0), Err((What::Reversed, 0x4000)));
    assert_eq!(between(!0 << 48, 0x1000), Err((What::Reversed, !0 << 48)));
    assert_eq!(
        between(0x1000, (1 << 48) + 4096),
        Err((What::TooLong, 0x1000))
    );
    assert_eq!(between(0x1000, !0 << 48), Err((What::TooLong, 0x1000)));
    assert_eq!(
        between(1 << 48, !0 << 48),
        Err((What::NonCanonical, 1 << 48))
    );
}

#[test]
fn single_pages_from_either_end_of_either_half() {
    for (start, n) in [
        (0x1000, 3),
        ((1 << 48) - 0x3000, 3),
        (0u64.wrapping_sub(0x3000), 3),
        (0, 0),
    ] {
        let area = pages(start, n);
        let want: Vec<Va> = (0..n).map(|page| Va::new(start + page * 4096)).collect();
        assert!(area.into_iter().eq(want.iter().copied()));
        assert!(area.iter().rev().eq(want.iter().rev().copied()));
        assert_eq!(area.iter().len() as u64, n);
        let mut both = area.iter();
        assert_eq!(
            (both.next_back(), both.nth(1)),
            (want.last().copied(), want.get(1).copied())
        );
        assert_eq!((both.next(), both.next_back(), both.len()), (None, None, 0));
    }
    let mut five = pages(0, 5).iter();
    assert_eq!(
        (five.nth(2), five.nth(1), five.next()),
        (Some(Va::new(0x2000)), Some(Va::new(0x4000)), None)
    );
    assert_eq!(
        Pages::whole(Half::Upper).iter().nth((1 << 36) - 1),
        Some(Va::new(0u64.wrapping_sub(4096)))
    );
    assert_eq!(Pages::whole(TASK).iter().nth(1 << 36), None);
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
        gather.finish();
        assert_eq!(seen(&model, &space, va), only(Seen::Fault));
    }
}

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
            gather.finish();
            assert_eq!(model.events(), []);
        }
    }
}

#[test]
fn a_space_says_which_machine_its_tables_are_made_for() {
    let (one, other) = (model(), model());
    let space = one.space(TASK);
    assert!(std::ptr::eq(space.mmu(), &one) && !std::ptr::eq(space.mmu(), &other));
    // A second half on the same machine, by the first alone.
    let upper = space.mmu().space(Half::Upper);
    assert!(std::ptr::eq(upper.mmu(), &one));
}
