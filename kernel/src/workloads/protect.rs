//! `protect`: a writable range made read-only, and writable again.
//!
//! Two windows, one row. Either way the old permission is in the TLB: read-only must not be relied
//! on, nor writable be used, before the invalidation.

use stage1_paging::{Access, Pages, Space};

use super::staging::Staging;
use super::{Failure, Row, check, failure, mapped_range, release, signature};
use crate::mem::Hardware;
use crate::mem::areas::Area;
use crate::mem::kernel_space;
use crate::mode;

/// Maps, touches, protects, checks, unprotects, checks.
pub(super) fn run(row: &mut Row) -> Result<(), Failure> {
    let size = row.size;
    let space = kernel_space();
    let area = Area::take(size.pages as u64).ok_or_else(|| failure!("the vmap area is full"))?;
    row.link_tables(space, area.pages())?;
    let frames = mapped_range(space, area.pages(), size)?;

    for access in [Access::ReadOnly, Access::ReadWrite] {
        change(row, space, area.pages(), access)?;
        for (index, page) in area.pages().chunks(1).enumerate() {
            check::mapped(
                space,
                page.start(),
                frames[index],
                access,
                signature(index, 1),
            )?;
        }
    }

    // SAFETY: the frames are `mapped_range`'s, and nothing else maps them.
    unsafe { release(space, area.pages()) }
}

fn change(
    row: &mut Row,
    space: &Space<'_, Hardware>,
    pages: Pages,
    access: Access,
) -> Result<(), Failure> {
    let size = row.size;
    let mut staging = Staging::new(size.pages, size.k);
    let mut gather = space.gather(());
    row.measured(|| {
        mode::section(|| -> Result<(), Failure> {
            for (index, page) in pages.chunks(1).enumerate() {
                space
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
