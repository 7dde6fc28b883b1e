//! Areas of the vmap area: disjoint, guarded, reused, joined again; and the right to work on their pages, which ends where they do.
//!
//! @boot
//! @boot args="check=on" expect="no violation"
#![no_std]
#![no_main]

extern crate alloc;
mod common;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

use common::ensure;
use lazy_mmu_kernel::Boot;
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::base::layout;
use lazy_mmu_kernel::mem::areas::Area;
use lazy_mmu_kernel::mem::frames::{self, Owned};
use lazy_mmu_kernel::mem::spaces::TaskSpace;
use lazy_mmu_kernel::mem::{self, PageRange};
use lazy_mmu_kernel::observe::access::{self, Expect};
use lazy_mmu_kernel::workloads::two_ranges;
use stage1_paging::{Access, Error, Fit, Half, Level, Pages, Prot, Va, What};

lazy_mmu_kernel::entry!(main);

fn main(_: &Boot) -> Verdict {
    if ranges_are_disjoint_and_reused() != Verdict::Good {
        return Verdict::Failed;
    }
    for part in [
        holes_are_used,
        outside_is_refused,
        box_stays_where_it_is,
        other_spaces_are_refused,
        next_owner_finds_nothing,
    ] {
        let done = part();
        ensure!(done.is_ok(), "{done:?}");
    }
    ranges_are_disjoint_and_reused()
}

fn ranges_are_disjoint_and_reused() -> Verdict {
    let whole = layout::VMAP_PAGES;
    ensure!(
        Area::take(whole).is_none(),
        "there is no room for the guard"
    );
    ensure!(Area::take(u64::MAX).is_none(), "no overflow");
    let mut areas: Vec<Area> = [1, 5, 512, 3].into_iter().filter_map(Area::take).collect();
    ensure!(areas.len() == 4, "{}", areas.len());
    for (index, area) in areas.iter().enumerate() {
        for other in &areas[index + 1..] {
            ensure!(!area.pages().overlaps(other.pages()), "{area:?} {other:?}");
            let apart = area
                .pages()
                .start()
                .raw()
                .abs_diff(other.pages().start().raw())
                / layout::PAGE_SIZE;
            let low = if area.pages().start() < other.pages().start() {
                area
            } else {
                other
            };
            ensure!(
                apart > low.pages().count(),
                "{area:?} and {other:?} have no guard between them"
            );
        }
    }
    // Given back in an order that joins downwards, upwards, and both ways.
    for index in [1, 2, 0, 0] {
        areas.remove(index);
    }
    let all = Area::take(whole - 1);
    ensure!(all.is_some(), "what was given back is one range again");
    Verdict::Good
}

type Checked = Result<(), &'static str>;

fn check(good: bool, what: &'static str) -> Checked {
    good.then_some(()).ok_or(what)
}

/// Areas between others, given back: what fits goes there, also where it leaves a rest, and what does not goes behind.
fn holes_are_used() -> Checked {
    let mut areas: Vec<Area> = [3, 1, 1, 1, 5, 1]
        .into_iter()
        .filter_map(Area::take)
        .collect();
    let last = areas.pop().ok_or("no areas")?.pages().start();
    let last_again = Area::take(1).ok_or("no area")?;
    check(last_again.pages().start() == last, "not given back")?;
    for index in [4, 2, 0] {
        check(index < areas.len(), "no areas")?;
        areas.remove(index);
    }
    let fit: Vec<Area> = [1, 3, 2, 2].into_iter().filter_map(Area::take).collect();
    check(fit.len() == 4, "no areas in the holes")?;
    let is_apart = |area: &Area| {
        !areas
            .iter()
            .any(|other| other.pages().overlaps(area.pages()))
    };
    check(fit.iter().all(is_apart), "a hole is somebody else's")?;
    let inside = fit.iter().filter(|area| area.pages().start() < last);
    check(inside.count() == 4, "a hole was left empty")?;
    let behind = Area::take(6).ok_or("no area")?;
    check(behind.pages().start() > last, "no hole has six pages")
}

