//! `munmap`: ranges of a task, with holes and shared frames, unmapped by one gather, and their frames freed in batches.
//!
//! Two ranges lie 1 GiB apart, as two VMAs do, so there are tables of several levels. After every `holes=` pages one is a
//! hole. Every fourth page maps the frame of the page before it: that frame is freed with its second mapping. Here the
//! leaves are EL1's own, but clearing one owes no pair, as in Linux.

use super::batches::{BUNDLE, Batches};
use super::vmas::{map, shared_among_pages, span};
use crate::base::layout;
use crate::mem::PageRange;
use crate::mem::frames;
use crate::mode;
use crate::workloads::measure::Measured;
use crate::workloads::memory::Frames;
use crate::workloads::pages::{in_task_space, two_ranges};
use crate::workloads::{Failure, check, failure};

/// Maps, touches, unmaps and frees, checks.
pub(in crate::workloads) fn run(row: &mut Measured) -> Result<(), Failure> {
    let mut frames = Frames::default();
    in_task_space(|space| {
        let first = row.size.pages.div_ceil(2);
        let (low, high) = two_ranges(space, span(first, row.size.detail.holes))
            .ok_or_else(|| failure!("the lower half is full"))?;
        let sides = [(low, first), (high, row.size.pages - first)];
        zap(row, sides, &mut frames)
    })
}

fn zap(
    row: &mut Measured,
    sides: [(PageRange<'_>, usize); 2],
    frames: &mut Frames,
) -> Result<(), Failure> {
    let size = row.size;
    let mapped = shared_among_pages(frames, size)?;
    let numbers = frames.numbers();
    let pages = map(sides, &mapped, size.detail.holes)?;

    let mut gather = sides[0]
        .0
        .gather(Batches::new(frames.give(), &mapped, size.detail.batch));
    let (zapped, freed, ahead) = row.measured(|| {
        mode::section(|| -> Result<_, Failure> {
            let mut zapped = 0;
            for (range, _) in sides {
                zapped += range.unmap(range.pages(), &mut gather)?;
            }
            let (mut batches, invalidated) = gather.finish();
            batches.free(&invalidated);
            Ok((zapped as usize, batches.freed(), batches.ran_ahead()))
        })
    })?;
    if (zapped, freed) != (size.pages, numbers.len()) {
        return Err(failure!(
            "{zapped} pages were zapped of {}, and {freed} frames freed of {}",
            size.pages,
            numbers.len()
        ));
    }
    check_batches(row)?;
    if ahead {
        return Err(failure!(
            "a batch page is used while its pair is pending: the inner section ended without a flush"
        ));
    }
    for page in pages.iter().flat_map(|stretch| stretch.chunks(1)) {
        check::unmapped(page.start())?;
    }
    let gone = numbers.iter().filter(|_| frames::is_debug());
    gone.map(|frame| layout::linear(frame.pa()))
        .try_for_each(check::unmapped)
}

/// Checks the barriers against the batches: a pair for each batch page, and two DSBs and an ISB for the range and for each batch. Not
/// where a batch page could not be had.
fn check_batches(row: &Measured) -> Result<(), Failure> {
    let batches = row
        .size
        .pages
        .saturating_sub(BUNDLE)
        .div_ceil(row.size.detail.batch) as u64;
    let (pages, flushes) = if frames::is_debug() {
        (batches, 1 + batches.max(1))
    } else {
        (0, 1)
    };
    let [dsb, isb, _, _] = row.tally.totals();
    let expected = [pages + 2 * flushes, pages + flushes];
    if row.tally.pairs == pages && [dsb, isb] != expected {
        return Err(failure!(
            "{dsb} DSBs and {isb} ISBs for {batches} batches, which owe {expected:?}"
        ));
    }
    Ok(())
}
