//! Who had a frame last: what a debug page allocator says when a frame is misused (Linux: `page_owner`).
//!
//! The rules say that a freed frame is used while a translation may still lead to it. This says whose it was: for an allocator that
//! unmaps free frames, so that a use after free faults, and for one that finds a frame freed twice.

use alloc::vec::Vec;
use core::fmt;
use core::panic::Location;

/// The last thing that was done with a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owner {
    /// It was freed; or else allocated.
    pub freed: bool,
    /// In this task.
    pub task: u16,
    /// By the code here.
    pub site: &'static Location<'static>,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = if self.freed { "freed" } else { "allocated" };
        write!(f, "{done} by task {} at {}", self.task, self.site)
    }
}

/// Why a frame cannot be freed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Misfreed {
    /// It is free already.
    Twice(Owner),
    /// It was never allocated.
    NotAllocated,
}

impl fmt::Display for Misfreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misfreed::Twice(before) => write!(f, "is freed twice: it was {before}"),
            Misfreed::NotAllocated => f.write_str("is not the allocator's to free"),
        }
    }
}

impl core::error::Error for Misfreed {}

/// The last owner of each frame of a stretch of memory, in ten bytes each.
///
/// ```
/// use core::panic::Location;
/// use mmu_check::owners::{Misfreed, Owners};
///
/// let mut owners = Owners::new(0x4000_0000, 16 << 12);
/// owners.allocated(0x4000_3000, 1, Location::caller());
/// assert_eq!(owners.freed(0x4000_3000, 2, Location::caller()), Ok(()));
/// assert!(matches!(owners.freed(0x4000_3000, 3, Location::caller()), Err(Misfreed::Twice(before)) if before.task == 2));
/// ```
#[derive(Clone, Debug)]
pub struct Owners {
    start: u64,
    sites: Vec<Option<&'static Location<'static>>>,
    /// Each with [`FREED`] or without.
    tasks: Vec<u16>,
}

const FREED: u16 = 1 << 15;

impl Owners {
    /// For the frames of 4 KiB in `bytes` bytes from the physical address `start` on, none of which was allocated.
    ///
    /// # Panics
    /// If the host's addresses do not reach so far.
    pub fn new(start: u64, bytes: u64) -> Self {
        let frames = usize::try_from(bytes >> 12).expect("more memory than there are addresses");
        Self {
            start,
            sites: alloc::vec![None; frames],
            tasks: alloc::vec![0; frames],
        }
    }

    fn index(&self, frame: u64) -> Option<usize> {
        let index = usize::try_from(frame.checked_sub(self.start)? >> 12).ok()?;
        (index < self.sites.len()).then_some(index)
    }

    fn set(&mut self, frame: u64, task: u16, site: &'static Location<'static>) {
        if let Some(index) = self.index(frame) {
            self.sites[index] = Some(site);
            self.tasks[index] = task;
        }
    }

    /// The frame at physical address `frame` was allocated. Task numbers are below 2^15.
    pub fn allocated(&mut self, frame: u64, task: u16, site: &'static Location<'static>) {
        self.set(frame, task & !FREED, site);
    }

    /// It is freed.
    ///
    /// # Errors
    /// [`Misfreed`]; it stays what it was.
    pub fn freed(
        &mut self,
        frame: u64,
        task: u16,
        site: &'static Location<'static>,
    ) -> Result<(), Misfreed> {
        let index = self.index(frame).ok_or(Misfreed::NotAllocated)?;
        let (before, last) = (&mut self.tasks[index], &mut self.sites[index]);
        match last {
            None => return Err(Misfreed::NotAllocated),
            Some(_) if *before & FREED != 0 => {
                return Err(self
                    .of(frame)
                    .map_or(Misfreed::NotAllocated, Misfreed::Twice));
            }
            Some(_) => (*before, *last) = (task | FREED, Some(site)),
        }
        Ok(())
    }

    /// What was done last with it; `None` if it was never allocated, or is none of these.
    pub fn of(&self, frame: u64) -> Option<Owner> {
        let index = self.index(frame)?;
        let task = self.tasks[index];
        Some(Owner {
            freed: task & FREED != 0,
            task: task & !FREED,
            site: self.sites[index]?,
        })
    }
}
