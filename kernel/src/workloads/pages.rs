//! The pages that workloads work on: their frames, their contents, and their end.

use alloc::vec::Vec;
use stage1_paging::{Frame, Prot};

use super::{Failure, check, failure};
use crate::mem::areas::Area;
use crate::mem::{PageRange, frames};
use crate::report::Size;

/// Takes `count` pages of the vmap area.
pub(super) fn take_area(count: u64) -> Result<Area, Failure> {
    Area::take(count).ok_or_else(|| failure!("the vmap area is full"))
}

/// Maps all pages of a range read-write, each to a frame of its own, and stores every page's first
/// signature through the mapping.
///
/// The mappings own their frames from here on. Every page has been used, so its translation is in
/// the TLB.
pub(super) fn mapped_range(range: PageRange<'_>, size: Size) -> Result<Vec<Frame>, Failure> {
    let frames = scattered_frames(size.pages, size.seed)?;
    let pages = range.pages();
    range.map_frames(pages, frames.iter().copied(), Prot::RW)?;
    for (index, page) in pages.chunks(1).enumerate() {
        check::store(page.start(), signature(index, 1))?;
    }
    Ok(frames)
}

/// Unmaps a range whose mappings own their frames, checks that every page is gone, and frees the frames.
///
/// # Safety
/// What is mapped in `range` came from [`scattered_frames`] or [`mapped_range`], and is mapped nowhere else.
pub(super) unsafe fn release(range: PageRange<'_>) -> Result<(), Failure> {
    let pages = range.pages();
    // SAFETY: the caller's promise.
    let parked = unsafe { frames::Zapped::with_capacity(pages.count() as usize) };
    let mut gather = range.gather(parked);
    range.unmap(pages, &mut gather)?;
    let (parked, invalidated) = gather.finish();
    for page in pages.chunks(1) {
        check::unmapped(page.start())?;
    }
    parked.free(&invalidated);
    Ok(())
}

/// Allocates `count` frames and shuffles them by the seed, so that they are scattered over memory as on a
/// machine that has run for a while.
///
/// They belong to the mappings that the caller makes, and are freed by [`release`].
pub(super) fn scattered_frames(count: usize, seed: u64) -> Result<Vec<Frame>, Failure> {
    let mut taken = Vec::with_capacity(count);
    for _ in 0..count {
        let frame = frames::alloc()
            .ok_or_else(|| failure!("no frame left for the workload's {count} pages"))?;
        taken.push(frame.into_frame());
    }
    shuffle(&mut taken, seed);
    Ok(taken)
}

/// Fisher-Yates, fed by xorshift64* (Vigna 2016): no order that matters can depend on its quality.
pub fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut state = seed.max(1);
    for index in (1..items.len()).rev() {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let random = state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        items.swap(index, random as usize % (index + 1));
    }
}

/// The word that a workload stores in a page: different for every page, and for every time it is stored.
pub(super) fn signature(page: usize, generation: u64) -> u64 {
    (page as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ generation.rotate_left(48)
}

/// Checks that a run has given back all frames that it took since `free_before` were free, but for
/// `tables` tables that it has linked: those of the kernel's half are never freed.
///
/// # Errors
/// A frame is lost, or was freed that was not taken.
pub(super) fn check_frames(free_before: u64, tables: i64) -> Result<(), Failure> {
    let lost = free_before as i64 - frames::free_count() as i64;
    if lost == tables {
        return Ok(());
    }
    Err(failure!(
        "{lost} frames were taken and not given back, {tables} tables account for them"
    ))
}
