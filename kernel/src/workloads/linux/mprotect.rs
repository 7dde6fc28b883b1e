//! `mprotect`: a task's range made read-only by one call, and writable again by another.
//!
//! It has two windows and one row. Linux's has one of the two: RW to RO.

use stage1_paging::Access;

use super::steps;
use crate::mem::PageRange;
use crate::mode;
use crate::workloads::measure::Measured;
use crate::workloads::memory::Frames;
use crate::workloads::pages::{in_task_space, scatter_and_map, signature, two_ranges, unmap_range};
use crate::workloads::{Failure, check, failure};

/// Maps, touches, protects, checks, unprotects, checks.
pub(in crate::workloads) fn run(row: &mut Measured) -> Result<(), Failure> {
    let mut frames = Frames::default();
    in_task_space(|space| {
        let (range, _) = two_ranges(space, row.size.pages as u64)
            .ok_or_else(|| failure!("the lower half is full"))?;
        change_twice(row, range, &mut frames)
    })
}

fn change_twice(
    row: &mut Measured,
    range: PageRange<'_>,
    frames: &mut Frames,
) -> Result<(), Failure> {
    let size = row.size;
    let frames = scatter_and_map(range, size, frames)?;
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let mut gather = range.gather(());
        row.measured(|| {
            mode::section(|| -> Result<(), Failure> {
                for piece in steps(range.pages(), size.detail.step) {
                    range.protect(piece, access, &mut gather)?;
                }
                let _ = gather.finish();
                Ok(())
            })
        })?;
        for (index, page) in range.pages().chunks(1).enumerate() {
            check::mapped(page.start(), frames[index], access, signature(index, 1))?;
        }
    }
    unmap_range(range)
}
