//! `protect`: a writable range made read-only, and writable again.
//!
//! It has two windows and one row. Both times the old permission is in the TLB: until the invalidation, nobody may rely
//! on the page being read-only, or store to it once it is writable again.

use stage1_paging::Access;

use super::measure::Measured;
use super::memory::Frames;
use super::pages::{scatter_and_map, signature, take_area, unmap_range};
use super::reentry::Reentry;
use super::{Failure, check};
use crate::mem::PageRange;
use crate::mode;

/// Maps, touches, protects, checks, unprotects, checks.
pub(super) fn run(row: &mut Measured) -> Result<(), Failure> {
    let size = row.size;
    let mut frames = Frames::default();
    let area = take_area(size.pages as u64)?;
    let range = area.range();
    row.link_tables(range)?;
    let frames = scatter_and_map(range, size, &mut frames)?;

    for access in [Access::ReadOnly, Access::ReadWrite] {
        change(row, range, access)?;
        for (index, page) in area.pages().chunks(1).enumerate() {
            check::mapped(page.start(), frames[index], access, signature(index, 1))?;
        }
    }

    unmap_range(range)
}

fn change(row: &mut Measured, range: PageRange<'_>, access: Access) -> Result<(), Failure> {
    let size = row.size;
    let mut reentry = Reentry::new(size.pages, size.k);
    let mut gather = range.gather(());
    row.measured(|| {
        mode::section(|| -> Result<(), Failure> {
            for (index, page) in range.pages().chunks(1).enumerate() {
                range.protect(page, access, &mut gather)?;
                reentry.after_entry(index + 1)?;
            }
            let _ = gather.finish();
            Ok(())
        })
    })?;
    reentry.finish()
}
