//! `zap`: a range unmapped, and its frames freed.
//!
//! The order is Linux's: clear the descriptors, remembering the frames; invalidate; only then free.
//! The frames allocated on the way stand for the pages in which Linux's gather remembers them:
//! there as here, this is where a zap meets the page allocator.

use super::staging::Staging;
use super::{Failure, Measured, check, failure, mapped_range, signature};
use crate::base::layout;
use crate::mem::areas::Area;
use crate::mem::frames;
use crate::mode;

/// Maps, touches, zaps, checks.
pub(super) fn run(row: &mut Measured) -> Result<(), Failure> {
    let size = row.size;
    let area = Area::take(size.pages as u64).ok_or_else(|| failure!("the vmap area is full"))?;
    let range = area.range();
    row.link_tables(range)?;
    // From here on the mappings own their frames.
    let frames = mapped_range(range, size)?;
    for (index, page) in area.pages().chunks(1).enumerate() {
        check::touch(page.start(), signature(index, 1))?;
        check::touch(layout::linear(frames[index].pa()), signature(index, 1))?;
    }

    let mut staging = Staging::new(size.pages, size.k);
    // SAFETY: the frames are `mapped_range`'s, and nothing but this range maps them.
    let parked = unsafe { frames::Zapped::with_capacity(size.pages) };
    let mut gather = range.gather(parked);
    let zapped = row.measured(|| {
        mode::section(|| -> Result<usize, Failure> {
            let mut done = 0;
            for group in area.pages().chunks(size.k as u64) {
                done += range
                    .unmap(group, &mut gather)
                    .map_err(|error| failure!("{error}"))? as usize;
                staging.after(done)?;
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
            // Nothing was allocated since: the staging had its frames before these were freed.
            check::unmapped(layout::linear(frames[index].pa()))?;
        }
    }
    staging.finish()
}
