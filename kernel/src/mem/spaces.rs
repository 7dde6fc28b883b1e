//! Lower-half address spaces: one for each task that makes one.

use core::marker::PhantomData;

use stage1_paging::{Asid, Done, Error, Half, NoFrame, Pages, Space, Va};

use super::{Hardware, PageRange, ttbr0};
use crate::base::Lock;
use crate::observe::seam::HW;

/// Which ASIDs are in use, from 1 on. 0 belongs to nobody: it is what TTBR0 holds with the empty table.
static ASIDS: Lock<[bool; 255]> = Lock::new([false; 255]);

/// Why a space could not be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SpaceError {
    /// All 255 ASIDs are in use. (8 bits, which every core has; no rollover.)
    NoAsid,
    /// No frame for its root.
    NoFrame,
}

/// A lower half: its tables and its ASID.
#[must_use = "a space that is dropped keeps its tables and its ASID: `destroy` it"]
pub struct TaskSpace {
    space: Space<'static, Hardware>,
    asid: Asid,
    /// It stays with the task that made it: only that one enters it, so that no core has it in TTBR0
    /// once that one has left it.
    of_task: PhantomData<*const ()>,
}

impl TaskSpace {
    /// An empty one.
    ///
    /// # Errors
    /// [`SpaceError`].
    pub fn new() -> Result<Self, SpaceError> {
        let hardware = super::kernel_space().mmu();
        let asid = take_asid().ok_or(SpaceError::NoAsid)?;
        let root = hardware.new_root().map_err(|NoFrame| {
            // It was in no TTBR: no translation has it.
            ASIDS.lock()[usize::from(asid.0) - 1] = false;
            SpaceError::NoFrame
        })?;
        Ok(Self {
            space: Space::new(hardware, root, Half::Lower(asid)),
            asid,
            of_task: PhantomData,
        })
    }

    /// The right to all of it: no Rust object lies in a lower half.
    pub fn range(&self) -> PageRange<'_> {
        self.space.part(Pages::whole(self.space.half()))
    }

    /// The right to these pages; `None` where they are not all its own.
    pub fn part(&self, pages: Pages) -> Option<PageRange<'_>> {
        let holds = self.space.half().holds(pages);
        holds.then(|| self.space.part(pages))
    }

    /// Splits blocks until a mapping begins at `at`: [`Space::split`].
    ///
    /// # Errors
    /// As there.
    pub fn split(&mut self, at: Va) -> Result<(), Error> {
        self.space.split(at)
    }

    /// Frees the empty tables on the way to `pages`, after an invalidation of its own: [`Space::free_tables`].
    ///
    /// # Errors
    /// As there.
    pub fn free_tables(&mut self, pages: Pages) -> Result<(), Error> {
        let mut gather = self.space.gather(());
        self.space.free_tables(pages, &mut gather)
    }

    /// Makes it this core's lower half.
    pub fn enter(&self) {
        stage1_hw::publish_root(HW);
        // SAFETY: a root of this kernel's, which lives until `destroy`, which takes it out of TTBR0
        // first.
        unsafe { ttbr0::set(self.space.root(), self.asid) };
    }

    /// Unmaps what is left, invalidates the ASID on every core, and gives tables and ASID back.
    /// Frames that were mapped are their owner's.
    pub fn destroy(self) {
        ttbr0::clear();
        let ((), done) = self.space.destroy(());
        give_asid(self.asid, done);
    }
}

fn take_asid() -> Option<Asid> {
    let mut in_use = ASIDS.lock();
    let free = in_use.iter().position(|in_use| !in_use)?;
    in_use[free] = true;
    // At most 255.
    Some(Asid(free as u16 + 1))
}

/// Gives back an ASID that is invalidated on every core: its next owner finds no translation of this one's. Consumes the
/// proof, which is of this owner alone.
///
/// # Panics
/// If `done` is of something else.
fn give_asid(asid: Asid, done: Done) {
    assert!(
        done.is_of_all(Half::Lower(asid)),
        "ASID {} goes back with translations in TLBs",
        asid.0
    );
    ASIDS.lock()[usize::from(asid.0) - 1] = false;
}