/// Tries every operation on `pages`, which is not all inside `range`; each must name the first of them, and change nothing.
fn refuses(range: PageRange<'_>, pages: Pages, frame: &Owned) -> Checked {
    let refused = Err(Error {
        what: What::Outside,
        at: pages.start(),
        done: 0,
    });
    let (start, frame) = (pages.start(), frame.frame());
    let list: Vec<_> = (0..pages.count()).map(|_| frame).collect();
    let mut gather = range.gather(());
    let count = |result: Result<u64, Error>| result.map(drop);
    let none = |result: Result<_, Error>| result.map(|_: stage1_paging::Walk| ());
    check(
        range.map(pages, frame, Prot::RO, Fit::Largest) == refused,
        "map",
    )?;
    check(
        range.map_frames(pages, list.iter().copied(), Prot::RO) == refused,
        "map_frames",
    )?;
    check(range.reserve(pages) == refused, "reserve")?;
    check(range.mappings(pages).map(|_| ()) == refused, "mappings")?;
    check(count(range.unmap(pages, &mut gather)) == refused, "unmap")?;
    let protected = range.protect(pages, Access::ReadOnly, &mut gather);
    check(count(protected) == refused, "protect")?;
    let replaced = range.replace(start, &list, Prot::RW, &mut gather);
    check(replaced == refused, "replace")?;
    let to = range.pages().start();
    let moved = range.move_pages(pages, &range, to, &mut gather);
    check(count(moved) == refused, "move_pages from there")?;
    // The other way the range has to be as long.
    if pages.count() <= range.pages().count() {
        let from = range.pages().take(pages.count());
        let moved = range.move_pages(from, &range, start, &mut gather);
        check(count(moved) == refused, "move_pages to there")?;
    }
    if pages.count() == 1 {
        check(
            range.map_page(start, frame, Prot::RO) == refused,
            "map_page",
        )?;
        let inside = Va::new(start.raw() + 8);
        check(none(range.walk(inside)) == refused, "walk")?;
    }
    check(gather.debt().is_empty(), "something was changed")
}

/// Every operation, at the edges of an area, across them, and where it would wrap around: refused, by the error that says so.
fn outside_is_refused() -> Checked {
    let (area, other) = Area::take(4).zip(Area::take(4)).ok_or("no areas")?;
    let frame = frames::alloc().ok_or("no frame")?;
    let (range, first) = (area.range(), area.pages().start().raw());
    let page = |offset: i64| Va::new(first.wrapping_add_signed(offset * layout::PAGE_SIZE as i64));
    for (start, count) in [
        (page(-1), 1),
        (page(-1), 2),
        (page(4), 1),
        (page(3), 2),
        (page(0), 5),
        (page(5), 0),
        (other.pages().start(), 4),
        (Va::new(layout::VMAP_BASE + layout::VMAP_SIZE), 1),
        (layout::linear(frame.frame().pa()), 1),
        (layout::image().start, 1),
        (Pages::whole(Half::Upper).start(), 1),
        (Va::new(0), 1),
        (Va::new(0xFFFF_FFFF_FFFF_F000), 1),
    ] {
        let pages = Pages::new(start, count).map_err(|_| "a range")?;
        refuses(range, pages, &frame)?;
    }
    // All of it, its parts and nothing of it are inside.
    check(range.reserve(area.pages()).is_ok(), "all of it")?;
    check(range.reserve(area.pages().skip(3)).is_ok(), "its end")?;
    check(range.reserve(area.pages().take(0)).is_ok(), "nothing")?;
    check(
        mem::walk(page(0)).is_some_and(|walk| walk.mapping().is_none()),
        "it is empty",
    )?;
    frames::free(frame);
    Ok(())
}

