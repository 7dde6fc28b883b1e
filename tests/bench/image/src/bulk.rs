//! The operations on ranges, in one call each: this project's.

use alloc::vec::Vec;
use core::hint::black_box;

use lazy_mmu_kernel::base::layout;
use lazy_mmu_kernel::mem::PageRange;
use lazy_mmu_kernel::mem::areas::Area;
use lazy_mmu_kernel::mem::frames::{self, Owned};
use lazy_mmu_kernel::mode;
use stage1_paging::{Access, Fit, Frame, Mapping, Pages, Prot, Sink};

use crate::ground::{self, Frames, Ground};
use crate::measure::{Bench, Failure, Who, ensure};
use crate::{allocator, checks};

/// Keeps what was unmapped, as somebody does who owns the frames.
pub struct Kept(pub Vec<Frame>);

impl Sink for Kept {
    fn park(&mut self, mapping: Mapping) {
        self.0.push(mapping.frame());
    }
}

/// Outside of a section, on tables that are linked: every operation on `n` pages.
pub fn all(bench: &mut Bench, n: u64, ground: &Ground, frames: &Frames) -> Result<(), Failure> {
    let range = ground.area.range();
    let (from, to) = (ground.pages(n), ground.target(n));
    for pages in [from, to] {
        let reserved = range.reserve(pages);
        ensure!(reserved.is_ok(), "{reserved:?}");
    }
    run(bench, n, range, from)?;
    list(bench, n, range, from, frames)?;
    changes(bench, n, range, from, frames)?;
    moves(bench, n, range, from, to, frames)?;
    sink(bench, n, range, from, frames)
}

fn run(bench: &mut Bench, n: u64, range: PageRange<'_>, pages: Pages) -> Result<(), Failure> {
    let mapped = bench.row("map-run", Who::Ours, n, || {
        range.map(
            black_box(pages),
            black_box(ground::run()),
            Prot::RO,
            Fit::Pages,
        )
    })?;
    ensure!(mapped.is_ok(), "map-run: {mapped:?}");
    checks::mapped(pages, ground::of_run, false, "map-run")?;
    let unmapped = bench.row("unmap", Who::Ours, n, || {
        ground::gathered(range, |gather| range.unmap(black_box(pages), gather))
    })?;
    ensure!(unmapped == Ok(n), "unmap: {unmapped:?}");
    checks::unmapped(pages, "unmap")
}

fn list(
    bench: &mut Bench,
    n: u64,
    range: PageRange<'_>,
    pages: Pages,
    frames: &Frames,
) -> Result<(), Failure> {
    let mapped = bench.row("map-list", Who::Ours, n, || {
        range.map_frames(
            black_box(pages),
            black_box(&*frames.list).iter().copied(),
            Prot::RW,
        )
    })?;
    ensure!(mapped.is_ok(), "map-list: {mapped:?}");
    checks::mapped(pages, |index| frames.list[index as usize], true, "map-list")
}

fn changes(
    bench: &mut Bench,
    n: u64,
    range: PageRange<'_>,
    pages: Pages,
    frames: &Frames,
) -> Result<(), Failure> {
    for (name, access) in [
        ("protect-ro", Access::ReadOnly),
        ("protect-back", Access::ReadWrite),
    ] {
        let changed = bench.row(name, Who::Ours, n, || {
            ground::gathered(range, |gather| {
                range.protect(black_box(pages), black_box(access), gather)
            })
        })?;
        ensure!(changed == Ok(n), "{name}: {changed:?}");
        checks::mapped(
            pages,
            |index| frames.list[index as usize],
            access.is_writable(),
            name,
        )?;
    }
    let replaced = bench.row("replace", Who::Ours, n, || {
        ground::gathered(range, |gather| {
            let (start, frames) = (black_box(pages).start(), black_box(&*frames.other));
            range.replace(start, frames, Prot::RW, gather)
        })
    })?;
    ensure!(replaced.is_ok(), "replace: {replaced:?}");
    checks::mapped(pages, |index| frames.other[index as usize], true, "replace")
}

