//! `remap-kernel` and `remap-task`: a mapped range moved to another place, entry by entry.
//!
//! This is what `mremap` does. For each entry: clear the old descriptor, store the new one. At the end: invalidate the old
//! addresses, before anybody may rely on them being unmapped.

use alloc::vec::Vec;
use stage1_paging::Access;

use super::measure::Measured;
use super::memory::Frames;
use super::pages::{in_task_space, scatter_and_map, signature, take_area, two_ranges, unmap_range};
use super::reentry::Reentry;
use super::{Failure, check, failure};
use crate::mem::PageRange;
use crate::mode;

/// In the vmap area.
pub(super) fn run_kernel(row: &mut Measured) -> Result<(), Failure> {
    let count = row.size.pages as u64;
    let mut frames = Frames::default();
    let (from, to) = (take_area(count)?, take_area(count)?);
    row.link_tables(from.range())?;
    row.link_tables(to.range())?;
    run(row, from.range(), to.range(), &mut frames)
}

/// In the lower half, where descriptors are not global: their translations belong to the task's ASID.
///
/// The address space is new, so the tables of the new place are linked on the way, as `mremap` does it. This is the
/// only row with DMBs. TTBR0 is written before the first page is used and after the last was probed, and not in
/// between.
pub(super) fn run_task(row: &mut Measured) -> Result<(), Failure> {
    let count = row.size.pages as u64;
    let mut frames = Frames::default();
    in_task_space(|space| {
        let (from, to) =
            two_ranges(space, count).ok_or_else(|| failure!("the lower half is full"))?;
        run(row, from, to, &mut frames)
    })
}

fn run<'s>(
    row: &mut Measured,
    from: PageRange<'s>,
    to: PageRange<'s>,
    frames: &mut Frames,
) -> Result<(), Failure> {
    let size = row.size;
    let frames = scatter_and_map(from, size, frames)?;
    let (sources, targets): (Vec<_>, Vec<_>) = {
        let sources = from.pages().chunks(1);
        sources.zip(to.pages().chunks(1)).unzip()
    };
    for (index, (source, target)) in sources.iter().zip(&targets).enumerate() {
        check::mapped(
            source.start(),
            frames[index],
            Access::ReadWrite,
            signature(index, 1),
        )?;
        check::unmapped(target.start())?;
    }

    let mut reentry = Reentry::new(size.pages, size.k);
    let mut gather = from.gather(());
    // `published` returns the new places once the section has ended, with their pair paid.
    let targets = row.measured(|| {
        mode::published(|| {
            for (index, (source, target)) in sources.iter().zip(&targets).enumerate() {
                from.move_pages(*source, &to, target.start(), &mut gather)?;
                reentry.after_entry(index + 1)?;
            }
            let _ = gather.finish();
            Ok(targets)
        })
    })?;
    reentry.finish()?;

    for (index, (source, target)) in sources.iter().zip(&targets).enumerate() {
        check::unmapped(source.start())?;
        check::mapped(
            target.start(),
            frames[index],
            Access::ReadWrite,
            signature(index, 1),
        )?;
    }
    unmap_range(to)
}
