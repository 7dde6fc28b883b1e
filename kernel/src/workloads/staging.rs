//! The frames that a workload allocates inside its section, and uses at once.

use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

use super::{Failure, failure};
use crate::mem::frames::{self, Owned};
use crate::{observe, task};

/// Frames taken along the way, as a gather takes pages for its batches: each is written when it is
/// taken, and read at the end.
pub(super) struct Staging {
    taken: Vec<Owned>,
    every: usize,
}

impl Staging {
    /// For a workload of `pages` entries that takes one after every `every`.
    pub(super) fn new(pages: usize, every: usize) -> Self {
        // All of the memory now: growing inside a window would be work of its own.
        Self {
            taken: Vec::with_capacity(pages / every),
            every,
        }
    }

    /// To be called after entry number `done`: takes a frame and uses it, when it is time to.
    pub(super) fn after(&mut self, done: usize) -> Result<(), Failure> {
        if done.is_multiple_of(self.every) {
            self.take()
        } else {
            Ok(())
        }
    }

    fn take(&mut self) -> Result<(), Failure> {
        let frame = frames::alloc().ok_or_else(|| failure!("no frame left inside the section"))?;
        // H3: under `debug=on` the allocator has just mapped this frame, and its section has ended.
        // What it owed must be paid, or the stores below run ahead of their barrier. QEMU
        // would not show it: it has no such delay.
        if frames::is_debug() && task::current().mmu.is_pending() {
            return Err(failure!(
                "H3: {:?} is used while its barrier is pending: the inner section ended without a flush",
                frame.frame()
            ));
        }
        observe::fill(frame.frame());
        let mark = self.mark(self.taken.len());
        frame
            .words()
            .iter()
            .for_each(|word| word.store(mark, Relaxed));
        self.taken.push(frame);
        Ok(())
    }

    fn mark(&self, index: usize) -> u64 {
        0x5354_4147_0000_0000 | index as u64
    }

    /// Checks that all of them still hold what was written, and frees them.
    pub(super) fn finish(self) -> Result<(), Failure> {
        for (index, frame) in self.taken.iter().enumerate() {
            let mark = self.mark(index);
            if let Some(word) = frame
                .words()
                .iter()
                .position(|word| word.load(Relaxed) != mark)
            {
                return Err(failure!(
                    "word {word} of staged frame {:?} was overwritten",
                    frame.frame()
                ));
            }
        }
        frames::free_all(self.taken);
        Ok(())
    }
}
