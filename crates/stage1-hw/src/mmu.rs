//! A ready [`Mmu`]: tables in memory that a linear map reaches.

use core::fmt;
use core::ptr::NonNull;

use stage1_paging::{
    Debt, Desc, Done, ENTRIES, Edited, Frame, Level, Mmu, NoFrame, Pa, Pages, Slots, Step, Va,
};

use crate::instructions::{self, Barrier, Instructions, Op, Page, Slot, Why};
use crate::sequences::{self, Upkeep};

/// What a kernel provides to its tables.
///
/// Implementing it is safe; that an implementation is right is what the caller of
/// [`Hardware::new`] promises.
pub trait Services {
    /// The machine's instructions: `Plain`, or a decorator around it.
    type Instructions: Instructions;

    /// A frame for a table: writable through the linear map, and nobody else's. It may itself work on page tables; no lock is
    /// held. `None` when there is none.
    fn alloc(&self) -> Option<Frame>;

    /// Takes a table's frame back.
    ///
    /// # Safety
    /// It came from [`alloc`](Self::alloc) and is not given back twice; no descriptor leads to it, and no walk cache holds one
    /// that did.
    unsafe fn free(&self, frame: Frame);

    /// Where the linear map has the frame.
    fn page(&self, frame: Frame) -> NonNull<Page>;

    /// The inverse of [`page`](Self::page).
    fn frame(&self, page: NonNull<Page>) -> Frame;

    /// Runs `f` alone: a short lock, the same for all tables, that an interrupt handler on this core may want too. Nothing in `f`
    /// allocates.
    fn alone<R>(&self, f: impl FnOnce() -> R) -> R;

    /// Valid descriptors were stored: they owe [`publish`](crate::publish), now or where the lazy MMU mode defers it to. See
    /// [`Mmu::owe`].
    fn owe(&self);

    /// See [`Mmu::invalidation_settles`].
    fn invalidation_settles(&self) -> bool {
        false
    }

    /// Runs the `barriers` of an invalidation, [`invalidate`](crate::invalidate), which pay for every pair before them, too: a mode
    /// that has one pending takes it for paid before they run (`lazy-mmu`'s `TaskMmu::settled_by`). The default does not, as Linux.
    fn settled_by(&self, barriers: impl FnOnce()) {
        barriers();
    }

    /// See [`Mmu::may_break`].
    fn may_break(&self, pages: Pages) -> bool;

    /// The invalidation of `debt` is complete and about to be called so: for a checker.
    #[inline]
    fn done(&self, debt: &Debt) {
        let _ = debt;
    }
}

/// The MMU of a machine, for tables that `S` provides the memory of.
///
/// Its existence is the promise that what it is given as tables are tables: see [`Hardware::new`].
#[derive(Clone, Copy, Debug)]
pub struct Hardware<S> {
    services: S,
    upkeep: Upkeep,
}

/// One table.
#[derive(Clone, Copy)]
pub struct Table(&'static Page);

/// Its address alone: what it holds may be freed by now.
impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Table").field(&self.address()).finish()
    }
}

impl Table {
    fn address(self) -> NonNull<Page> {
        NonNull::from(self.0)
    }
}

impl<S: Services> Hardware<S> {
    /// # Safety
    /// 1. `services` keeps what its methods say: frames are nobody else's, and the linear map has them mapped read-write from
    ///    [`alloc`](Services::alloc) until [`free`](Services::free).
    /// 2. Its instructions execute what their names say. On them rests that a [`Done`] is one: the frames that it frees are
    ///    reachable by no old translation.
    /// 3. The value is used only with tables whose roots [`Hardware::new_root`] made, and through [`Space`](stage1_paging::Space)
    ///    and its gathers: then every table descriptor in them was stored by [`Mmu::link`], and a table is freed once, when nothing
    ///    leads to it. Whoever calls the methods of [`Mmu`] directly, which take any frame for a table and free any table, keeps it
    ///    so. While one space frees tables no other over its root is in use, and after [`destroy`](stage1_paging::Space::destroy)
    ///    none ever is.
    /// 4. Who maps, unmaps, moves and replaces with it leaves alone what Rust objects, text and stacks lie in: the operations of a
    ///    [`Space`](stage1_paging::Space) are safe to call and change what an address means.
    /// 5. `upkeep` is what every core can do and needs.
    pub const unsafe fn new(services: S, upkeep: Upkeep) -> Self {
        Self { services, upkeep }
    }

