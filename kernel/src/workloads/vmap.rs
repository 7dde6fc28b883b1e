//! `vmap`: scattered frames mapped in a contiguous kernel range, entry by entry.

use alloc::vec::Vec;
use stage1_paging::{Access, Prot};

use super::measure::Measured;
use super::memory::Frames;
use super::pages::{signature, take_area, unmap_range};
use super::reentry::Reentry;
use super::{Failure, check};
use crate::base::layout;
use crate::mode;

/// Maps, checks, unmaps, checks. Only the mapping is in the window.
pub(super) fn run(row: &mut Measured) -> Result<(), Failure> {
    let size = row.size;
    let mut frames = Frames::default();
    let area = take_area(size.pages as u64)?;
    let range = area.range();
    let pages: Vec<_> = area.pages().chunks(1).collect();
    frames.scatter(size.pages, size.seed)?;
    let frames = frames.numbers();
    row.link_tables(range)?;
    for (index, (page, frame)) in pages.iter().zip(&frames).enumerate() {
        check::store(layout::linear(frame.pa()), signature(index, 1))?;
        check::unmapped(page.start())?;
    }

    let mut reentry = Reentry::new(size.pages, size.k);
    // `published` returns the pages once the section has ended, with their pair paid.
    let pages = row.measured(|| {
        mode::published(|| {
            for (index, (page, frame)) in pages.iter().zip(&frames).enumerate() {
                range.map_page(page.start(), *frame, Prot::RW)?;
                reentry.after_entry(index + 1)?;
            }
            Ok(pages)
        })
    })?;
    reentry.finish()?;

    for (index, (page, frame)) in pages.iter().zip(&frames).enumerate() {
        check::mapped(page.start(), *frame, Access::ReadWrite, signature(index, 1))?;
        // Both mappings are of the same memory: a store through one is seen through the other.
        check::store(page.start(), signature(index, 2))?;
        check::touch(layout::linear(frame.pa()), signature(index, 2))?;
    }

    // What `vunmap` does, outside of the window. Every page is in the TLB, from the checks.
    unmap_range(range)
}
