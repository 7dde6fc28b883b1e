//! The ranges of `munmap`: their holes, and frames that two pages share.

use alloc::vec::Vec;

use stage1_paging::{Frame, Pages, Prot};

use crate::base::layout;
use crate::mem::PageRange;
use crate::report::Size;
use crate::workloads::memory::Frames;
use crate::workloads::pages::signature;
use crate::workloads::{Failure, check};

/// Pages among which one frame is shared, by the last two.
const SHARING: usize = 4;

/// How many pages `mapped` take with their holes.
pub(super) fn span(mapped: usize, holes: usize) -> u64 {
    (mapped + mapped.checked_div(holes).unwrap_or(0)) as u64
}

/// The stretches between the holes of a range, of which `mapped` pages are no holes.
fn stretches(range: PageRange<'_>, mapped: usize, holes: usize) -> impl Iterator<Item = Pages> {
    let stretch = if holes == 0 { mapped.max(1) } else { holes };
    let pages = range.pages();
    (0..mapped.div_ceil(stretch)).map(move |n| {
        let length = stretch.min(mapped - n * stretch);
        pages.skip((n * (stretch + 1)) as u64).take(length as u64)
    })
}

/// For each page its frame, among the scattered ones.
pub(super) fn shared_among_pages(frames: &mut Frames, size: Size) -> Result<Vec<Frame>, Failure> {
    let frame_of = |page: usize| page - page / SHARING - usize::from(page % SHARING == SHARING - 1);
    frames.scatter(frame_of(size.pages - 1) + 1, size.seed)?;
    let numbers = frames.numbers();
    Ok((0..size.pages)
        .map(|page| numbers[frame_of(page)])
        .collect())
}

/// Maps both sides to their frames, and uses every page, by both of its mappings if it has two. Returns the stretches.
pub(super) fn map(
    sides: [(PageRange<'_>, usize); 2],
    mapped: &[Frame],
    holes: usize,
) -> Result<Vec<Pages>, Failure> {
    let mut frames = mapped.iter().copied().enumerate();
    let mut all = Vec::new();
    for (range, count) in sides {
        for stretch in stretches(range, count, holes) {
            let of_stretch: Vec<_> = frames.by_ref().take(stretch.count() as usize).collect();
            let numbers = of_stretch.iter().map(|(_, frame)| *frame);
            range.map_frames(stretch, numbers, Prot::RW)?;
            for (page, (index, frame)) in stretch.chunks(1).zip(of_stretch) {
                check::store(page.start(), signature(index, 1))?;
                check::touch(layout::linear(frame.pa()), signature(index, 1))?;
            }
            all.push(stretch);
        }
    }
    Ok(all)
}
