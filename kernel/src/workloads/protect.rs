//! `protect`: a writable range made read-only, and writable again.
//!
//! Two windows, one row. Either way the old permission is in the TLB: read-only must not be relied
//! on, nor writable be used, before the invalidation.

use stage1_paging::Access;

use super::staging::Staging;
use super::{Failure, Measured, check, failure, mapped_range, release, signature};
use crate::mem::PageRange;
use crate::mem::areas::Area;
use crate::mode;

/// Maps, touches, protects, checks, unprotects, checks.
pub(super) fn run(row: &mut Measured) -> Result<(), Failure> {
    let size = row.size;
    let area = Area::take(size.pages as u64).ok_or_else(|| failure!("the vmap area is full"))?;
    let range = area.range();
    row.link_tables(range)?;
    let frames = mapped_range(range, size)?;

    for access in [Access::ReadOnly, Access::ReadWrite] {
        change(row, range, access)?;
        for (index, page) in area.pages().chunks(1).enumerate() {
            check::mapped(page.start(), frames[index], access, signature(index, 1))?;
        }
    }

    // SAFETY: the frames are `mapped_range`'s, and nothing else maps them.
    unsafe { release(range) }
}

fn change(row: &mut Measured, range: PageRange<'_>, access: Access) -> Result<(), Failure> {
    let size = row.size;
    let mut staging = Staging::new(size.pages, size.k);
    let mut gather = range.gather(());
    row.measured(|| {
        mode::section(|| -> Result<(), Failure> {
            for (index, page) in range.pages().chunks(1).enumerate() {
                range
                    .protect(page, access, &mut gather)
                    .map_err(|error| failure!("{error}"))?;
                staging.after(index + 1)?;
            }
            let _ = gather.finish();
            Ok(())
        })
    })?;
    staging.finish()
}
