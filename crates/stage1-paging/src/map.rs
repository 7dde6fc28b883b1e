//! Map: valid descriptors where invalid ones were.
//!
//! An invalid descriptor is never held in a TLB (Arm ARM DDI 0487, D8), so nothing is invalidated
//! here. What is owed is to be seen: the pair `dsb ishst; isb`, once per call, through
//! [`Mmu::owe`].

use crate::addr::{Frame, Level, Pages, Va};
use crate::desc::{Desc, Memory, Prot};
use crate::error::{Error, What};
use crate::mmu::{Mmu, Slots, Step};
use crate::space::Space;

/// Which descriptors a contiguous range may use.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fit {
    /// Pages only, so that each can be unmapped or protected by itself.
    Pages,
    /// 1 GiB and 2 MiB blocks where both addresses are aligned for them, pages elsewhere.
    Largest,
}

impl Fit {
    /// The level to map the beginning of `rest` at.
    #[inline]
    fn level(self, rest: Pages, frame: Frame) -> Level {
        let both = rest.start().raw() | frame.pa().raw();
        let fits = |level: Level| level.aligned(both) && rest.count() >= level.pages();
        match self {
            Fit::Largest if fits(Level::L1) => Level::L1,
            Fit::Largest if fits(Level::L2) => Level::L2,
            _ => Level::L3,
        }
    }
}

/// Refuses what no mapping may be.
pub(crate) const fn check_prot(prot: Prot, at: Va) -> Result<(), Error> {
    if prot.access.is_writable() && prot.access.is_executable() {
        return Err(Error::new(What::WriteAndExecute, at));
    }
    if prot.memory.index() == Memory::DEVICE.index() && prot.access.is_executable() {
        return Err(Error::new(What::ExecutableDevice, at));
    }
    Ok(())
}

