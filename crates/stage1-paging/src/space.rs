//! A space: the tables under one root, and how the operations move through them.

use core::fmt;

use crate::addr::{ENTRIES, Frame, Half, Level, PAGE_SHIFT, Pages, Va};
use crate::desc::{Desc, Mapping, NOT_GLOBAL};
use crate::error::{Error, What};
use crate::gather::{Gather, Sink};
use crate::mmu::{Mmu, Slots};

/// The tables of one half of an address space. A few words; it owns nothing and frees nothing when
/// it is dropped.
///
/// # Who may call what
///
/// | to do | hold | why that suffices |
/// |---|---|---|
/// | map, unmap, protect, move, replace pages (`&self`) | the *area*: nobody else works on these pages | last-level descriptors and blocks of different areas are different words |
/// | link a table (inside those) | the short lock in [`Mmu::link`] | two areas may need the same table at once |
/// | split a block, free tables, destroy (`&mut self`) | the *space*: nobody else works on it at all | an operation elsewhere may be on its way through the table |
/// | read (`walk`, `lookup`, `mappings`) | the area for a firm answer; nothing for a snapshot | loads are atomic; tables are freed only by the owner of the space |
///
/// [`Space::part`] lends out the right to an area as a type that has these operations and no others.
///
/// So a kernel's own half, used from all cores through `&self`, keeps its tables for ever, and a
/// task's half belongs to that task alone or sits in a lock.
///
/// It is not `Copy`, so that `&mut Space` can mean that nobody else works on it.
pub struct Space<'m, M: Mmu> {
    pub(crate) mmu: &'m M,
    /// Root, ASID, and the nG bit of its leaves: what tells the spaces of a machine apart.
    pub(crate) key: u64,
    /// That bit alone, as each of its leaves has it.
    pub(crate) not_global: u64,
    pub(crate) root: M::Table,
    pub(crate) half: Half,
}

impl<'m, M: Mmu> Space<'m, M> {
    /// The space of `half` under `root`, a level 0 table.
    ///
    /// All descriptors below it are zero, or were made by this crate, or look as if they were: no
    /// Contiguous bit, no hardware update of AF or of the dirty state, and software's bits 55 and 56 as
    /// [`Desc::leaf`] has them, or clear.
    ///
    /// A root belongs to one space, and its tables to that: they are freed by [`Space::destroy`].
    pub fn new(mmu: &'m M, root: M::Table, half: Half) -> Self {
        let (asid, not_global) = match half {
            Half::Upper => (0, 0),
            Half::Lower(asid) => (u64::from(asid.0), NOT_GLOBAL),
        };
        Self {
            mmu,
            key: asid << 48 | mmu.frame(root).pa().raw() | not_global,
            not_global,
            root,
            half,
        }
    }

