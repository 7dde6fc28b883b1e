//! `mremap-kernel` and `mremap-task`: a range moved by few calls to where there are no tables yet.
//!
//! Linux's `move_page_tables` allocates the tables of the new place on the way, inside its section: each is a nested section with the
//! debug page allocator. `step=1` is entry by entry, as Linux moves them.

use alloc::vec::Vec;

use stage1_paging::{Access, Level, Pages, Va};

use super::steps;
use crate::base::layout::PAGE_SIZE;
use crate::mem::areas::Area;
use crate::mem::{self, PageRange};
use crate::mode;
use crate::workloads::measure::Measured;
use crate::workloads::memory::Frames;
use crate::workloads::pages::{
    in_task_space, scatter_and_map, signature, take_area, two_ranges, unmap_range,
};
use crate::workloads::{Failure, check, failure};

/// Pages of one last-level table.
const TABLE: u64 = Level::L2.pages();

/// In the vmap area, to a place without last-level tables.
pub(in crate::workloads) fn run_kernel(row: &mut Measured) -> Result<(), Failure> {
    let count = row.size.pages as u64;
    let mut frames = Frames::default();
    let from = take_area(count)?;
    row.link_tables(from.range())?;
    let (to, place) = fresh_area(count)?;
    run(row, from.range(), (to.range(), place), &mut frames)
}

/// In the lower half of a new space.
pub(in crate::workloads) fn run_task(row: &mut Measured) -> Result<(), Failure> {
    let count = row.size.pages as u64;
    let mut frames = Frames::default();
    in_task_space(|space| {
        let (from, to) =
            two_ranges(space, count).ok_or_else(|| failure!("the lower half is full"))?;
        run(row, from, (to, to.pages().take(count)), &mut frames)
    })
}

/// An area, and `count` pages in it that have no last-level table, but all that is above: so under every policy as many are
/// linked. The tables of the kernel's half are never freed, so a second run needs another place than the first.
fn fresh_area(count: u64) -> Result<(Area, Pages), Failure> {
    // A table's worth before and behind, and what it takes to be aligned.
    let tables = count.div_ceil(TABLE);
    let mut used = Vec::new();
    loop {
        let area = take_area((tables + 3) * TABLE)?;
        let bytes = TABLE * PAGE_SIZE;
        let before = area.pages().start().raw().next_multiple_of(bytes);
        let place = Pages::new(Va::new(before + bytes), tables * TABLE)?;
        if place.chunks(TABLE).any(|table| has_table(table.start())) {
            used.push(area);
            continue;
        }
        for outside in [before, before + (1 + tables) * bytes] {
            area.range().reserve(Pages::one(Va::new(outside))?)?;
        }
        return Ok((area, place.take(count)));
    }
}

/// Whether there is a last-level table for `va`.
fn has_table(va: Va) -> bool {
    let walk = mem::walk(va);
    walk.is_some_and(|walk| walk.steps().any(|(level, _)| level == Level::L3))
}

fn run<'s>(
    row: &mut Measured,
    from: PageRange<'s>,
    (to, place): (PageRange<'s>, Pages),
    frames: &mut Frames,
) -> Result<(), Failure> {
    let size = row.size;
    let frames = scatter_and_map(from, size, frames)?;
    let pages = || from.pages().chunks(1).zip(place.chunks(1));
    for (_, target) in pages() {
        check::unmapped(target.start())?;
    }
    let mut gather = from.gather(());
    row.measured(|| {
        mode::published(|| -> Result<(), Failure> {
            let mut rest = place;
            for piece in steps(from.pages(), size.detail.step) {
                from.move_pages(piece, &to, rest.start(), &mut gather)?;
                rest = rest.skip(piece.count());
            }
            let _ = gather.finish();
            Ok(())
        })
    })?;
    for (index, (source, target)) in pages().enumerate() {
        check::unmapped(source.start())?;
        let (va, word) = (target.start(), signature(index, 1));
        check::mapped(va, frames[index], Access::ReadWrite, word)?;
    }
    unmap_range(to)
}
