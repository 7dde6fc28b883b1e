//! The pages that workloads work on: their frames, their contents, and their end.

use alloc::vec::Vec;
use stage1_paging::{Frame, Pages, Prot, Va};

use super::memory::Frames;
use super::{Failure, check, failure};
use crate::base::layout;
use crate::mem::PageRange;
use crate::mem::areas::Area;
use crate::mem::spaces::TaskSpace;
use crate::report::Size;

/// Takes `count` pages of the vmap area.
pub(super) fn take_area(count: u64) -> Result<Area, Failure> {
    Area::take(count).ok_or_else(|| failure!("the vmap area is full"))
}

/// Two ranges of that many pages of a task's half, each 1 GiB-aligned and apart; `None` when they do not fit.
pub fn two_ranges(space: &TaskSpace, pages: u64) -> Option<(PageRange<'_>, PageRange<'_>)> {
    const FIRST: u64 = 1 << 30;
    let bytes = pages.checked_add(1)?.checked_mul(layout::PAGE_SIZE)?;
    let second = FIRST
        .checked_add(bytes)?
        .checked_next_multiple_of(1 << 30)?;
    let range = |start| space.part(Pages::new(Va::new(start), pages).ok()?);
    Some((range(FIRST)?, range(second)?))
}

/// Runs `work` with a lower half of its own, which is this core's meanwhile.
///
/// The space is destroyed whether `work` fails or not: frames that are declared outside outlive what maps them.
pub(super) fn in_task_space<R>(
    work: impl FnOnce(&TaskSpace) -> Result<R, Failure>,
) -> Result<R, Failure> {
    let space = TaskSpace::new().map_err(|error| failure!("no task space: {error:?}"))?;
    space.enter();
    let result = work(&space);
    space.destroy();
    result
}

/// Maps all pages of a range read-write, each to a frame of its own, and stores every page's first
/// signature through the mapping.
///
/// Every page has been used, so its translation is in the TLB.
pub(super) fn map_range(range: PageRange<'_>, frames: &[Frame]) -> Result<(), Failure> {
    let pages = range.pages();
    range.map_frames(pages, frames.iter().copied(), Prot::RW)?;
    for (index, page) in pages.chunks(1).enumerate() {
        check::store(page.start(), signature(index, 1))?;
    }
    Ok(())
}

/// Takes scattered frames for all pages of a range, and maps them as [`map_range`].
pub(super) fn scatter_and_map(
    range: PageRange<'_>,
    size: Size,
    frames: &mut Frames,
) -> Result<Vec<Frame>, Failure> {
    frames.scatter(size.pages, size.seed)?;
    let numbers = frames.numbers();
    map_range(range, &numbers)?;
    Ok(numbers)
}

/// Unmaps a range, and checks that every page is gone.
pub(super) fn unmap_range(range: PageRange<'_>) -> Result<(), Failure> {
    let mut gather = range.gather(());
    range.unmap(range.pages(), &mut gather)?;
    let _ = gather.finish();
    for page in range.pages().chunks(1) {
        check::unmapped(page.start())?;
    }
    Ok(())
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
