//! Page by page in one section, and ranges with holes: this project's.

use core::hint::black_box;

use lazy_mmu_kernel::mem::PageRange;
use lazy_mmu_kernel::mem::spaces::TaskSpace;
use lazy_mmu_kernel::mode;
use stage1_paging::{Access, Error, Fit, Pages, Prot, Va};

use crate::checks;
use crate::ground::{self, Frames, Ground};
use crate::measure::{Bench, Failure, Who, ensure};

/// Page by page: a call for each, one section and one gather for all.
pub fn all(bench: &mut Bench, n: u64, ground: &Ground, frames: &Frames) -> Result<(), Failure> {
    let range = ground.area.range();
    let (from, to) = (ground.pages(n), ground.target(n));
    let list = &*frames.list;
    let of = |index: u64| list[index as usize];
    let mapped = bench.row("map-each", Who::Ours, n, || {
        mode::section(|| -> Result<(), Error> {
            for (page, frame) in black_box(from).into_iter().zip(black_box(list)) {
                range.map_page(page, *frame, Prot::RW)?;
            }
            Ok(())
        })
    })?;
    ensure!(mapped.is_ok(), "map-each: {mapped:?}");
    checks::mapped(from, of, true, "map-each")?;
    for (name, access) in [
        ("protect-ro-each", Access::ReadOnly),
        ("protect-back-each", Access::ReadWrite),
    ] {
        let changed = bench.row(name, Who::Ours, n, || {
            in_one(range, from, |page, gather| {
                range.protect(page, black_box(access), gather)
            })
        })?;
        ensure!(changed == Ok(n), "{name}: {changed:?}");
        checks::mapped(from, of, access.is_writable(), name)?;
    }
    let moved = bench.row("move-each", Who::Ours, n, || {
        let mut places = black_box(to).into_iter();
        in_one(range, from, |page, gather| match places.next() {
            Some(place) => range.move_pages(page, &range, place, gather),
            None => Ok(0),
        })
    })?;
    ensure!(moved == Ok(n), "move-each: {moved:?}");
    checks::unmapped(from, "move-each")?;
    checks::mapped(to, of, true, "move-each")?;
    let unmapped = bench.row("unmap-each", Who::Ours, n, || {
        in_one(range, to, |page, gather| range.unmap(page, gather))
    })?;
    ensure!(unmapped == Ok(n), "unmap-each: {unmapped:?}");
    checks::unmapped(to, "unmap-each")
}

/// The same, with a cursor.
pub fn by_cursor(
    bench: &mut Bench,
    n: u64,
    ground: &Ground,
    frames: &Frames,
) -> Result<(), Failure> {
    let (range, pages, list) = (ground.area.range(), ground.pages(n), &*frames.list);
    let of = |index: u64| list[index as usize];
    let mapped = bench.row("map-cursor", Who::Ours, n, || {
        mode::section(|| -> Result<(), Error> {
            let mut cursor = range.cursor();
            for (page, frame) in black_box(pages).into_iter().zip(black_box(list)) {
                cursor.map(page, *frame, Prot::RW)?;
            }
            Ok(())
        })
    })?;
    ensure!(mapped.is_ok(), "map-cursor: {mapped:?}");
    checks::mapped(pages, of, true, "map-cursor")?;
    for (name, access) in [
        ("protect-ro-cursor", Access::ReadOnly),
        ("protect-back-cursor", Access::ReadWrite),
    ] {
        let changed = bench.row(name, Who::Ours, n, || {
            with_cursor(range, pages, |cursor, page, gather| {
                cursor.protect(page, access, gather)
            })
        })?;
        ensure!(changed == Ok(n), "{name}: {changed:?}");
        checks::mapped(pages, of, access.is_writable(), name)?;
    }
    let to = ground.target(n);
    let moved = bench.row("move-cursor", Who::Ours, n, || {
        mode::section(|| -> Result<u64, Error> {
            let (mut cursor, mut target) = (range.cursor(), range.cursor());
            let (mut gather, mut sum) = (range.gather(()), 0);
            for (page, place) in black_box(pages).into_iter().zip(black_box(to)) {
                let moved = cursor.move_to(page, &mut target, place, &mut gather)?;
                sum += u64::from(moved);
            }
            drop(target);
            gather.pay();
            Ok(sum)
        })
    })?;
    ensure!(moved == Ok(n), "move-cursor: {moved:?}");
    checks::unmapped(pages, "move-cursor")?;
    checks::mapped(to, of, true, "move-cursor")?;
    let unmapped = bench.row("unmap-cursor", Who::Ours, n, || {
        with_cursor(range, to, |cursor, page, gather| cursor.unmap(page, gather))
    })?;
    ensure!(unmapped == Ok(n), "unmap-cursor: {unmapped:?}");
    checks::unmapped(to, "unmap-cursor")
}

type Cursor<'s> = stage1_paging::Cursor<'s, lazy_mmu_kernel::mem::Hardware>;