impl<M: Mmu> Space<'_, M> {
    /// Maps `pages` to contiguous frames from `frame` on. Links the tables that are missing, owes
    /// one pair.
    ///
    /// A block is used only where no table is linked yet: a table is not replaced by a block, that
    /// would take break-before-make and the whole space.
    ///
    /// # Errors
    /// Refused with nothing changed: [`What::OtherHalf`], [`What::OutputTooHigh`],
    /// [`What::WriteAndExecute`], [`What::ExecutableDevice`]. Part of the way:
    /// [`What::AlreadyMapped`], [`What::OutOfFrames`]; the pages before [`Error::at`] are mapped,
    /// and owed for.
    pub fn map(&self, pages: Pages, frame: Frame, prot: Prot, fit: Fit) -> Result<(), Error> {
        self.check(pages)?;
        self.map_here(pages, frame, prot, fit)
    }

    /// The same, of pages of this half.
    #[inline]
    pub(crate) fn map_here(
        &self,
        pages: Pages,
        frame: Frame,
        prot: Prot,
        fit: Fit,
    ) -> Result<(), Error> {
        if pages.count() == 1 {
            self.map_page_here(pages.start(), frame, prot)
        } else {
            self.map_many(pages, frame, prot, fit)
        }
    }

    #[inline(never)]
    pub(crate) fn map_many(
        &self,
        pages: Pages,
        frame: Frame,
        prot: Prot,
        fit: Fit,
    ) -> Result<(), Error> {
        check_prot(prot, pages.start())?;
        if !pages.is_empty() && frame.checked_add(pages.count() - 1).is_none() {
            return Err(Error::new(What::OutputTooHigh, pages.start()));
        }
        // The frame that belongs to the first page of `rest`; in range, as just checked.
        let frame_of = |rest: Pages| {
            frame
                .checked_add(pages.count() - rest.count())
                .unwrap_or(frame)
        };
        self.fill(
            pages,
            |rest| fit.level(rest, frame_of(rest)),
            |slots, rest| {
                let level = slots.level;
                let mut next = self.leaf(level, frame_of(rest), prot).bits();
                let edited = self.mmu.edit(slots, |old| {
                    if old.is_valid() {
                        return Step::Stop;
                    }
                    let desc = Desc::from_bits(next);
                    next += level.size();
                    Step::Store(desc)
                });
                if edited.passed > 0 {
                    Ok(edited.passed)
                } else {
                    Err(What::AlreadyMapped)
                }
            },
        )
    }

    /// Maps `pages`, in order, to the frames that `frames` yields, a page each. Links the tables
    /// that are missing, owes one pair. A frame is taken from the iterator only when there is a
    /// place for it.
    ///
    /// # Errors
    /// As [`Space::map`], and part of the way [`What::TooFewFrames`] when the iterator ends early.
    pub fn map_frames(
        &self,
        pages: Pages,
        frames: impl IntoIterator<Item = Frame>,
        prot: Prot,
    ) -> Result<(), Error> {
        self.check(pages)?;
        check_prot(prot, pages.start())?;
        let mut frames = frames.into_iter().fuse();
        let bits = self.leaf(Level::L3, Frame::ZERO, prot).bits();
        self.fill(
            pages,
            |_| Level::L3,
            |slots, _| {
                let mut why = What::AlreadyMapped;
                let edited = self.mmu.edit(slots, |old| {
                    if old.is_valid() {
                        return Step::Stop;
                    }
                    let Some(frame) = frames.next() else {
                        why = What::TooFewFrames;
                        return Step::Stop;
                    };
                    Step::Store(Desc::from_bits(bits | frame.pa().raw()))
                });
                if edited.passed > 0 {
                    Ok(edited.passed)
                } else {
                    Err(why)
                }
            },
        )
    }

    /// Links every last-level table that `pages` needs, so that mapping single pages there cannot
    /// fail for want of a frame. Owes one pair if it linked any. Places under a block are left
    /// alone.
    ///
    /// # Errors
    /// [`What::OtherHalf`]; [`What::OutOfFrames`], with the tables before [`Error::at`] linked.
    pub fn reserve(&self, pages: Pages) -> Result<(), Error> {
        self.check(pages)?;
        let (mut rest, mut linked) = (pages, false);
        let mut result = Ok(());
        while !rest.is_empty() {
            let va = rest.start();
            match self.table_for(va, Level::L3, &mut linked) {
                Ok(_) => rest = rest.skip_slots(Level::L2, 1),
                Err(What::AlreadyMapped) => rest = rest.skip_slots(self.find(va).1, 1),
                Err(what) => {
                    result = Err(Error::stopped(what, pages, rest));
                    break;
                }
            }
        }
        if linked {
            self.mmu.owe();
        }
        result
    }

    /// Goes over `pages` table by table, with `put` storing leaves into slots of a table at the
    /// level that `level` returns, or further down where a table is linked already. `put` returns
    /// how many it stored, at least one, or why none. Owes one pair if anything valid was stored,
    /// links included.
    fn fill(
        &self,
        pages: Pages,
        level: impl Fn(Pages) -> Level,
        mut put: impl FnMut(Slots<M::Table>, Pages) -> Result<usize, What>,
    ) -> Result<(), Error> {
        let (mut rest, mut stored) = (pages, false);
        let mut result = Ok(());
        while !rest.is_empty() {
            let va = rest.start();
            let put = self
                .table_for(va, level(rest), &mut stored)
                .and_then(|(table, level)| {
                    let n = put(Slots::new(table, level, va, rest.whole_slots(level)), rest)?;
                    Ok(rest.skip_slots(level, n))
                });
            match put {
                Ok(after) => (rest, stored) = (after, true),
                Err(what) => {
                    result = Err(Error::stopped(what, pages, rest));
                    break;
                }
            }
        }
        if stored {
            self.mmu.owe();
        }
        result
    }

    /// The table for a leaf at `va` at level `want`, or below that where a table is linked in its
    /// place. Links what is missing above, and notes it in `linked`.
    #[inline]
    pub(crate) fn table_for(
        &self,
        va: Va,
        want: Level,
        linked: &mut bool,
    ) -> Result<(M::Table, Level), What> {
        let mut table = self.root;
        for level in Level::TABLES {
            let index = level.index(va);
            let desc = self.mmu.read(table, index);
            if let Some(next) = desc.next_table(level) {
                table = self.mmu.child(next);
            } else if level >= want {
                return Ok((table, level));
            } else if desc.is_valid() {
                return Err(What::AlreadyMapped);
            } else {
                let linked_now = self.mmu.link(table, level, index, va);
                table = linked_now.map_err(|_| What::OutOfFrames)?;
                *linked = true;
            }
        }
        Ok((table, Level::L3))
    }
}
