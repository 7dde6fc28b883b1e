//! `protect-alias`: a vmap range *and* the linear mappings of its frames made read-only, and writable again.
//!
//! Linux changes the aliases page by page, each with a pair and an invalidation of its own. Here one section and one gather are for
//! the range and all of its aliases.

use alloc::vec::Vec;

use stage1_paging::{Access, Frame, Pages};

use crate::base::layout;
use crate::mem::{self, PageRange};
use crate::mode;
use crate::workloads::measure::Measured;
use crate::workloads::memory::Frames;
use crate::workloads::pages::{scatter_and_map, signature, take_area, unmap_range};
use crate::workloads::{Failure, check};

/// Maps, touches, protects, checks, unprotects, checks.
pub(in crate::workloads) fn run(row: &mut Measured) -> Result<(), Failure> {
    let size = row.size;
    let mut frames = Frames::default();
    let area = take_area(size.pages as u64)?;
    let range = area.range();
    row.link_tables(range)?;
    let numbers = scatter_and_map(range, size, &mut frames)?;
    for (index, frame) in numbers.iter().enumerate() {
        check::touch(layout::linear(frame.pa()), signature(index, 1))?;
    }
    let aliases = aliases(&numbers)?;
    // SAFETY: 1. What is changed are the linear mappings of `frames`, which are this workload's alone; what is stored in them is
    // words, by mappings that it has just checked. 2. No other task knows these frames.
    let linear = unsafe { mem::upper_half() };
    let both = |row: &mut Measured, access| {
        change(row, range, (linear, &aliases), access)?;
        for (index, page) in area.pages().chunks(1).enumerate() {
            for va in [page.start(), layout::linear(numbers[index].pa())] {
                check::mapped(va, numbers[index], access, signature(index, 1))?;
            }
        }
        Ok(())
    };
    let result = both(row, Access::ReadOnly).and_then(|()| both(row, Access::ReadWrite));
    if result.is_err() {
        // The allocator stores to its frames: none may stay read-only.
        let mut gather = linear.gather(());
        for pages in &aliases {
            linear.protect(*pages, Access::ReadWrite, &mut gather)?;
        }
        let _ = gather.finish();
    }
    result.and_then(|()| unmap_range(range))
}

/// The linear pages of these frames, a call each, in the order in which they lie.
fn aliases(frames: &[Frame]) -> Result<Vec<Pages>, Failure> {
    let mut sorted = frames.to_vec();
    sorted.sort_unstable();
    let pages = sorted
        .iter()
        .map(|frame| Pages::one(layout::linear(frame.pa())));
    Ok(pages.collect::<Result<_, _>>()?)
}

fn change(
    row: &mut Measured,
    range: PageRange<'_>,
    (linear, aliases): (PageRange<'_>, &[Pages]),
    access: Access,
) -> Result<(), Failure> {
    let mut gather = range.gather(());
    row.measured(|| {
        mode::section(|| -> Result<(), Failure> {
            range.protect(range.pages(), access, &mut gather)?;
            for pages in aliases {
                linear.protect(*pages, access, &mut gather)?;
            }
            let _ = gather.finish();
            Ok(())
        })
    })
}
