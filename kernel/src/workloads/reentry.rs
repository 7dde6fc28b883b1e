//! Re-entry: frames that a workload allocates inside its section, and uses at once.
//!
//! With `debug=on` the allocator maps each frame in a section of its own, inside the workload's: this is how sections nest.

use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

use super::{Failure, failure};
use crate::mem::frames::{self, Owned};
use crate::observe::access;
use crate::task;

/// The frames allocated so far. Each is written when it is allocated, and read at the end.
pub(super) struct Reentry {
    frames: Vec<Owned>,
    every: usize,
}

impl Reentry {
    /// For a workload of `pages` entries that allocates a frame after every `every`.
    pub(super) fn new(pages: usize, every: usize) -> Self {
        // All of the memory now: inside the window the vector must not grow.
        Self {
            frames: Vec::with_capacity(pages / every),
            every,
        }
    }

    /// To be called after entry number `done`, from 1. Allocates a frame and uses it, if one is due.
    pub(super) fn after_entry(&mut self, done: usize) -> Result<(), Failure> {
        if done.is_multiple_of(self.every) {
            self.allocate()
        } else {
            Ok(())
        }
    }

    fn allocate(&mut self) -> Result<(), Failure> {
        let frame = frames::alloc().ok_or_else(|| failure!("no frame left inside the section"))?;
        // With `debug=on` the allocator has just mapped this frame, and its section has ended.
        // The pair must have been executed, or the stores below run ahead of it. QEMU would not show
        // that: it never delays a store to a table.
        if frames::is_debug() && task::current().mmu.is_pending() {
            return Err(failure!(
                "{:?} is used while its pair is pending: the inner section ended without a flush",
                frame.frame()
            ));
        }
        access::fill(frame.frame());
        let mark = Self::mark(self.frames.len());
        frame
            .words()
            .iter()
            .for_each(|word| word.store(mark, Relaxed));
        self.frames.push(frame);
        Ok(())
    }

    /// What every word of a frame holds.
    fn mark(index: usize) -> u64 {
        0x5245_454E_5452_0000 | index as u64
    }

    /// Checks that all frames still hold what was written, and frees them.
    pub(super) fn finish(self) -> Result<(), Failure> {
        for (index, frame) in self.frames.iter().enumerate() {
            let mark = Self::mark(index);
            if let Some(word) = frame
                .words()
                .iter()
                .position(|word| word.load(Relaxed) != mark)
            {
                return Err(failure!(
                    "word {word} of {:?}, a frame allocated inside the section, was overwritten",
                    frame.frame()
                ));
            }
        }
        Ok(())
    }
}

impl Drop for Reentry {
    fn drop(&mut self) {
        frames::free_all(core::mem::take(&mut self.frames));
    }
}