    /// A table without a parent, and empty: the root of an address space. Make it visible with
    /// [`publish_root`](crate::publish_root) before a register points at it.
    ///
    /// # Errors
    /// [`NoFrame`].
    pub fn new_root(&self) -> Result<Table, NoFrame> {
        let frame = self.services.alloc().ok_or(NoFrame)?;
        Ok(self.empty(frame, Why::Root))
    }

    /// The physical address of a table, for [`ttbr`](crate::ttbr).
    pub fn address(&self, table: Table) -> Pa {
        self.frame(table).pa()
    }

    fn empty(&self, frame: Frame, why: Why) -> Table {
        let table = self.child(frame);
        S::Instructions::NEW.zero(table.0, frame.pa(), why);
        table
    }

    #[inline(always)]
    fn words(&self, slots: Slots<Table>) -> instructions::Slots<'static> {
        instructions::Slots {
            pa: self.physical(slots.table, slots.at.start),
            words: &slots.table.0.0[slots.at],
            level: slots.level,
            va: slots.va,
        }
    }

    fn physical(&self, table: Table, index: usize) -> Pa {
        // A descriptor lies in its table's page, so below 2^48.
        Pa::masked(self.address(table).raw() + 8 * index as u64)
    }
}

impl<S: Services> Mmu for Hardware<S> {
    type Table = Table;

    #[inline(always)]
    fn read(&self, table: Table, index: usize) -> Desc {
        // Below 512, says the trait; the remainder is one instruction in the loop of a move, where the
        // comparison would be two.
        S::Instructions::NEW.load(&table.0.0[index % ENTRIES])
    }

    #[inline(always)]
    fn child(&self, frame: Frame) -> Table {
        // SAFETY: 1. The frame is a table's, and mapped for as long as it is one: `new`'s points 1 and
        // 3. 2. A `Page` is aligned as a frame is. 3. Every access to a table is atomic.
        Table(unsafe { self.services.page(frame).as_ref() })
    }

    #[inline(always)]
    fn frame(&self, table: Table) -> Frame {
        self.services.frame(table.address())
    }

    #[inline(always)]
    fn edit(&self, slots: Slots<Table>, f: impl FnMut(Desc) -> Step) -> Edited {
        S::Instructions::NEW.edit(self.words(slots), f)
    }

    #[inline(always)]
    fn fill(&self, slots: Slots<Table>, new: Desc) {
        S::Instructions::NEW.fill(self.words(slots), new);
    }

    fn may_break(&self, pages: Pages) -> bool {
        self.services.may_break(pages)
    }

    fn link(&self, table: Table, level: Level, index: usize, va: Va) -> Result<Table, NoFrame> {
        let machine = S::Instructions::NEW;
        // Before the lock: the allocator may work on page tables itself.
        let frame = self.services.alloc().ok_or(NoFrame)?;
        let new = self.empty(frame, Why::Link);
        machine.execute(Op::Dmb(Barrier::Ishst), Why::Link);
        let slot = Slot {
            word: &table.0.0[index],
            pa: self.physical(table, index),
            level,
            va: level.floor(va),
        };
        let theirs = self.services.alone(|| {
            let there = machine.load(slot.word).next_table(level);
            if there.is_none() {
                machine.store(slot, Desc::table(frame), Why::Link);
            }
            there
        });
        match theirs {
            None => Ok(new),
            Some(theirs) => {
                // SAFETY: from `alloc` just now, and no descriptor ever led to it.
                unsafe { self.services.free(frame) };
                Ok(self.child(theirs))
            }
        }
    }

    #[inline]
    fn owe(&self) {
        self.services.owe();
    }

    fn invalidation_settles(&self) -> bool {
        self.services.invalidation_settles()
    }

    fn invalidate(&self, debt: &mut Debt) -> Done {
        let barriers = || sequences::invalidate(S::Instructions::NEW, debt, self.upkeep);
        self.services.settled_by(barriers);
        self.services.done(debt);
        debt.done()
    }

    fn free_table(&self, table: Table, _done: &Done) {
        // SAFETY: 1. A table's frame came from `alloc`, in `new_root` or `link`. 2. Nothing links it, and
        // it was not freed before: `new`'s point 3. 3. `Done` says that no walk cache holds it.
        unsafe { self.services.free(self.frame(table)) }
    }
}
