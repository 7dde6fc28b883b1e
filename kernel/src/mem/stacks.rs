//! Stacks of tasks and cores: in an area of their own, each above a guard that is never mapped.
//!
//! Stack `slot` is the upper half of the block of `2 << STACK_SHIFT` bytes that the area's start
//! and the slot give: the shape by which `traps/vectors.s` recognises an overflow. Tasks use the slot of
//! their number, which leaves those from `MAX_TASKS` on to the cores.

use alloc::vec::Vec;
use stage1_paging::{Error, Pages, Prot, Va, What};
use thiserror::Error;

use super::frames::{self, Owned, Zapped};
use super::kernel_space;
use crate::base::layout::{PAGE_SIZE, STACK_SHIFT, STACKS_BASE};
use crate::base::{MAX_CORES, MAX_TASKS};
use crate::mode;

/// How many stacks there is room for.
pub const SLOTS: usize = MAX_TASKS + MAX_CORES;

const STACK_PAGES: u64 = (1 << STACK_SHIFT) / PAGE_SIZE;

/// Why there is no stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum StackError {
    /// Too few frames.
    #[error("no frames for a stack ({STACK_PAGES} are needed)")]
    NoFrame,
    /// The tables refused.
    #[error("a stack cannot be mapped: {0}")]
    Tables(#[from] Error),
}

/// A mapped stack.
#[must_use = "a stack that is dropped stays mapped: `unmap` it"]
#[derive(Debug)]
pub struct Stack(Pages);

impl Stack {
    /// Maps the stack of `slot`, which is not mapped.
    ///
    /// It is published when this returns, whatever section the caller is in: like the page
    /// allocator, this opens one of its own.
    ///
    /// # Errors
    /// [`StackError`]; the slot is as before.
    ///
    /// # Panics
    /// From [`SLOTS`] on: there is no such slot. If it is mapped: its last owner has given up the slot too soon.
    pub fn map(slot: usize) -> Result<Self, StackError> {
        assert!(slot < SLOTS, "stack {slot}: there are {SLOTS}");
        let start = STACKS_BASE + ((2 * slot as u64 + 1) << STACK_SHIFT);
        let pages = Pages::new(Va::new(start), STACK_PAGES)?;
        let frames: Vec<_> = (0..STACK_PAGES).map_while(|_| frames::alloc()).collect();
        if frames.len() as u64 != STACK_PAGES {
            frames::free_all(frames);
            return Err(StackError::NoFrame);
        }
        let numbers = frames.iter().map(Owned::frame);
        // Given out when the section that maps it has paid.
        let mapped = mode::reenter(|| {
            mode::published(|| {
                kernel_space().map_frames(pages, numbers, Prot::RW)?;
                Ok(Self(pages))
            })
        });
        match &mapped {
            // The mapping owns them from here on.
            Ok(_) => frames.into_iter().map(Owned::into_frame).for_each(drop),
            Err(StackError::Tables(error)) if error.what == What::AlreadyMapped => {
                panic!("stack {slot} is mapped twice")
            }
            // One table holds a stack's pages, so the failure is that there is none: nothing was mapped.
            Err(_) => frames::free_all(frames),
        }
        mapped
    }

    /// The first address behind it: an empty stack's pointer.
    pub fn top(&self) -> u64 {
        self.0.start().raw() + (1 << STACK_SHIFT)
    }

    /// Unmaps it and frees its frames.
    ///
    /// # Safety
    /// Nobody runs on it any more, or will.
    pub(crate) unsafe fn unmap(self) {
        // SAFETY: the frames came from `into_frame` in `map`, and nothing else maps them.
        let parked = unsafe { Zapped::with_capacity(STACK_PAGES as usize) };
        let mut gather = kernel_space().gather(parked);
        let unmapped = kernel_space().unmap(self.0, &mut gather);
        assert!(
            unmapped == Ok(STACK_PAGES),
            "a stack was not mapped as it was made: {unmapped:?}"
        );
        let (parked, invalidated) = gather.finish();
        parked.free(&invalidated);
    }
}
