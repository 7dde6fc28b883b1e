//! The gather: collects what an unmap, a protect or a move owes, and pays it once.
//!
//! Linux's `mmu_gather`, without its memory: frames go to a [`Sink`] the caller supplies, unlinked
//! tables are chained through their own first descriptors.

use core::ops::Range;

use crate::addr::{Level, Pages, Va};
use crate::debt::{Debt, Done};
use crate::desc::{Desc, Mapping};
use crate::mmu::{Mmu, Slots, Step};
use crate::space::Space;

/// Where the frames of removed mappings wait for the invalidation.
///
/// The gather owns its sink and lends it only after paying, so a frame cannot be reused while a TLB
/// still translates to it: a gather that is forgotten takes its frames along. (Hence no sink behind
/// a reference.) `()` is for mappings that do not own their frames.
pub trait Sink {
    /// Whether it does anything with what it is given. [`Space::replace`] gives one that does not nothing, and need not
    /// find out which frames stay in use.
    const COLLECTS: bool = true;

    /// Takes one removed mapping. Called in the loop over descriptors, before the invalidation:
    /// remember it, and touch nothing else.
    fn park(&mut self, mapping: Mapping);

    /// How many more it can take. Looked at once for each run of descriptors of one table, and by
    /// [`destroy`](crate::Space::destroy) for each leaf, so that a sink without bounds pays nothing for those that
    /// have some.
    #[inline]
    fn room(&self) -> usize {
        usize::MAX
    }

    /// There was no room, so the gather has paid before the operation goes on: what is parked may be
    /// reused. Frees it, to make room (Linux: `tlb_batch_pages_flush`). A sink that makes none is given one
    /// more all the same.
    ///
    /// It comes between two runs of descriptors: pages that [`Space::replace`] breaks may be broken.
    #[inline]
    fn release(&mut self, done: &Done) {
        let _ = done;
    }
}

impl Sink for () {
    const COLLECTS: bool = false;

    #[inline]
    fn park(&mut self, _: Mapping) {}
}

/// Debt and parked tables; pays when it is dropped.
struct Owed<'m, M: Mmu> {
    mmu: &'m M,
    /// Of the space it pays for: [`Space::key`].
    key: u64,
    debt: Debt,
    /// The unlinked tables: the first, whose descriptor 0 holds the next one's frame, and so on.
    ///
    /// A walk cache may still lead a walker into these tables: the link is an invalid descriptor
    /// ([`Desc::parked`]).
    tables: Option<M::Table>,
}

impl<M: Mmu> Owed<'_, M> {
    #[inline]
    fn pay(&mut self) -> Done {
        if self.debt.is_empty() {
            return Done::nothing_owed();
        }
        self.invalidate()
    }

    /// Pays what is owed.
    #[inline(never)]
    fn invalidate(&mut self) -> Done {
        let done = self.mmu.invalidate(&mut self.debt);
        if self.tables.is_some() {
            self.free_tables(&done);
        }
        done
    }

    #[inline(never)]
    fn free_tables(&mut self, done: &Done) {
        while let Some(table) = self.tables {
            let next = self.mmu.read(table, 0);
            let more = next != Desc::INVALID;
            self.tables = more.then(|| self.mmu.child(next.frame(Level::L3)));
            self.mmu.free_table(table, done);
        }
    }
}

impl<M: Mmu> Drop for Owed<'_, M> {
    #[inline]
    fn drop(&mut self) {
        // An early return with `?` leaves no stale translation behind.
        self.pay();
    }
}

/// What one or several operations on one space withdrew from the TLBs' point of view, and what must
/// wait for it.
///
/// Until [`Gather::finish`] or [`Gather::pay`] the withdrawn translations may still be used by any
/// core, so: the frames behind them are not reused, the addresses are not mapped anew, and a lost
/// permission is not relied on. Nothing is lost when it is dropped instead: it pays then too. It
/// lives on the stack of the operation that owes.
///
/// It belongs to the space that opened it; operations of another one, of another machine, root or
/// ASID, refuse it with [`What::OtherGather`](crate::What::OtherGather). A space may have several at
/// once. One that outlives its space ([`Space::destroy`]) still pays.
#[must_use = "withdrawn translations may still be in TLBs until `finish`"]
pub struct Gather<'m, M: Mmu, S: Sink = ()> {
    // Before `sink`: fields drop in this order, and a sink that frees its frames when dropped must
    // come after the payment.
    owed: Owed<'m, M>,
    sink: S,
}