/// Does `work` on each page by itself, in a section, with one cursor and one gather; returns how many pages there were.
#[inline(always)]
fn with_cursor<'s>(
    range: PageRange<'s>,
    pages: Pages,
    mut work: impl FnMut(&mut Cursor<'s>, Va, &mut Gather<'s>) -> Result<bool, Error>,
) -> Result<u64, Error> {
    mode::section(|| {
        let (mut cursor, mut gather) = (range.cursor(), range.gather(()));
        let mut sum = 0;
        for page in black_box(pages) {
            sum += u64::from(work(&mut cursor, page, &mut gather)?);
        }
        drop(cursor);
        gather.pay();
        Ok(sum)
    })
}

type Gather<'s> = lazy_mmu_kernel::mem::Gather<'s, ()>;

/// Does `work` on each page by itself, in a section, with one gather; returns the sum.
#[inline(always)]
fn in_one<'s>(
    range: PageRange<'s>,
    pages: Pages,
    mut work: impl FnMut(Pages, &mut Gather<'s>) -> Result<u64, Error>,
) -> Result<u64, Error> {
    mode::section(|| {
        let mut gather = range.gather(());
        let mut sum = 0;
        for page in black_box(pages).chunks(1) {
            sum += work(page, &mut gather)?;
        }
        gather.finish();
        Ok(sum)
    })
}

/// A range of which every other page is mapped, `n` of them, taken away in one call.
pub fn holes(bench: &mut Bench, n: u64, ground: &Ground) -> Result<(), Failure> {
    let range = ground.area.range();
    let pages = ground.pages(2 * n);
    for index in 0..n {
        let page = pages.skip(2 * index).take(1);
        let mapped = range.map(page, ground::of_run(index), Prot::RO, Fit::Pages);
        ensure!(mapped.is_ok(), "holes: {mapped:?}");
        checks::mapped(page, |_| ground::of_run(index), false, "a map")?;
    }
    let unmapped = bench.row("unmap-holes", Who::Ours, n, || {
        ground::gathered(range, |gather| range.unmap(black_box(pages), gather))
    })?;
    ensure!(unmapped == Ok(n), "unmap-holes: {unmapped:?}");
    checks::unmapped(pages, "unmap-holes")
}

/// 512 and 1024 pages of which one and two change: what did not change needs no invalidation.
pub fn few_changes(bench: &mut Bench, ground: &Ground) -> Result<(), Failure> {
    let range = ground.area.range();
    for (name, count, changed) in [
        ("protect-1-of-512", 512, &[200_u64][..]),
        ("protect-2-of-1024", 1024, &[100, 900]),
    ] {
        let (pages, frames) = (ground.pages(count), Frames::take(count)?);
        let of = |index: u64| frames.list[index as usize];
        let mapped = range.map_frames(pages, frames.list.iter().copied(), Prot::RO);
        ensure!(mapped.is_ok(), "{name}: {mapped:?}");
        for &index in changed {
            let page = pages.skip(index).take(1);
            let opened = ground::gathered(range, |gather| {
                range.protect(page, Access::ReadWrite, gather)
            });
            ensure!(opened == Ok(1), "{name}: {opened:?}");
            checks::mapped(page, |_| of(index), true, name)?;
        }
        let protected = bench.row(name, Who::Ours, count, || {
            ground::gathered(range, |gather| {
                range.protect(black_box(pages), Access::ReadOnly, gather)
            })
        })?;
        ensure!(protected.is_ok(), "{name}: {protected:?}");
        checks::mapped(pages, of, false, name)?;
        clear(range, pages)?;
        frames.free();
    }
    Ok(())
}

/// Five runs withdrawn in one gather: four near each other, and one so far behind them that what lies between is most of a table of
/// level 0. In a task's half: the kernel's own ranges are not that long.
pub fn five_runs(bench: &mut Bench) -> Result<(), Failure> {
    const LENGTH: u64 = 16;
    const STARTS: [u64; 5] = [0, 2 * LENGTH, 4 * LENGTH, 6 * LENGTH, 560 << 18];
    let space = TaskSpace::new();
    let space = space.map_err(|error| Failure(alloc::format!("no task space: {error:?}")))?;
    space.enter();
    let range = space.range();
    let runs = STARTS.map(|start| {
        let base = range.pages().skip(1 << 18);
        base.skip(start).take(LENGTH)
    });
    for pages in runs {
        let mapped = range.map(pages, ground::run(), Prot::RO, Fit::Pages);
        ensure!(mapped.is_ok(), "unmap-five-runs: {mapped:?}");
        checks::mapped(pages, ground::of_run, false, "a map")?;
    }
    let unmapped = bench.row("unmap-five-runs", Who::Ours, 5 * LENGTH, || {
        let mut gather = range.gather(());
        let mut sum = 0;
        for pages in black_box(runs) {
            sum += range.unmap(pages, &mut gather)?;
        }
        gather.finish();
        Ok::<u64, Error>(sum)
    })?;
    ensure!(unmapped == Ok(5 * LENGTH), "unmap-five-runs: {unmapped:?}");
    for pages in runs {
        checks::unmapped(pages, "unmap-five-runs")?;
    }
    space.destroy();
    Ok(())
}

/// Unmaps what a row has left.
fn clear(range: PageRange<'_>, pages: Pages) -> Result<(), Failure> {
    let unmapped = ground::gathered(range, |gather| range.unmap(pages, gather));
    ensure!(unmapped.is_ok(), "clearing up: {unmapped:?}");
    checks::unmapped(pages, "clearing up")
}
