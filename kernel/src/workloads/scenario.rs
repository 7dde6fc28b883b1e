//! The scenario: a short sequence of nested sections, so short that it can be stopped at each of its instructions.
//!
//! It has two nested sections, a pause, the page allocator's re-entry, and uses every mapping as soon as it may be used. What it did is
//! recorded in a [`Trace`].

use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

use stage1_paging::{Pages, Prot};

use super::pages::{signature, take_area};
use super::trace::Trace;
use super::{Failure, check, failure};
use crate::mem::areas::Area;
use crate::mem::frames;
use crate::observe::access;
use crate::{mode, sched, task};

/// The pages and frames with which a task can run the scenario, again and again.
pub(super) struct Scenario {
    area: Area,
    frames: Vec<frames::Owned>,
}

/// Pages that it maps.
const PAGES: u64 = 4;

impl Scenario {
    /// Takes the pages and the frames, and links the tables, so that a run is about last-level stores alone.
    pub(super) fn new() -> Result<Self, Failure> {
        let area = take_area(PAGES)?;
        area.range().reserve(area.pages())?;
        let frames: Vec<_> = (0..PAGES).map_while(|_| frames::alloc()).collect();
        if frames.len() as u64 != PAGES {
            return Err(failure!("no frames for a task's scenario"));
        }
        Ok(Self { area, frames })
    }

    /// Gives the frames back.
    pub(super) fn finish(self) {
        frames::free_all(self.frames);
    }

    /// Runs it once. Every page holds a word with `salt` in it. With `yields` the task leaves its
    /// core twice, once with a debt and once without.
    pub(super) fn run(&self, salt: u64, yields: bool) -> Result<Trace, Failure> {
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
        let frame = frames::alloc().ok_or_else(|| failure!("no frame left inside the section"))?;
        trace.record();
        access::fill(frame.frame());
        frame.words()[0].store(salt, Relaxed);
        mode::lazy_mmu_mode_disable();
        trace.record();
        if task.mmu.is_pending() {
            return Err(failure!(
                "the section has ended, and its debt is still pending"
            ));
        }
        self.use_if_paid(0..4, salt)?;
        self.unmap()?;
        frames::free(frame);
        trace.record();
        trace.pairs = task.counts.tally().pairs - before;
        Ok(trace)
    }

    fn page(&self, index: usize) -> Pages {
        self.area.pages().skip(index as u64).take(1)
    }

    fn map(&self, index: usize, salt: u64) -> Result<(), Failure> {
        let frame = &self.frames[index];
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

/// The word that a page holds.
fn word(index: usize, salt: u64) -> u64 {
    signature(index, 0) ^ salt
}
