//! What the crate needs from a machine.

use core::fmt;
use core::ops::Range;

use crate::addr::{Frame, Level, Pages, Va};
use crate::debt::{Debt, Done};
use crate::desc::Desc;

/// Consecutive descriptors of one table.
#[derive(Clone, Debug)]
pub struct Slots<T> {
    /// The table.
    pub table: T,
    /// The table's level.
    pub level: Level,
    /// Indices, not empty, within 0..512.
    pub at: Range<usize>,
    /// The first address that the descriptor at `at.start` translates. For records and models;
    /// hardware has no use for it.
    pub va: Va,
}

impl<T> Slots<T> {
    /// `n` descriptors of `table`, from the one that translates `va`.
    pub(crate) const fn new(table: T, level: Level, va: Va, n: usize) -> Self {
        let first = level.index(va);
        Self {
            table,
            level,
            at: first..first + n,
            va,
        }
    }

    /// The first `n` of them; all where there are no more.
    #[inline]
    pub(crate) fn take(mut self, n: usize) -> Self {
        self.at.end = self.at.start + self.at.len().min(n);
        self
    }
}

/// What to do with one descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Store this one in its place, and go on.
    Store(Desc),
    /// Leave it, and go on.
    Skip,
    /// Leave it, and end here.
    Stop,
}

/// How far [`Mmu::edit`] got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Edited {
    /// Descriptors it went past: stored or skipped, without the one that stopped it.
    pub passed: usize,
    /// Those of them that were left as they were.
    pub skipped: usize,
}

impl Edited {
    /// Descriptors it stored.
    #[inline]
    pub const fn stored(self) -> usize {
        self.passed - self.skipped
    }
}

/// No frame for a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoFrame;

impl fmt::Display for NoFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no frame for a table")
    }
}

impl core::error::Error for NoFrame {}

/// Tables in memory, the barriers that publish a store, and the invalidations that withdraw one.
///
/// The operations of [`Space`](crate::Space) decide what to store and what is owed for it; an
/// implementation does it: on hardware, on the host model of this crate, through a recorder, or on
/// a machine that misbehaves as far as it may.
///
/// A `Table` is a handle to a table that lives at least until [`Mmu::free_table`], such as a
/// reference to 512 atomic words. All loads and stores of descriptors are single-copy atomic 64-bit
/// accesses; relaxed ordering suffices. A load of a table descriptor is ordered before the loads
/// through it by the address dependency.
pub trait Mmu {
    /// A handle to a table.
    type Table: Copy;

    /// The descriptor at `index` (below 512).
    fn read(&self, table: Self::Table, index: usize) -> Desc;

    /// The table that a table descriptor with this output address points to.
    fn child(&self, frame: Frame) -> Self::Table;

    /// The frame a table lives in: the inverse of [`Mmu::child`].
    fn frame(&self, table: Self::Table) -> Frame;

    /// Calls `f` with each descriptor of `slots`, in ascending order, and does the [`Step`] that it
    /// returns, up to the first [`Step::Stop`].
    ///
    /// No barrier: the caller says with [`Mmu::owe`] or [`Mmu::invalidate`] what the stores owe.
    /// `f` may call [`Mmu::read`] on any table, so no lock or borrow that `read` needs is held
    /// around it.
    ///
    /// This is the inner loop of every operation: mark it `#[inline]`, and count or record per
    /// call, not per descriptor.
    fn edit(&self, slots: Slots<Self::Table>, f: impl FnMut(Desc) -> Step) -> Edited;

    /// Stores `new` in all of `slots`, whatever is there: [`Mmu::edit`] for one constant, for which an
    /// implementation may have a loop without a load.
    #[inline]
    fn fill(&self, slots: Slots<Self::Table>, new: Desc) {
        self.edit(slots, |_| Step::Store(new));
    }

    /// Whether `pages` may be invalid for a moment, while break-before-make replaces them.
    ///
    /// Nothing that runs in between, on any core, may need them without being able to wait: not the
    /// running text and stacks, not the tables, not what the fault handler, the locks and the frame
    /// allocator touch. What may be broken is mostly an area handed out by an allocator of
    /// addresses, and a task's half. Called only where a break is due. If the answer is no, the
    /// operation is refused with [`What::InUse`](crate::What::InUse).
    fn may_break(&self, pages: Pages) -> bool;

    /// Links a new empty table at `index` of `table`, whose `level` is not the last, and returns
    /// it.
    ///
    /// Allocates a frame, zeroes it, `dmb ishst` (the walker must not see the link before the
    /// zeroes; this barrier is never deferred), stores the table descriptor. Takes a short lock
    /// around looking again and storing: when another core has linked a table there first, gives
    /// its own back and returns that one. The caller owes for it like for any valid descriptor.
    ///
    /// The allocation comes before the lock: the allocator may itself work on page tables.
    ///
    /// # Errors
    /// [`NoFrame`], with the table as it was.
    fn link(
        &self,
        table: Self::Table,
        level: Level,
        index: usize,
        va: Va,
    ) -> Result<Self::Table, NoFrame>;

    /// Valid descriptors were stored: the pair `dsb ishst; isb` is due, now or where the lazy MMU
    /// mode defers it to. Called once per operation, however many descriptors
    /// it stored.
    fn owe(&self);

    /// Whether [`Mmu::invalidate`] settles the pair of what [`Space::protect`](crate::Space::protect),
    /// [`Space::move_pages`](crate::Space::move_pages) and, in place, [`Space::replace`](crate::Space::replace) store,
    /// so that they do not owe one besides.
    ///
    /// It does: its `dsb ishst` and its ISB come after these stores, and all of them have a gather that owes
    /// for them. What it takes is that nobody relies on them before the gather has paid. That is so where
    /// the pair would be paid at once, outside of a section of the lazy MMU mode: inside one its end promises
    /// that all is published, whatever becomes of the gather. There the answer is no, and the pair is pending until
    /// the end or an [`Mmu::invalidate`] that settles it, whichever comes first (`Services::settled_by` of the crate `stage1-hw`).
    /// Linux pays both (`__set_pte` queues the
    /// barriers whatever the kernel entry was before), and so does the default, so that counts can be compared.
    #[inline]
    fn invalidation_settles(&self) -> bool {
        false
    }

    /// Invalidates what `debt` names, on every core of the Inner Shareable domain:
    /// `dsb ishst`, every TLBI of [`Debt::each_batch`] (or [`Debt::ops`], one by one), `dsb ish`,
    /// `isb`, then [`Debt::done`].
    ///
    /// The first DSB makes the stores visible to every walker, so that none loads the old
    /// descriptor again; the second completes the invalidation on all cores; the ISB discards what
    /// this core fetched under the old translation.
    fn invalidate(&self, debt: &mut Debt) -> Done;

    /// Frees a table that nothing links any more and no walk cache holds, as `done` proves.
    fn free_table(&self, table: Self::Table, done: &Done);
}