    /// The machine that its tables are made for.
    pub const fn mmu(&self) -> &'m M {
        self.mmu
    }

    /// The root table, for TTBRn_EL1.
    pub const fn root(&self) -> M::Table {
        self.root
    }

    /// The half it translates.
    pub const fn half(&self) -> Half {
        self.half
    }

    /// A gather for operations on this space, whose removed frames go to `sink`.
    pub fn gather<S: Sink>(&self, sink: S) -> Gather<'m, M, S> {
        Gather::new(self, sink)
    }

    /// The descriptors that the walker meets for `va`, from level 0 down.
    ///
    /// # Errors
    /// [`What::NonCanonical`], [`What::OtherHalf`].
    pub fn walk(&self, va: Va) -> Result<Walk, Error> {
        let page = Pages::one(Level::L3.floor(va))?;
        self.check(page)?;
        let mut walk = Walk {
            va,
            steps: [Desc::INVALID; 4],
            last: Level::L0,
        };
        let (mut table, mut level) = (self.root, Level::L0);
        loop {
            let desc = self.mmu.read(table, level.index(va));
            walk.steps[usize::from(level.number())] = desc;
            walk.last = level;
            match (desc.next_table(level), level.next()) {
                (Some(next), Some(below)) => (table, level) = (self.mmu.child(next), below),
                _ => return Ok(walk),
            }
        }
    }

    /// The descriptor that the walk for `va` ends with, and its level: [`Space::walk`] without the way
    /// there, for callers that need it often, such as a fault handler.
    ///
    /// # Errors
    /// [`What::NonCanonical`], [`What::OtherHalf`].
    pub fn lookup(&self, va: Va) -> Result<(Level, Desc), Error> {
        self.check(Pages::one(Level::L3.floor(va))?)?;
        let mut table = self.root;
        for level in Level::TABLES {
            let desc = self.mmu.read(table, level.index(va));
            match desc.next_table(level) {
                Some(next) => table = self.mmu.child(next),
                None => return Ok((level, desc)),
            }
        }
        Ok((Level::L3, self.mmu.read(table, Level::L3.index(va))))
    }

    /// Every mapping that has a page in `pages`, in ascending order. Each is whole, also where the
    /// range covers a part of a block.
    ///
    /// It borrows the space, so that no table is freed under it:
    ///
    /// ```compile_fail,E0505
    /// # use stage1_paging::{Error, Mmu, Pages, Space};
    /// fn list<M: Mmu>(space: Space<'_, M>, pages: Pages) -> Result<(), Error> {
    ///     let mut mappings = space.mappings(pages)?;
    ///     space.destroy(());
    ///     mappings.next(); // would read a freed table
    ///     Ok(())
    /// }
    /// ```
    /// ```compile_fail,E0502
    /// # use stage1_paging::{Error, Mmu, Pages, Space};
    /// fn list<M: Mmu>(space: &mut Space<'_, M>, pages: Pages) -> Result<(), Error> {
    ///     let (mut mappings, mut gather) = (space.mappings(pages)?, space.gather(()));
    ///     space.free_tables(pages, &mut gather)?;
    ///     mappings.next(); // too
    ///     Ok(())
    /// }
    /// ```
    /// ```
    /// # use stage1_paging::{Error, Mmu, Pages, Space};
    /// fn list<M: Mmu>(mut space: Space<'_, M>, pages: Pages) -> Result<(), Error> {
    ///     let (mut mappings, mut gather) = (space.mappings(pages)?, space.gather(()));
    ///     mappings.next();
    ///     space.free_tables(pages, &mut gather)?;
    ///     space.destroy(());
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`What::OtherHalf`].
    pub fn mappings(&self, pages: Pages) -> Result<Mappings<'_, M>, Error> {
        self.check(pages)?;
        Ok(Mappings {
            space: self,
            rest: pages,
            table: self.root,
            level: Level::L0,
            left: 0,
        })
    }

    /// That these tables translate `pages`.
    pub(crate) fn check(&self, pages: Pages) -> Result<(), Error> {
        if pages.is_empty() || self.half.holds(pages) {
            Ok(())
        } else {
            Err(Error::new(What::OtherHalf, pages.start()))
        }
    }

    /// That these tables translate `pages`, and that `gather` pays for them.
    pub(crate) fn check_with<S: Sink>(
        &self,
        pages: Pages,
        gather: &Gather<'_, M, S>,
    ) -> Result<(), Error> {
        self.check(pages)?;
        if gather.is_of(self) {
            Ok(())
        } else {
            Err(Error::new(What::OtherGather, pages.start()))
        }
    }

    /// The table that holds the first descriptor for `va` that is no table descriptor, and its
    /// level.
    #[inline]
    pub(crate) fn find(&self, va: Va) -> (M::Table, Level) {
        let mut table = self.root;
        for level in Level::TABLES {
            match self.mmu.read(table, level.index(va)).next_table(level) {
                Some(next) => table = self.mmu.child(next),
                None => return (table, level),
            }
        }
        (table, Level::L3)
    }

    /// Goes over the leaves of `pages` in ascending order, skipping holes. Walks from the root only
    /// where a table ends.
    ///
    /// `f` gets the slots from a leaf to the end of its table or of the range, all of them wholly
    /// inside the range, and the leaf. It deals with as many leaves as it likes and returns how many descriptors
    /// that were; 0 to be given the same again. A refusal ends the sweep.
    ///
    /// Returns how many pages the slots spanned that `f` dealt with.
    pub(crate) fn sweep(
        &self,
        pages: Pages,
        mut f: impl FnMut(Slots<M::Table>, Desc) -> Result<usize, What>,
    ) -> Result<u64, Error> {
        let (mut rest, mut dealt) = (pages, 0);
        while !rest.is_empty() {
            let (table, level) = self.find(rest.start());
            let mut index = level.index(rest.start());
            while index < ENTRIES && !rest.is_empty() {
                let desc = self.mmu.read(table, index);
                if desc.is_table(level) {
                    break;
                }
                let mut n = 1;
                if desc.is_valid() {
                    let stop = |what| Error::stopped(what, pages, rest);
                    let whole = rest.whole_slots(level);
                    if whole == 0 {
                        return Err(stop(What::PartOfBlock));
                    }
                    n = f(Slots::new(table, level, rest.start(), whole), desc).map_err(stop)?;
                    dealt += n as u64 * level.pages();
                }
                index += n;
                rest = rest.skip_slots(level, n);
            }
        }
        Ok(dealt)
    }
}

