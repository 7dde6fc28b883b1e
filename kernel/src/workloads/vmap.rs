//! `vmap`: scattered frames into a contiguous kernel range, entry by entry.

use alloc::vec::Vec;
use stage1_paging::{Access, Prot};

use super::staging::Staging;
use super::{Failure, Measured, check, failure, release, scattered_frames, signature};
use crate::base::layout;
use crate::mem::areas::Area;
use crate::mode;

/// Maps, checks, unmaps, checks.
pub(super) fn run(row: &mut Measured) -> Result<(), Failure> {
    let size = row.size;
    let area = Area::take(size.pages as u64).ok_or_else(|| failure!("the vmap area is full"))?;
    let range = area.range();
    let pages: Vec<_> = area.pages().chunks(1).collect();
    let frames = scattered_frames(size.pages, size.seed)?;
    row.link_tables(range)?;
    for (index, (page, frame)) in pages.iter().zip(&frames).enumerate() {
        check::store(layout::linear(frame.pa()), signature(index, 1))
            .map_err(|fault| failure!("{fault}"))?;
        check::unmapped(page.start())?;
    }

    let mut staging = Staging::new(size.pages, size.k);
    // The pages come out of the section that maps them, published.
    let pages = row.measured(|| {
        mode::published(|| {
            for (index, (page, frame)) in pages.iter().zip(&frames).enumerate() {
                range
                    .map_page(page.start(), *frame, Prot::RW)
                    .map_err(|error| failure!("{error}"))?;
                staging.after(index + 1)?;
            }
            Ok(pages)
        })
    })?;
    staging.finish()?;

    for (index, (page, frame)) in pages.iter().zip(&frames).enumerate() {
        check::mapped(page.start(), *frame, Access::ReadWrite, signature(index, 1))?;
        // The same memory through both mappings: a store here is seen there.
        check::store(page.start(), signature(index, 2)).map_err(|fault| failure!("{fault}"))?;
        check::touch(layout::linear(frame.pa()), signature(index, 2))?;
    }

    // Outside of the row: vunmap, with every page in the TLB from the checks.
    // SAFETY: the frames are `scattered_frames`', and nothing else maps them.
    unsafe { release(range) }
}