impl<'m, M: Mmu, S: Sink> Gather<'m, M, S> {
    #[inline]
    pub(crate) fn new(space: &Space<'m, M>, sink: S) -> Self {
        Self {
            owed: Owed {
                mmu: space.mmu,
                key: space.key,
                debt: Debt::new(space.half),
                tables: None,
            },
            sink,
        }
    }

    /// Whether it pays for `space`: the same machine, root, half and ASID.
    #[inline]
    pub(crate) fn is_of(&self, space: &Space<'_, M>) -> bool {
        // Both are compared, and there is one branch: this stands before each page of a cursor.
        core::ptr::eq(self.owed.mmu, space.mmu) & (self.owed.key == space.key)
    }

    /// What is owed so far.
    pub fn debt(&self) -> &Debt {
        &self.owed.debt
    }

    /// Pays and lends out the sink, whose frames may now be reused; the gather can be used further.
    /// Executes no instruction when nothing is owed.
    pub fn pay(&mut self) -> (&mut S, Done) {
        let done = self.owed.pay();
        (&mut self.sink, done)
    }

    /// Pays, and returns the sink, whose frames may now be reused, and the proof of it. Neither need be used:
    ///
    /// ```
    /// #![deny(unused_must_use)]
    /// # use stage1_paging::{Error, Mmu, Pages, Space};
    /// fn withdraw<M: Mmu>(space: &Space<'_, M>, pages: Pages) -> Result<u64, Error> {
    ///     let mut gather = space.gather(());
    ///     let count = space.unmap(pages, &mut gather)?;
    ///     gather.finish();
    ///     Ok(count)
    /// }
    /// ```
    pub fn finish(mut self) -> (S, Done) {
        let done = self.owed.pay();
        (self.sink, done)
    }

    /// Whether a stale translation of `pages` may be in a TLB because of this gather.
    pub fn touches(&self, pages: Pages) -> bool {
        self.owed.debt.touches(pages)
    }

    /// The same of the page at `va`.
    #[inline]
    pub(crate) fn touches_page(&self, va: Va) -> bool {
        self.owed.debt.touches_page(va)
    }

    /// `n` leaves of `level` from `va` on were changed or removed.
    pub(crate) fn add(&mut self, va: Va, level: Level, n: usize) {
        self.owed.debt.add(va, level, n as u64);
    }

    /// Those of the leaves of `level` from `first` on that have these numbers. A call and not inlined, so that a loop over leaves stays
    /// small.
    #[inline(never)]
    pub(crate) fn add_run(&mut self, first: Va, level: Level, numbers: Range<usize>) {
        if !numbers.is_empty() {
            let va = level.nth(first, numbers.start);
            self.owed.debt.add_apart(va, level, numbers.len() as u64);
        }
    }

    pub(crate) fn add_all(&mut self) {
        self.owed.debt.add_all();
    }

    /// Invalidates everything of the half now: what other gathers still owe for it as well, and what pages were moved from.
    #[cold]
    pub(crate) fn pay_all(&mut self) {
        self.add_all();
        self.owed.pay();
    }

    /// A removed mapping, whose frames may be reused after the payment.
    #[inline]
    pub(crate) fn park(&mut self, mapping: Mapping) {
        self.sink.park(mapping);
    }

    /// Where the sink has no room, pays and has it make some. Returns whether that was so.
    #[inline]
    pub(crate) fn make_room(&mut self) -> bool {
        let full = self.sink.room() == 0;
        if full {
            let done = self.owed.pay();
            self.sink.release(&done);
        }
        full
    }

    /// How many mappings can be parked, at least one.
    #[inline]
    pub(crate) fn room(&mut self) -> usize {
        self.make_room();
        self.sink.room().max(1)
    }

    /// A table was unlinked from the descriptor of `level` for `va`.
    pub(crate) fn add_table(&mut self, va: Va, level: Level) {
        self.owed.debt.add_table(va, level);
    }

    /// Takes a table of `level` whose first descriptor translates `va`, to be freed after the payment.
    pub(crate) fn park_table(&mut self, table: M::Table, va: Va, level: Level) {
        let mmu = self.owed.mmu;
        let next = self
            .owed
            .tables
            .map_or(Desc::INVALID, |t| Desc::parked(mmu.frame(t)));
        mmu.edit(Slots::new(table, level, va, 1), |_| Step::Store(next));
        self.owed.tables = Some(table);
    }
}