/// What safe code could do once: a `Box`, its page moved away, and another frame in its place.
fn box_stays_where_it_is() -> Checked {
    let boxed = Box::new(0x0B0C_u64);
    let page = Level::L3.floor(Va::new(&raw const *boxed as u64));
    let page = Pages::one(page).map_err(|_| "a page")?;
    let before = mem::walk(page.start()).and_then(|walk| walk.frame());
    let area = Area::take(1).ok_or("no area")?;
    let frame = frames::alloc().ok_or("no frame")?;
    refuses(area.range(), page, &frame)?;
    let after = mem::walk(page.start()).and_then(|walk| walk.frame());
    check(before.is_some() && before == after, "the box has moved")?;
    check(*boxed == 0x0B0C, "the box holds something else")?;
    frames::free(frame);
    Ok(())
}

/// A lower half and the upper one, and two lower halves, which have the same addresses: pages do not go from one to the other.
fn other_spaces_are_refused() -> Checked {
    let area = Area::take(1).ok_or("no area")?;
    let [one, two] =
        [TaskSpace::new(), TaskSpace::new()].map(|space| space.map_err(|_| "no space"));
    let (one, two) = (one?, two?);
    let page = Pages::one(Va::new(1 << 30)).map_err(|_| "a page")?;
    {
        let mut gather = one.range().gather(());
        let moved = one
            .range()
            .move_pages(page, &two.range(), page.start(), &mut gather);
        let refused = |error: Error| error.what == What::OtherGather;
        check(
            moved.is_err_and(refused),
            "from one task's half to another's",
        )?;
        let moved = one
            .range()
            .move_pages(page, &area.range(), area.pages().start(), &mut gather);
        check(
            moved.is_err_and(refused),
            "from a task's half to the kernel's",
        )?;
        let mapped = one.range().map(
            Pages::one(area.pages().start()).map_err(|_| "a page")?,
            stage1_paging::Frame::ZERO,
            Prot::RO,
            Fit::Pages,
        );
        check(
            mapped.is_err_and(|error| error.what == What::Outside),
            "a page of the kernel's half in a task's",
        )?;
    }
    check(two_ranges(&one, u64::MAX).is_none(), "no overflow")?;
    check(
        two_ranges(&one, 1 << 36).is_none(),
        "more than the half has",
    )?;
    one.destroy();
    two.destroy();
    Ok(())
}

/// An area that is dropped with pages mapped and in the TLB: who takes it next finds nothing there, and what it maps there.
fn next_owner_finds_nothing() -> Checked {
    let (old, new) = frames::alloc().zip(frames::alloc()).ok_or("no frames")?;
    old.words()[0].store(1, Relaxed);
    new.words()[0].store(2, Relaxed);
    let area = Area::take(2).ok_or("no area")?;
    let pages = area.pages();
    for page in pages.chunks(1) {
        let mapped = area.range().map_page(page.start(), old.frame(), Prot::RW);
        check(mapped.is_ok(), "a page was not mapped")?;
        check(
            access::read(page.start(), Expect::Works) == Ok(1),
            "it is not there",
        )?;
    }
    drop(area);
    let gone = |page: Pages| access::read(page.start(), Expect::Faults).is_err();
    check(pages.chunks(1).all(gone), "a page of an area that is gone")?;
    let area = Area::take(2).ok_or("no area")?;
    check(area.pages() == pages, "the same pages again")?;
    let left = area.range().mappings(pages).map_err(|_| "a range")?;
    check(left.count() == 0, "a descriptor of the area's last owner")?;
    let mapped = area.range().map_page(pages.start(), new.frame(), Prot::RW);
    check(mapped.is_ok(), "the page is taken")?;
    let found = access::read(pages.start(), Expect::Works);
    check(found == Ok(2), "a translation of the area's last owner")?;
    drop(area);
    frames::free_all([old, new]);
    Ok(())
}
