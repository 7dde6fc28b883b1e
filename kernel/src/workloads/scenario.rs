//! The scenario: a short sequence of nested sections, so short that it can be stopped at each of its instructions.
//!
//! It has two nested sections, a pause, the page allocator's re-entry, and uses every mapping as soon as it may be used. What it did is
//! recorded in a [`Trace`].

use core::sync::atomic::Ordering::Relaxed;

use stage1_paging::{Pages, Prot};

use super::memory::Frames;
use super::pages::{signature, take_area};
use super::trace::Trace;
use super::{Failure, check, failure};
use crate::mem::areas::Area;
use crate::observe::access;
use crate::{mode, sched, task};

/// The pages and frames with which a task can run the scenario, again and again.
pub(super) struct Scenario {
    // In this order they go: what maps the frames first.
    area: Area,
    frames: Frames,
}

/// Pages that it maps.
const PAGES: u64 = 4;

impl Scenario {
    /// Takes the pages and the frames, and links the tables, so that a run is about last-level stores alone.
    pub(super) fn new() -> Result<Self, Failure> {
        let area = take_area(PAGES)?;
        area.range().reserve(area.pages())?;
        let mut frames = Frames::default();
        frames.take(PAGES as usize)?;
        Ok(Self { area, frames })
    }

    /// Runs it once. Every page holds a word with `salt` in it. With `yields` the task leaves its
    /// core twice, once with a debt and once without.
    ///
    /// # Errors
    /// The first check that failed, or that there is no frame. Its sections are ended and its pages unmapped then, too.
    pub(super) fn run(&self, salt: u64, yields: bool) -> Result<Trace, Failure> {
        let trace = self.sections(salt, yields);
        if trace.is_err() {
            abandon();
            self.unmap()?;
        }
        trace
    }

    fn sections(&self, salt: u64, yields: bool) -> Result<Trace, Failure> {
        let task = task::current();
        let mut trace = Trace::new();
        let before = task.counts.tally().pairs;
        mode::lazy_mmu_mode_enable();
        trace.record();
        self.map(0, salt)?;
        trace.record();
        if yields {
            sched::yield_now();
        }
        mode::lazy_mmu_mode_enable();
        trace.record();
        self.map(1, salt)?;
        mode::lazy_mmu_mode_disable();
        trace.record();
        if yields {
            // This core has executed the pair. The task may go on elsewhere, where the switch's ISB is the only one.
            sched::yield_now();
        }
        self.use_if_paid(0..2, salt)?;
        mode::lazy_mmu_mode_pause();
        trace.record();
        self.map(2, salt)?;
        self.use_if_paid(0..3, salt)?;
        mode::lazy_mmu_mode_resume();
        trace.record();
        self.map(3, salt)?;
        let mut frame = Frames::default();
        frame.take(1)?;
        trace.record();
        access::fill(frame.nth(0).frame());
        frame.nth(0).words()[0].store(salt, Relaxed);
        mode::lazy_mmu_mode_disable();
        trace.record();
        if task.mmu.is_pending() {
            return Err(failure!(
                "the section has ended, and its debt is still pending"
            ));
        }
        self.use_if_paid(0..4, salt)?;
        self.unmap()?;
        drop(frame);
        trace.record();
        trace.pairs = task.counts.tally().pairs - before;
        Ok(trace)
    }

    fn page(&self, index: usize) -> Pages {
        self.area.pages().skip(index as u64).take(1)
    }

    fn map(&self, index: usize, salt: u64) -> Result<(), Failure> {
        let frame = self.frames.nth(index);
        frame.words()[0].store(word(index, salt), Relaxed);
        let va = self.page(index).start();
        self.area.range().map_page(va, frame.frame(), Prot::RW)?;
        Ok(())
    }

    /// Uses the mappings, unless their pair is pending: then nobody may use them.
    fn use_if_paid(&self, pages: core::ops::Range<usize>, salt: u64) -> Result<(), Failure> {
        if task::current().mmu.is_pending() {
            return Ok(());
        }
        for index in pages {
            let va = self.page(index).start();
            check::touch(va, word(index, salt))?;
            check::store(va, word(index, salt))?;
        }
        Ok(())
    }

    fn unmap(&self) -> Result<(), Failure> {
        let range = self.area.range();
        let mut gather = range.gather(());
        range.unmap(self.area.pages(), &mut gather)?;
        let _ = gather.finish();
        for index in 0..PAGES as usize {
            check::unreachable(self.page(index).start())?;
        }
        Ok(())
    }
}

/// Ends the sections that a run has left open, and its pause.
fn abandon() {
    let state = task::current().mmu.state();
    if state.count > 0 && !state.enabled {
        mode::lazy_mmu_mode_resume();
    }
    for _ in 0..state.count {
        mode::lazy_mmu_mode_disable();
    }
}

/// The word that a page holds.
fn word(index: usize, salt: u64) -> u64 {
    signature(index, 0) ^ salt
}
