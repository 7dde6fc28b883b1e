//! `zap`: a range unmapped, and its frames freed.
//!
//! The order is Linux's: clear the descriptors and remember the frames, invalidate, and only then free.
//! Linux remembers them in pages that it allocates on the way (`struct mmu_gather_batch`). The frames that are
//! allocated here stand for those.

use super::measure::Measured;
use super::memory::Frames;
use super::pages::{scatter_and_map, signature, take_area};
use super::reentry::Reentry;
use super::{Failure, check, failure};
use crate::base::layout;
use crate::mem::frames;
use crate::mode;

/// Maps, touches, zaps, checks.
pub(super) fn run(row: &mut Measured) -> Result<(), Failure> {
    let size = row.size;
    let mut owned = Frames::default();
    let area = take_area(size.pages as u64)?;
    let range = area.range();
    row.link_tables(range)?;
    let frames = scatter_and_map(range, size, &mut owned)?;
    for (index, page) in area.pages().chunks(1).enumerate() {
        check::touch(page.start(), signature(index, 1))?;
        check::touch(layout::linear(frames[index].pa()), signature(index, 1))?;
    }

    let mut reentry = Reentry::new(size.pages, size.k);
    // From here on the mappings own their frames.
    for frame in owned.give() {
        frame.into_frame();
    }
    // SAFETY: 1. The range maps the frames that were given up, each once. 2. Nothing else maps them but the linear map.
    let parked = unsafe { frames::Zapped::with_capacity(size.pages) };
    let mut gather = range.gather(parked);
    let zapped = row.measured(|| {
        mode::section(|| -> Result<usize, Failure> {
            let mut done = 0;
            for group in area.pages().chunks(size.k as u64) {
                done += range.unmap(group, &mut gather)? as usize;
                reentry.after_entry(done)?;
            }
            let (parked, invalidated) = gather.finish();
            Ok(parked.free(&invalidated))
        })
    })?;
    if zapped != size.pages {
        return Err(failure!("{zapped} pages were zapped of {}", size.pages));
    }

    for (index, page) in area.pages().chunks(1).enumerate() {
        check::unmapped(page.start())?;
        if frames::is_debug() && row.is_alone() {
            // Nothing has been allocated since these were freed, so none of them is mapped in the linear map.
            check::unmapped(layout::linear(frames[index].pa()))?;
        }
    }
    reentry.finish()
}
