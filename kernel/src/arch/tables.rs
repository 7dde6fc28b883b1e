//! Translation tables in memory: the hardware behind [`stage1_paging::Mmu`].
//!
//! Tables are reached through the linear map. A descriptor is an `AtomicU64`, since walkers and
//! other cores read it while it is stored; relaxed is enough, because ordering towards walkers is
//! the barriers' business and ordering between cores the locks'.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use stage1_paging::{
    Debt, Desc, Done, ENTRIES, Edited, Features, Frame, Half, Level, Mmu, NoFrame, Pa, Pages,
    Slots, Step, Va,
};

use super::{barrier, registers, tlb};
use mmu_check::What;

use crate::event::{self, Kind};
use crate::mem::{frames, layout};
use crate::planted::{self, Bug};
use crate::sync::Lock;
use crate::{check, mode, task};

/// The MMU of this machine.
///
/// Its existence is the promise that the tables it is given are tables: a `Frame` that
/// [`Mmu::child`] follows comes from a table descriptor, or is a root.
#[derive(Clone, Copy)]
pub struct Hardware {
    features: Features,
}

impl Hardware {
    /// # Safety
    /// 1. The linear map reaches all RAM that holds tables, and keeps them mapped read-write while
    ///    they are tables.
    /// 2. The value is used only with tables whose roots were made by [`Hardware::new_table`]:
    ///    every table descriptor in them was then stored by [`Mmu::link`].
    pub unsafe fn new() -> Self {
        Self {
            features: registers::features().tlb,
        }
    }

    /// The physical address of a root, for TTBRn_EL1.
    pub fn root_address(root: Table) -> Pa {
        layout::linear_to_physical(Va::new(root.0.as_ptr() as u64))
    }

    /// A table without a parent: the root of an address space.
    ///
    /// # Errors
    /// [`NoFrame`].
    pub fn new_table(self) -> Result<Table, NoFrame> {
        let frame = frames::alloc().ok_or(NoFrame)?.into_frame();
        let table = self.child(frame);
        table.zero();
        COUNT.fetch_add(1, Relaxed);
        Ok(table)
    }
}

