//! A cursor: one page after the other, without a walk from the root for each.

use crate::addr::{Frame, Level, Pages, Va};
use crate::change::refuse;
use crate::desc::{Access, Desc, Mapping, Memory, Prot};
use crate::error::{Error, What};
use crate::gather::{Gather, Sink};
use crate::map::check_prot;
use crate::mmu::{Mmu, Slots, Step};
use crate::space::Space;

/// Works on single pages, and remembers the last-level table that it was in last. See [`Space::cursor`].
///
/// It borrows the space, so that no table is freed or linked in another's place under it:
///
/// ```compile_fail,E0502
/// # use stage1_paging::{Error, Frame, Mmu, Pages, Prot, Space};
/// fn late<M: Mmu>(space: &mut Space<'_, M>, pages: Pages, frame: Frame) -> Result<(), Error> {
///     let (mut cursor, mut gather) = (space.cursor(pages), space.gather(()));
///     space.free_tables(pages, &mut gather)?;
///     cursor.map(pages.start(), frame, Prot::RW) // would store into a freed table
/// }
/// ```
/// ```
/// # use stage1_paging::{Error, Frame, Mmu, Pages, Prot, Space};
/// fn in_time<M: Mmu>(space: &mut Space<'_, M>, pages: Pages, frame: Frame) -> Result<(), Error> {
///     let mut gather = space.gather(());
///     space.cursor(pages).map(pages.start(), frame, Prot::RW)?;
///     space.free_tables(pages, &mut gather)
/// }
/// ```
#[must_use = "what it stores is owed for when it is dropped"]
pub struct Cursor<'s, M: Mmu> {
    space: &'s Space<'s, M>,
    pages: Pages,
    table: M::Table,
    /// Those of `pages` that `table` translates.
    here: Pages,
    /// Valid descriptors were stored where none was.
    mapped: bool,
    /// Live ones were changed.
    changed: bool,
}

impl<M: Mmu> Space<'_, M> {
    /// A cursor for `pages`, which nobody else works on while it lives: the *area*, as for the operations on ranges.
    ///
    /// What it stores owes one pair for all, when it is dropped, and can be relied on only then. Inside a section of the lazy MMU mode
    /// it is dropped before the section ends.
    pub const fn cursor(&self, pages: Pages) -> Cursor<'_, M> {
        Cursor {
            space: self,
            pages,
            table: self.root,
            here: pages.take(0),
            mapped: false,
            changed: false,
        }
    }
}

impl<M: Mmu> Cursor<'_, M> {
    /// Maps the page at `va` to `frame`: [`Space::map_page`].
    ///
    /// # Errors
    /// As there, and [`What::Outside`].
    #[inline]
    pub fn map(&mut self, va: Va, frame: Frame, prot: Prot) -> Result<(), Error> {
        check_prot(prot, va)?;
        if !self.is_here(va) {
            self.link(va)?;
        }
        let desc = Desc::leaf(Level::L3, frame, prot, self.space.half.is_global());
        let edited = self.space.mmu.edit(self.slot(va), move |old| {
            if old.is_valid() {
                Step::Stop
            } else {
                Step::Store(desc)
            }
        });
        if edited.passed == 0 {
            return Err(Error::new(What::AlreadyMapped, va));
        }
        self.mapped = true;
        Ok(())
    }

    /// Removes the mapping of the page at `va`: [`Space::unmap`]. Returns whether there was one.
    ///
    /// # Errors
    /// As there, with nothing changed, and [`What::Outside`].
    #[inline]
    pub fn unmap<S: Sink>(&mut self, va: Va, gather: &mut Gather<'_, M, S>) -> Result<bool, Error> {
        if !gather.is_of(self.space) {
            return Err(Error::new(What::OtherGather, va));
        }
        if !self.is_here(va) && !self.find(va)? {
            return Ok(false);
        }
        gather.make_room();
        let sink = &mut *gather;
        let cleared = self.space.mmu.edit(self.slot(va), move |desc| {
            if !desc.is_valid() {
                return Step::Stop;
            }
            let level = Level::L3;
            sink.park(Mapping { va, level, desc });
            Step::Store(Desc::INVALID)
        });
        if cleared.passed > 0 {
            gather.add(va, Level::L3, 1);
        }
        Ok(cleared.passed > 0)
    }

    /// Gives the mapping of the page at `va` other permissions: [`Space::protect`]. Returns whether there is one.
    ///
    /// # Errors
    /// As there, with nothing changed, and [`What::Outside`].
    #[inline]
    pub fn protect<S: Sink>(
        &mut self,
        va: Va,
        access: Access,
        gather: &mut Gather<'_, M, S>,
    ) -> Result<bool, Error> {
        if !gather.is_of(self.space) {
            return Err(Error::new(What::OtherGather, va));
        }
        let memory = Memory::NORMAL;
        check_prot(Prot { memory, access }, va)?;
        if !self.is_here(va) && !self.find(va)? {
            return Ok(false);
        }
        let old = self.space.mmu.read(self.table, Level::L3.index(va));
        let new = old.with_access(access);
        if !old.is_valid() || new == old {
            return Ok(old.is_valid());
        }
        if let Some(what) = refuse(old, new.prot()) {
            return Err(Error::new(what, va));
        }
        if old.may_contradict(access) {
            gather.pay_all();
        }
        self.space
            .mmu
            .edit(self.slot(va), move |_| Step::Store(new));
        gather.add(va, Level::L3, 1);
        self.changed = true;
        Ok(true)
    }

    /// Whether `va` begins a page of the table that is remembered. One comparison: bits below a page are turned to the top.
    #[inline]
    fn is_here(&self, va: Va) -> bool {
        self.here.number(va) < self.here.count()
    }

    #[inline]
    fn slot(&self, va: Va) -> Slots<M::Table> {
        Slots::new(self.table, Level::L3, va, 1)
    }

    /// That the page at `va` is the cursor's, and the space's.
    fn check(&self, va: Va) -> Result<(), Error> {
        let page = Pages::one(va)?;
        if !self.pages.covers(page) {
            return Err(Error::new(What::Outside, va));
        }
        self.space.check(page)
    }

    fn enter(&mut self, table: M::Table, va: Va) {
        let first = Level::L2.floor(va);
        let from = if self.pages.contains(first) {
            self.pages.skip(self.pages.before(first))
        } else {
            self.pages
        };
        let left = Level::L2.pages() - (Level::L3.index(from.start()) as u64);
        (self.table, self.here) = (table, from.take(left));
    }

    /// Goes to the table for `va`, which is linked if there is none.
    #[inline(never)]
    fn link(&mut self, va: Va) -> Result<(), Error> {
        self.check(va)?;
        let mut linked = false;
        let table = self.space.table_for(va, Level::L3, &mut linked);
        self.mapped |= linked;
        let (table, _) = table.map_err(|what| Error::new(what, va))?;
        self.enter(table, va);
        Ok(())
    }

    /// Goes to the table for `va`, if there is one.
    #[inline(never)]
    fn find(&mut self, va: Va) -> Result<bool, Error> {
        self.check(va)?;
        let (table, level) = self.space.find(va);
        if level == Level::L3 {
            self.enter(table, va);
            return Ok(true);
        }
        if self.space.mmu.read(table, level.index(va)).is_valid() {
            return Err(Error::new(What::PartOfBlock, va));
        }
        Ok(false)
    }
}

impl<M: Mmu> Drop for Cursor<'_, M> {
    #[inline]
    fn drop(&mut self) {
        let mmu = self.space.mmu;
        if self.mapped || self.changed && !mmu.invalidation_settles() {
            mmu.owe();
        }
    }
}
