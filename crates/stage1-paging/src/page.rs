//! A single page: what the operations do with one descriptor of a last-level table.
//!
//! `map`, `unmap`, `protect` and `move_pages` come here with a range of one page, and a [`Cursor`](crate::Cursor) with each of its pages. What a range
//! needs besides, to find its runs and its tables, costs several times as much as the store.

use crate::addr::{Frame, Level, Pages, Va};
use crate::change::refuse;
use crate::desc::{Access, Desc, Mapping, Prot};
use crate::error::{Error, What};
use crate::gather::{Gather, Sink};
use crate::map::{Fit, check_prot};
use crate::mmu::{Mmu, Slots};
use crate::space::Space;

/// What a walk ends with that comes to no last-level table.
#[derive(Clone, Copy)]
pub(crate) enum Above {
    Nothing,
    Block,
}

impl Above {
    /// That a page at `va` is not mapped: it is no part of a block.
    pub(crate) const fn is_no_page(self, va: Va) -> Result<bool, Error> {
        match self {
            Above::Nothing => Ok(false),
            Above::Block => Err(Error::new(What::PartOfBlock, va)),
        }
    }
}

impl<M: Mmu> Space<'_, M> {
    /// Maps the page at `va` to `frame`.
    ///
    /// # Errors
    /// As [`Space::map`], and those of [`Pages::new`].
    #[inline]
    pub fn map_page(&self, va: Va, frame: Frame, prot: Prot) -> Result<(), Error> {
        let whole = Pages::whole(self.half);
        if whole.number(va) >= whole.count() {
            self.check(Pages::one(va)?)?;
        }
        self.map_page_here(va, frame, prot)
    }

    /// The same, of a page that is of this half.
    #[inline(always)]
    pub(crate) fn map_page_here(&self, va: Va, frame: Frame, prot: Prot) -> Result<(), Error> {
        check_prot(prot, va)?;
        match self.table_of(va) {
            Ok(table) if self.map_in(table, va, self.leaf(Level::L3, frame, prot)) => {
                self.mmu.owe();
                Ok(())
            }
            Ok(_) | Err(Above::Block) => Err(Error::new(What::AlreadyMapped, va)),
            Err(Above::Nothing) => self.link_and_map(va, frame, prot),
        }
    }

    /// [`Space::unmap`] of one page of this half.
    #[inline]
    pub(crate) fn unmap_page<S: Sink>(
        &self,
        va: Va,
        gather: &mut Gather<'_, M, S>,
    ) -> Result<u64, Error> {
        match self.table_of(va) {
            Ok(table) => Ok(self.clear_in(table, va, gather).into()),
            Err(above) => above.is_no_page(va).map(u64::from),
        }
    }

    /// [`Space::protect`] of one page of this half.
    #[inline(never)]
    pub(crate) fn protect_page<S: Sink>(
        &self,
        va: Va,
        access: Access,
        gather: &mut Gather<'_, M, S>,
    ) -> Result<u64, Error> {
        let table = match self.table_of(va) {
            Ok(table) => table,
            Err(above) => return above.is_no_page(va).map(u64::from),
        };
        let old = self.there(table, va);
        if let Some(new) = Self::with_access(old, va, access, gather)? {
            self.change_in(table, va, new, gather);
            if !self.mmu.invalidation_settles() {
                self.mmu.owe();
            }
        }
        Ok(old.is_valid().into())
    }

    /// [`Space::move_pages`] of one page of this half to another of it, of which the gather holds nothing. `None` if there is no
    /// last-level table for the one or the other.
    #[inline]
    pub(crate) fn move_page<S: Sink>(
        &self,
        from: Va,
        to: Va,
        gather: &mut Gather<'_, M, S>,
    ) -> Option<Result<u64, Error>> {
        let (source, target) = (self.table_of(from).ok()?, self.table_of(to).ok()?);
        let desc = self.there(source, from);
        if !desc.is_valid() {
            return Some(Ok(0));
        }
        if !self.map_in(target, to, desc) {
            return Some(Err(Error::new(What::AlreadyMapped, from)));
        }
        self.change_in(source, from, Desc::INVALID, gather);
        if !self.mmu.invalidation_settles() {
            self.mmu.owe();
        }
        Some(Ok(1))
    }

    /// Links the tables.
    #[inline(never)]
    fn link_and_map(&self, va: Va, frame: Frame, prot: Prot) -> Result<(), Error> {
        self.map_many(Pages::one(va)?, frame, prot, Fit::Pages)
    }

    /// The descriptor of a page or block here: [`Desc::leaf`].
    #[inline]
    pub(crate) fn leaf(&self, level: Level, frame: Frame, prot: Prot) -> Desc {
        let global = Desc::leaf(level, frame, prot, true);
        Desc::from_bits(global.bits() | self.not_global)
    }

    /// The last-level table for `va`, or what is in its place.
    #[inline(always)]
    pub(crate) fn table_of(&self, va: Va) -> Result<M::Table, Above> {
        let mut table = self.root;
        for level in Level::TABLES {
            let desc = self.mmu.read(table, level.index(va));
            if !desc.is_valid() {
                return Err(Above::Nothing);
            }
            if !desc.is_table_if_valid() {
                return Err(Above::Block);
            }
            table = self.mmu.child(desc.output());
        }
        Ok(table)
    }

    #[inline(always)]
    pub(crate) fn there(&self, table: M::Table, va: Va) -> Desc {
        self.mmu.read(table, Level::L3.index(va))
    }

    #[inline(always)]
    fn store(&self, table: M::Table, va: Va, new: Desc) {
        self.mmu.fill(Slots::new(table, Level::L3, va, 1), new);
    }

    /// Stores `leaf` where nothing is mapped. Returns whether it did: then it owes a pair.
    #[inline(always)]
    pub(crate) fn map_in(&self, table: M::Table, va: Va, leaf: Desc) -> bool {
        let free = !self.there(table, va).is_valid();
        if free {
            self.store(table, va, leaf);
        }
        free
    }

    /// Removes a mapping; see [`Space::unmap`]. Returns whether there was one.
    #[inline(always)]
    pub(crate) fn clear_in<S: Sink>(
        &self,
        table: M::Table,
        va: Va,
        gather: &mut Gather<'_, M, S>,
    ) -> bool {
        let (mut desc, level) = (self.there(table, va), Level::L3);
        if desc.is_valid() && gather.make_room() {
            // The sink has been called: what is there now?
            desc = self.there(table, va);
        }
        if !desc.is_valid() {
            return false;
        }
        gather.park(Mapping { va, level, desc });
        self.store(table, va, Desc::INVALID);
        gather.add(va, level, 1);
        true
    }

    /// What a descriptor becomes with other permissions; see [`Space::protect`]. `None` if it is none, or has them. Invalidates the whole
    /// half where some TLB may hold what contradicts them.
    #[inline]
    pub(crate) fn with_access<S: Sink>(
        old: Desc,
        va: Va,
        access: Access,
        gather: &mut Gather<'_, M, S>,
    ) -> Result<Option<Desc>, Error> {
        let new = old.with_access(access);
        if !old.is_valid() || new == old {
            return Ok(None);
        }
        let memory = old.memory();
        if let Some(what) = refuse(old, Prot { memory, access }) {
            return Err(Error::new(what, va));
        }
        if old.may_contradict(access) {
            gather.pay_all();
        }
        Ok(Some(new))
    }

    /// Stores a descriptor in the place of a leaf that needs no break before it. If it is valid and the invalidation does not settle it,
    /// the caller owes a pair.
    #[inline(always)]
    pub(crate) fn change_in<S: Sink>(
        &self,
        table: M::Table,
        va: Va,
        new: Desc,
        gather: &mut Gather<'_, M, S>,
    ) {
        self.store(table, va, new);
        gather.add(va, Level::L3, 1);
    }
}
