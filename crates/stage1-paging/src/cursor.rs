//! A cursor: one page after the other, without a walk from the root for each.

use crate::addr::{Frame, Level, Pages, Va};
use crate::desc::{Access, Desc, Memory, Prot};
use crate::error::{Error, What};
use crate::gather::{Gather, Sink};
use crate::map::check_prot;
use crate::mmu::Mmu;
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
    /// The last change that nothing was paid for.
    last: Change,
}

/// Permissions that a leaf was given: what holds for it holds for all that differ from it in their frames alone.
#[derive(Clone, Copy)]
struct Change {
    access: Access,
    from: Desc,
    to: Desc,
}

impl Change {
    /// Of no page: bit 1 is clear, and bit 0 is not.
    const NONE: Change = Change {
        access: Access::ReadOnly,
        from: Desc::from_bits(1),
        to: Desc::from_bits(1),
    };
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
            last: Change::NONE,
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
        let leaf = self.space.leaf(Level::L3, frame, prot);
        if !self.space.map_in(self.table, va, leaf) {
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
        Ok(self.space.clear_in(self.table, va, gather))
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
        let old = self.space.there(self.table, va);
        let last = self.last;
        let new = if access == last.access && old.is_but_for_frame(last.from) {
            old.changed_as(last.from, last.to)
        } else {
            let contradicts = old.may_contradict(access);
            let Some(new) = Space::with_access(old, va, access, gather)? else {
                return Ok(old.is_valid());
            };
            self.changed = true;
            if !contradicts {
                self.last = Change {
                    access,
                    from: old,
                    to: new,
                };
            }
            new
        };
        self.space.change_in(self.table, va, new, gather);
        Ok(true)
    }

    /// Moves the mapping of the page at `va` to the page at `place` of `to`: [`Space::move_pages`]. Returns whether there was one.
    ///
    /// # Errors
    /// As there, with nothing changed, and [`What::Outside`], for the one or the other; [`What::OtherGather`] also where `to` is of another
    /// space.
    #[inline]
    pub fn move_to<S: Sink>(
        &mut self,
        va: Va,
        to: &mut Cursor<'_, M>,
        place: Va,
        gather: &mut Gather<'_, M, S>,
    ) -> Result<bool, Error> {
        if !gather.is_of(self.space) || !gather.is_of(to.space) {
            return Err(Error::new(What::OtherGather, va));
        }
        let far = !to.is_here(place);
        if far {
            to.check(place)?;
        }
        if !self.is_here(va) && !self.find(va)? {
            return Ok(false);
        }
        let desc = self.space.there(self.table, va);
        if !desc.is_valid() || va == place {
            return Ok(desc.is_valid());
        }
        // Before a table is linked there: walk caches may lead to another one.
        if gather.touches_page(place) {
            gather.pay();
        }
        let mapped = to.mapped;
        if far {
            to.link(place).map_err(|error| Error::new(error.what, va))?;
        }
        if !self.space.map_in(to.table, place, desc) {
            return Err(Error::new(What::AlreadyMapped, va));
        }
        // The invalidation for the page settles the link of its table, too.
        (to.mapped, to.changed) = (mapped, true);
        self.space.change_in(self.table, va, Desc::INVALID, gather);
        Ok(true)
    }

    /// Whether `va` begins a page of the table that is remembered. One comparison: bits below a page are turned to the top.
    #[inline]
    fn is_here(&self, va: Va) -> bool {
        self.here.number(va) < self.here.count()
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
        match self.space.table_of(va) {
            Ok(table) => {
                self.enter(table, va);
                Ok(true)
            }
            Err(above) => above.is_no_page(va),
        }
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
