//! What a workload takes of memory: its frames, which go back whatever happens, and whether all of them have.

use alloc::vec::Vec;
use stage1_paging::Frame;

use super::pages::shuffle;
use super::{Failure, failure};
use crate::mem::frames::{self, Owned};
use crate::mem::services;

/// A workload's frames, which are freed when this is dropped.
///
/// It is declared before the area or the space that maps them. So an error anywhere leaves in the right order: the
/// mappings go first, with their invalidation, and then the frames.
#[derive(Default)]
pub(super) struct Frames(Vec<Owned>);

impl Frames {
    /// Takes `count` more, shuffled by the seed, so that they are scattered over memory as on a machine that has run for a while.
    pub(super) fn scatter(&mut self, count: usize, seed: u64) -> Result<(), Failure> {
        let before = self.count();
        self.take(count)?;
        shuffle(&mut self.0[before..], seed);
        Ok(())
    }

    /// Takes `count` more, in the order in which the allocator has them.
    pub(super) fn take(&mut self, count: usize) -> Result<(), Failure> {
        self.0.reserve_exact(count);
        for _ in 0..count {
            let frame = frames::alloc()
                .ok_or_else(|| failure!("no frame left for the workload's {count} pages"))?;
            self.0.push(frame);
        }
        Ok(())
    }

    /// Takes `count` more that are neighbours, in ascending order. What the allocator has in between goes back to it.
    pub(super) fn take_contiguous(&mut self, count: usize) -> Result<(), Failure> {
        let (mut run, mut others) = (Self::default(), Self::default());
        run.0.reserve_exact(count);
        while run.0.len() < count {
            let frame = frames::alloc()
                .ok_or_else(|| failure!("there are no {count} frames in a row left"))?;
            let next = run.0.last().map(|last| last.frame().checked_add(1));
            if next.is_some_and(|next| next != Some(frame.frame())) {
                others.0.append(&mut run.0);
            }
            run.0.push(frame);
        }
        self.0.append(&mut run.0);
        Ok(())
    }

    /// How many they are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Which they are.
    pub(super) fn numbers(&self) -> Vec<Frame> {
        self.0.iter().map(Owned::frame).collect()
    }

    /// Gives them up: they belong to their mappings, or to a gather, from here on.
    pub(super) fn give(&mut self) -> Vec<Owned> {
        core::mem::take(&mut self.0)
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        frames::free_all(self.give());
    }
}

/// How many frames are free, and how many are tables.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    free: u64,
    tables: u64,
}

impl Memory {
    /// At this moment.
    pub fn now() -> Self {
        Self {
            free: frames::free_count(),
            tables: services::table_count(),
        }
    }
}

/// Checks that all frames that were taken since `before` are given back, but for the tables that were linked: those of the kernel's
/// half are never freed.
///
/// # Errors
/// A frame is lost, or was freed that was not taken.
pub fn check_frames(before: Memory) -> Result<(), Failure> {
    let now = Memory::now();
    let lost = before.free as i64 - now.free as i64;
    let tables = now.tables as i64 - before.tables as i64;
    if lost == tables {
        return Ok(());
    }
    Err(failure!(
        "{lost} frames were taken and not given back, {tables} tables account for them"
    ))
}
