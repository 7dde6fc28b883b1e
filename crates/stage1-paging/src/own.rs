//! What only the owner of a whole space may do: split a block, free tables, destroy the space.
//!
//! These take the space by `&mut` or by value. Nobody else may be on the way through the tables
//! meanwhile.

use crate::addr::{ENTRIES, Level, Pages, Va};
use crate::debt::Done;
use crate::desc::{Desc, Mapping};
use crate::error::{Error, What};
use crate::gather::{Gather, Sink};
use crate::mmu::{Mmu, Slots, Step};
use crate::space::Space;

impl<M: Mmu> Space<'_, M> {
    /// Splits blocks until a mapping begins at `at`, so that ranges may begin or end there. Nothing
    /// happens where one does already, or nothing is mapped. Afterwards the tables translate as
    /// before.
    ///
    /// Break-before-make: the block is cleared, the invalidation paid, a table linked and filled,
    /// and the pair owed. From the first of these until that pair is paid every access to the block
    /// may fault, on every core, and no handler can distinguish such a fault from a real one. So the
    /// owner, who has the space alone, keeps off the block as well. A block that holds the running
    /// text or stack, these tables, or anything that the frame allocator touches is never split
    /// ([`Mmu::may_break`]): such memory is mapped in pages from the start.
    ///
    /// # Errors
    /// Those of [`Pages::new`], [`What::OtherHalf`]; [`What::InUse`] for a block that may not be
    /// broken; [`What::OutOfFrames`], with the block in place as it was.
    pub fn split(&mut self, at: Va) -> Result<(), Error> {
        self.check(Pages::one(at)?)?;
        loop {
            let (table, level) = self.find(at);
            let index = level.index(at);
            let block = self.mmu.read(table, index);
            let Some(below) = level.next() else {
                return Ok(());
            };
            if !block.is_leaf(level) || level.aligned(at.raw()) {
                return Ok(());
            }
            let va = level.floor(at);
            if !self.mmu.may_break(Pages::new(va, level.pages())?) {
                return Err(Error::new(What::InUse, at));
            }
            let slot = Slots::new(table, level, va, 1);
            let mut gather = self.gather(());
            self.mmu.fill(slot.clone(), Desc::INVALID);
            gather.add(va, level, 1);
            gather.finish();
            let linked = self.mmu.link(table, level, index, va);
            if let Ok(table) = linked {
                let mut piece = 0;
                self.mmu.edit(Slots::new(table, below, va, ENTRIES), |_| {
                    piece += 1;
                    Step::Store(block.piece(level, piece - 1))
                });
            } else {
                self.mmu.edit(slot, |_| Step::Store(block));
            }
            self.mmu.owe();
            linked.map_err(|_| Error::new(What::OutOfFrames, at))?;
        }
    }

    /// Unlinks the tables on the way to `pages` that hold no valid descriptor; the gather frees
    /// them when it has paid, walk caches included. The root stays. Linux: `free_pgtables`.
    ///
    /// Until it has paid, nothing is mapped where a freed table was: [`Gather::touches`] says where that is.
    ///
    /// # Errors
    /// [`What::OtherHalf`], [`What::OtherGather`].
    pub fn free_tables<S: Sink>(
        &mut self,
        pages: Pages,
        gather: &mut Gather<'_, M, S>,
    ) -> Result<(), Error> {
        self.check_with(pages, gather)?;
        self.prune(self.root, Level::L0, pages, gather);
        Ok(())
    }

    /// Parks the empty tables below `table` on the way to `pages`; returns whether `table` is empty
    /// then. As deep as there are levels.
    fn prune<S: Sink>(
        &self,
        table: M::Table,
        level: Level,
        pages: Pages,
        gather: &mut Gather<'_, M, S>,
    ) -> bool {
        let mut rest = pages;
        while let (Some(below), false) = (level.next(), rest.is_empty()) {
            let (va, index) = (level.floor(rest.start()), level.index(rest.start()));
            let after = rest.skip_slots(level, 1);
            if let Some(next) = self.mmu.read(table, index).next_table(level) {
                let child = self.mmu.child(next);
                let under = rest.take(rest.count() - after.count());
                if self.prune(child, below, under, gather) {
                    let slot = Slots::new(table, level, va, 1);
                    self.mmu.fill(slot, Desc::INVALID);
                    gather.add_table(va, level);
                    gather.park_table(child, va, below);
                }
            }
            rest = after;
        }
        (0..ENTRIES).all(|i| !self.mmu.read(table, i).is_valid())
    }

    /// Ends the space: every mapping goes to the sink, every table, the root included, is freed
    /// after one invalidation of the whole half, and the sink is given back with its frames free to
    /// be reused. For a lower half, its ASID is free as well.
    ///
    /// No core has the root in its TTBR any more, and none gets it back. Nothing is cleared first,
    /// the tables go as they are. A gather of this space that is not paid yet may be paid later: what
    /// it holds is no part of the tables. A sink that is full makes room on the way ([`Sink::release`]): the
    /// whole half is invalidated before it does so the first time, and once more at the end.
    pub fn destroy<S: Sink>(self, sink: S) -> (S, Done) {
        let mut gather = self.gather(sink);
        gather.add_all();
        let start = Pages::whole(self.half).start();
        self.park_all(self.root, Level::L0, start, &mut gather);
        gather.park_table(self.root, start, Level::L0);
        // Once more if that was paid on the way: tables were parked since.
        gather.add_all();
        gather.finish()
    }

    /// Parks everything below `table`. As deep as there are levels.
    fn park_all<S: Sink>(
        &self,
        table: M::Table,
        level: Level,
        start: Va,
        gather: &mut Gather<'_, M, S>,
    ) {
        for index in 0..ENTRIES {
            let desc = self.mmu.read(table, index);
            let va = Va::new(start.raw() + index as u64 * level.size());
            if let (Some(next), Some(below)) = (desc.next_table(level), level.next()) {
                let child = self.mmu.child(next);
                self.park_all(child, below, va, gather);
                gather.park_table(child, va, below);
            } else if desc.is_leaf(level) {
                gather.make_room();
                gather.park(Mapping { va, level, desc });
            }
        }
    }
}