/// One table: 512 descriptors.
#[derive(Clone, Copy)]
pub struct Table(&'static [AtomicU64; ENTRIES]);

impl Table {
    fn zero(self) {
        let frame = Frame::containing(layout::linear_to_physical(Va::new(self.0.as_ptr() as u64)));
        check::tell_fill(frame);
        let turn = check::turn();
        zero_page(self.0);
        turn.tell(What::Zero {
            frame: frame.pa().raw(),
        });
    }
}

/// Serialises the linking of tables. Held for one load and one store; nothing is allocated under
/// it.
static LINK: Lock<()> = Lock::new(());

/// How many tables there are.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// How many frames are tables: roots, and what was linked and not freed.
pub fn count() -> u64 {
    COUNT.load(Relaxed)
}

impl Mmu for Hardware {
    type Table = Table;

    #[inline(always)]
    fn read(&self, table: Table, index: usize) -> Desc {
        Desc::from_bits(table.0[index].load(Relaxed))
    }

    #[inline(always)]
    fn child(&self, frame: Frame) -> Table {
        let table = layout::linear(frame.pa()).raw() as *const [AtomicU64; ENTRIES];
        // SAFETY: 1. `Hardware::new`'s caller promised that the frame is a table's, and that the
        // linear map reaches it.
        // 2. A frame is page aligned and a table is a page. 3. Every access to a table is atomic.
        Table(unsafe { &*table })
    }

    #[inline(always)]
    fn frame(&self, table: Table) -> Frame {
        Frame::containing(layout::linear_to_physical(Va::new(table.0.as_ptr() as u64)))
    }

    #[inline]
    fn edit(&self, slots: Slots<Table>, f: impl FnMut(Desc) -> Step) -> Edited {
        let all = &slots.table.0[slots.at.clone()];
        // Two loops: the one that nobody listens to tests and calls nothing for a store.
        let edited = if check::is_on() {
            edit_each(all, f, |n, slot, old, new| {
                let offset = n as u64 * slots.level.size();
                let va = Va::new(slots.va.raw().wrapping_add(offset));
                store_and_tell(slot, slots.level, va, old, new);
            })
        } else {
            edit_each(all, f, |_, slot, _, new| slot.store(new.bits(), Relaxed))
        };
        let stored = edited.stored() as u64;
        task::counts().stores.add(stored);
        event::record(
            Kind::Store,
            slots.va.raw(),
            physical(&slots.table.0[slots.at.start]),
            stored,
        );
        edited
    }

    /// The vmap area and the tasks' half: the rest of the upper half holds text, stacks, tables and all that a fault touches.
    /// An access or a fetch there waits for the make (`traps/broken.rs`), but for an interrupt handler's.
    fn may_break(&self, pages: Pages) -> bool {
        let first = pages.start().raw().wrapping_sub(layout::VMAP_BASE);
        let in_vmap_area = first < layout::VMAP_SIZE
            && pages.count() <= (layout::VMAP_SIZE - first) / layout::PAGE_SIZE;
        in_vmap_area || !Half::Upper.holds(pages)
    }

    fn link(&self, table: Table, level: Level, index: usize, va: Va) -> Result<Table, NoFrame> {
        // Before the lock: the allocator may work on page tables itself.
        let frame = frames::alloc().ok_or(NoFrame)?;
        let new = self.child(frame.frame());
        if !planted::is(Bug::LinkNoZero) {
            new.zero();
        }
        if !planted::is(Bug::LinkNoDmb) {
            barrier::dmb_ishst();
        }
        let slot = &table.0[index];
        let lock = LINK.lock();
        let there = Desc::from_bits(slot.load(Relaxed));
        if let Some(theirs) = there.next_table(level) {
            drop(lock);
            // No walker has seen the new table: it can go back as it is.
            frames::free(frame);
            return Ok(self.child(theirs));
        }
        store_and_tell(slot, level, va, there, Desc::table(frame.into_frame()));
        drop(lock);
        COUNT.fetch_add(1, Relaxed);
        task::counts().stores.add(1);
        event::record(
            Kind::Link,
            va.raw(),
            physical(slot),
            self.frame(new).pa().raw(),
        );
        Ok(new)
    }

    #[inline]
    fn owe(&self) {
        mode::owe();
    }

    fn invalidate(&self, debt: Debt) -> Done {
        tlb::invalidate(debt, self.features)
    }

    fn free_table(&self, table: Table, _done: &Done) {
        let frame = self.frame(table);
        COUNT.fetch_sub(1, Relaxed);
        // SAFETY: `Done` proves that no walk cache holds the table, the caller that nothing links
        // it; the frame was the table's own, from `into_frame` above.
        frames::free(unsafe { frames::Owned::from_frame(frame) });
    }
}

/// The loop of [`Mmu::edit`]. One variable goes along with the stores: what is counted besides is what is left alone.
#[inline(always)]
fn edit_each(
    slots: &[AtomicU64],
    mut f: impl FnMut(Desc) -> Step,
    mut store: impl FnMut(usize, &AtomicU64, Desc, Desc),
) -> Edited {
    let (mut passed, mut skipped) = (0, 0);
    while passed < slots.len() {
        let slot = &slots[passed];
        let old = Desc::from_bits(slot.load(Relaxed));
        match f(old) {
            Step::Store(new) => store(passed, slot, old, new),
            Step::Skip => skipped += 1,
            Step::Stop => break,
        }
        passed += 1;
    }
    Edited { passed, skipped }
}

/// The physical address of a descriptor.
fn physical(slot: &AtomicU64) -> u64 {
    layout::linear_to_physical(Va::new(slot.as_ptr() as u64)).raw()
}

/// Stores a descriptor, and tells the rules if they are asked. Cold: links are few.
#[cold]
fn store_and_tell(slot: &AtomicU64, level: Level, va: Va, old: Desc, new: Desc) {
    let what = What::Store {
        slot: physical(slot),
        va: va.raw() & !(level.size() - 1),
        level: level.number(),
        old: old.bits(),
        new: new.bits(),
    };
    check::tell_in_turn(what, || slot.store(new.bits(), Relaxed));
}

/// Zeroes a page: by cache block where the core allows it (`DC ZVA`), else word by word.
///
/// No barrier. Whoever publishes the page orders the zeroes: [`barrier::dmb_ishst`] for a table.
pub fn zero_page(page: &[AtomicU64; ENTRIES]) {
    let block = registers::zva_bytes();
    if block == 0 || block > layout::PAGE_SIZE as usize {
        page.iter().for_each(|word| word.store(0, Relaxed));
        return;
    }
    let start = page.as_ptr() as usize;
    for address in (start..start + layout::PAGE_SIZE as usize).step_by(block) {
        // SAFETY: 1. The block lies in the page, which is Normal memory and aligned to more than
        // the block. 2. The page's words are atomics, shared with nobody who cares: zeroing
        // them tears no invariant that a store of zero would not.
        unsafe { asm!("dc zva, {}", in(reg) address, options(nostack, preserves_flags)) };
    }
}
