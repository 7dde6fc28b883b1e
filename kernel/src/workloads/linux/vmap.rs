//! `vmap-range` and `vunmap`: several areas, each mapped and unmapped by one call, as Linux's `vmap` and `vunmap` do it.
//!
//! `vunmap` is lazy: an area is unmapped, and the next one, and one invalidation at the end is for all of them. Only then do
//! their addresses and frames go back. (Linux: `purge_vmap_area_lazy`.) With `frames=contiguous` the frames of an area are
//! neighbours, and its call is given the first.

use alloc::vec::Vec;

use stage1_paging::{Access, Error, Fit, Frame, Prot, Va};

use crate::base::layout;
use crate::mem::PageRange;
use crate::mem::areas::Area;
use crate::mode;
use crate::report::Size;
use crate::workloads::measure::Measured;
use crate::workloads::memory::Frames;
use crate::workloads::pages::{signature, take_area, unmap_range};
use crate::workloads::{Failure, check};

/// The areas of a run, and the frames of each.
struct Places {
    areas: Vec<(Area, Vec<Frame>)>,
}

impl Places {
    /// Takes areas and frames, and links the tables, which is outside of the window.
    fn take(row: &Measured, frames: &mut Frames) -> Result<Self, Failure> {
        let Size {
            pages,
            seed,
            detail,
            ..
        } = row.size;
        let mut areas = Vec::with_capacity(detail.areas);
        let mut rest = pages;
        for left in (1..=detail.areas).rev() {
            let count = rest.div_ceil(left);
            let before = frames.count();
            if detail.contiguous {
                frames.take_contiguous(count)?;
            } else {
                frames.scatter(count, seed)?;
            }
            let numbers = frames.numbers().split_off(before);
            let area = take_area(count as u64)?;
            row.link_tables(area.range())?;
            areas.push((area, numbers));
            rest -= count;
        }
        Ok(Self { areas })
    }

    /// Every page with its frame, and its number.
    fn pages(&self) -> impl Iterator<Item = (usize, Va, Frame)> {
        let pages = self.areas.iter().flat_map(|(area, frames)| {
            let starts = area.pages().chunks(1).map(|page| page.start());
            starts.zip(frames.iter().copied())
        });
        pages.enumerate().map(|(n, (va, frame))| (n, va, frame))
    }

    /// Maps all areas, each in a section of its own, as each is a call of its own for somebody else.
    fn map(&self, contiguous: bool) -> Result<(), Error> {
        self.areas.iter().try_for_each(|(area, frames)| {
            mode::published(|| map_area(area.range(), frames, contiguous))
        })
    }
}

fn map_area(range: PageRange<'_>, frames: &[Frame], contiguous: bool) -> Result<(), Error> {
    let pages = range.pages();
    if contiguous {
        range.map(pages, frames[0], Prot::RW, Fit::Pages)
    } else {
        range.map_frames(pages, frames.iter().copied(), Prot::RW)
    }
}

/// Only the mapping is in the window.
pub(in crate::workloads) fn run_map(row: &mut Measured) -> Result<(), Failure> {
    let mut frames = Frames::default();
    let places = Places::take(row, &mut frames)?;
    for (index, va, frame) in places.pages() {
        check::store(layout::linear(frame.pa()), signature(index, 1))?;
        check::unmapped(va)?;
    }
    let contiguous = row.size.detail.contiguous;
    row.measured(|| Ok(places.map(contiguous)?))?;
    for (index, va, frame) in places.pages() {
        check::mapped(va, frame, Access::ReadWrite, signature(index, 1))?;
    }
    places
        .areas
        .iter()
        .try_for_each(|(area, _)| unmap_range(area.range()))
}

/// Only the unmapping is in the window, with its one invalidation.
pub(in crate::workloads) fn run_unmap(row: &mut Measured) -> Result<(), Failure> {
    let mut frames = Frames::default();
    let places = Places::take(row, &mut frames)?;
    places.map(row.size.detail.contiguous)?;
    for (index, va, _) in places.pages() {
        check::store(va, signature(index, 1))?;
    }
    let areas = &places.areas;
    row.measured(|| {
        // There is at least one.
        let mut gather = areas[0].0.range().gather(());
        for (area, _) in areas {
            mode::section(|| area.range().unmap(area.pages(), &mut gather))?;
        }
        let _ = gather.finish();
        Ok(())
    })?;
    for (_, va, _) in places.pages() {
        check::unmapped(va)?;
    }
    Ok(())
}
