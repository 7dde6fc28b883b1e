//! Stacks of tasks and cores: in an area of their own, each above a guard that is never mapped.
//!
//! Stack `slot` is the upper half of the block of `2 << STACK_SHIFT` bytes that the area's start
//! and the slot give: the shape by which `traps/vectors.s` tells an overflow. Tasks use the slot of
//! their number, which leaves those from `MAX_TASKS` on to the cores.

use core::fmt;

use alloc::vec::Vec;
use stage1_paging::{Error, Pages, Prot, Va};

use super::{frames, kernel_space};
use crate::base::layout::{PAGE_SIZE, STACK_SHIFT, STACKS_BASE};
use crate::base::{MAX_CORES, MAX_TASKS};
use crate::mode;

/// How many stacks there is room for.
pub const SLOTS: usize = MAX_TASKS + MAX_CORES;

const STACK_PAGES: u64 = (1 << STACK_SHIFT) / PAGE_SIZE;

/// Why there is no stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StackError {
    /// There is no such slot.
    NoSlot(usize),
    /// Too few frames.
    NoFrame,
    /// The tables refused.
    Tables(Error),
}

impl fmt::Display for StackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StackError::NoSlot(slot) => write!(f, "stack {slot}: there are {SLOTS}"),
            StackError::NoFrame => write!(f, "no frames for a stack ({STACK_PAGES} are needed)"),
            StackError::Tables(error) => write!(f, "a stack cannot be mapped: {error}"),
        }
    }
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
    pub fn map(slot: usize) -> Result<Self, StackError> {
        if slot >= SLOTS {
            return Err(StackError::NoSlot(slot));
        }
        let pages = pages_of(slot).map_err(StackError::Tables)?;
        let frames: Vec<_> = (0..STACK_PAGES).map_while(|_| frames::alloc()).collect();
        if frames.len() as u64 != STACK_PAGES {
            frames::free_all(frames);
            return Err(StackError::NoFrame);
        }
        let numbers = frames.iter().map(frames::Owned::frame);
        // Given out when the section that maps it has paid.
        match mode::reenter(|| {
            mode::published(|| {
                kernel_space().map_frames(pages, numbers, Prot::RW)?;
                Ok(Self(pages))
            })
        }) {
            Ok(stack) => {
                // The mapping owns them from here on.
                frames.into_iter().for_each(|frame| {
                    frame.into_frame();
                });
                Ok(stack)
            }
            Err(error) => {
                // One table holds a stack's pages, so the failure is that there is none: nothing was mapped.
                frames::free_all(frames);
                Err(StackError::Tables(error))
            }
        }
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
        let parked = unsafe { frames::Zapped::with_capacity(STACK_PAGES as usize) };
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

fn pages_of(slot: usize) -> Result<Pages, Error> {
    let start = STACKS_BASE + ((2 * slot as u64 + 1) << STACK_SHIFT);
    Pages::new(Va::new(start), STACK_PAGES)
}