fn moves(
    bench: &mut Bench,
    n: u64,
    range: PageRange<'_>,
    from: Pages,
    to: Pages,
    frames: &Frames,
) -> Result<(), Failure> {
    let moved = bench.row("move", Who::Ours, n, || {
        ground::gathered(range, |gather| {
            range.move_pages(black_box(from), &range, black_box(to).start(), gather)
        })
    })?;
    ensure!(moved == Ok(n), "move: {moved:?}");
    checks::unmapped(from, "move")?;
    checks::mapped(to, |index| frames.other[index as usize], true, "move")?;
    let back = ground::gathered(range, |gather| {
        range.move_pages(to, &range, from.start(), gather)
    });
    ensure!(back == Ok(n), "the way back: {back:?}");
    Ok(())
}

fn sink(
    bench: &mut Bench,
    n: u64,
    range: PageRange<'_>,
    pages: Pages,
    frames: &Frames,
) -> Result<(), Failure> {
    let kept = Kept(Vec::with_capacity(n as usize));
    let (unmapped, kept) = bench.row("unmap-sink", Who::Ours, n, || {
        let mut gather = range.gather(kept);
        let unmapped = range.unmap(black_box(pages), &mut gather);
        let (kept, _done) = gather.finish();
        (unmapped, kept)
    })?;
    ensure!(unmapped == Ok(n), "unmap-sink: {unmapped:?}");
    ensure!(
        kept.0 == frames.other,
        "unmap-sink: other frames than were mapped"
    );
    checks::unmapped(pages, "unmap-sink")
}

/// What the kernel makes of them: `vmap` and `vunmap` with their addresses, and a zap, which frees the frames.
pub fn composed(
    bench: &mut Bench,
    n: u64,
    ground: &Ground,
    frames: &Frames,
) -> Result<(), Failure> {
    // The tables of the addresses that it will get are linked, as after a first time.
    let linked = Area::take(n).is_some_and(|area| area.range().reserve(area.pages()).is_ok());
    ensure!(linked, "vmap: no tables");
    let area = bench.row("vmap", Who::Ours, n, || {
        let area = Area::take(black_box(n))?;
        let list = black_box(&*frames.list).iter().copied();
        let mapped = mode::section(|| area.range().map_frames(area.pages(), list, Prot::RW));
        mapped.is_ok().then_some(area)
    })?;
    let Some(area) = area else {
        return Err(Failure("vmap failed".into()));
    };
    let pages = area.pages();
    checks::mapped(pages, |index| frames.list[index as usize], true, "vmap")?;
    bench.row("vunmap", Who::Ours, n, || drop(area))?;
    checks::unmapped(pages, "vunmap")?;
    zap(bench, n, ground)
}

fn zap(bench: &mut Bench, n: u64, ground: &Ground) -> Result<(), Failure> {
    let (range, pages) = (ground.area.range(), ground.pages(n));
    let mut list = allocator::taken(n)?
        .into_iter()
        .map(Owned::into_frame)
        .collect::<Vec<_>>();
    ground::shuffle(&mut list);
    let mapped = range.map_frames(pages, list.iter().copied(), Prot::RW);
    ensure!(mapped.is_ok(), "zap: {mapped:?}");
    checks::mapped(pages, |index| list[index as usize], true, "zap's map")?;
    // SAFETY: what is mapped in `pages`, and removed into it, are the frames of `list`, each once; they came from `into_frame`.
    let zapped = unsafe { frames::Zapped::with_capacity(n as usize) };
    let (unmapped, freed) = bench.row("zap", Who::Ours, n, || {
        mode::section(|| {
            let mut gather = range.gather(zapped);
            let unmapped = range.unmap(black_box(pages), &mut gather);
            let (zapped, done) = gather.finish();
            (unmapped, zapped.free(&done))
        })
    })?;
    ensure!(
        unmapped == Ok(n) && freed as u64 == n,
        "zap: {unmapped:?}, {freed} freed"
    );
    checks::unmapped(pages, "zap")?;
    if frames::is_debug() {
        let gone = list.iter().all(|frame| {
            Pages::one(layout::linear(frame.pa()))
                .is_ok_and(|page| checks::unmapped(page, "zap").is_ok())
        });
        ensure!(gone, "zap: a free frame can be loaded from");
    }
    Ok(())
}