/// The descriptors met for one address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Walk {
    va: Va,
    steps: [Desc; 4],
    last: Level,
}

impl Walk {
    /// Level and descriptor of each step, down to the one that is no table.
    pub fn steps(&self) -> impl Iterator<Item = (Level, Desc)> {
        let steps = Level::ALL.iter().zip(&self.steps);
        steps
            .map(|(level, desc)| (*level, *desc))
            .take(usize::from(self.last.number()) + 1)
    }

    /// The mapping of the address; `None` when the walk faults.
    pub fn mapping(&self) -> Option<Mapping> {
        let (level, desc) = (self.last, self.steps[usize::from(self.last.number())]);
        let va = level.floor(self.va);
        desc.is_leaf(level).then_some(Mapping { va, level, desc })
    }

    /// The frame that the address's page lies in; `None` when the walk faults.
    pub fn frame(&self) -> Option<Frame> {
        let mapping = self.mapping()?;
        mapping
            .frame()
            .checked_add((self.va.raw() - mapping.va.raw()) >> PAGE_SHIFT)
    }
}

/// One step after the other: `L0 table 0x… → L1 … → L3 page 0x… normal rw-`.
impl fmt::Display for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps().enumerate().try_for_each(|(n, (level, desc))| {
            let arrow = if n == 0 { "" } else { " → " };
            write!(f, "{arrow}{level:?} {}", desc.at(level))
        })
    }
}

/// Iterator over mappings; see [`Space::mappings`].
pub struct Mappings<'s, M: Mmu> {
    space: &'s Space<'s, M>,
    rest: Pages,
    /// The table in which the walk goes on, while `left` descriptors of it are left.
    table: M::Table,
    level: Level,
    left: usize,
}

impl<M: Mmu> Iterator for Mappings<'_, M> {
    type Item = Mapping;

    fn next(&mut self) -> Option<Mapping> {
        while !self.rest.is_empty() {
            let va = self.rest.start();
            if self.left == 0 {
                (self.table, self.level) = self.space.find(va);
                self.left = ENTRIES - self.level.index(va);
            }
            let level = self.level;
            let desc = self.space.mmu.read(self.table, level.index(va));
            if desc.is_table(level) {
                self.left = 0;
                continue;
            }
            self.left -= 1;
            self.rest = self.rest.skip_slots(level, 1);
            if desc.is_leaf(level) {
                let va = level.floor(va);
                return Some(Mapping { va, level, desc });
            }
        }
        None
    }
}
