//! The seam: everything that page-table work executes, as one trait.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use stage1_paging::{Batch, Desc, ENTRIES, Edited, Level, Pa, Step, Va};

/// Which accesses a barrier waits for or orders, and for which observers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Barrier {
    /// Loads and stores; the Inner Shareable domain: all cores and their table walkers.
    Ish,
    /// Stores; the Inner Shareable domain.
    Ishst,
    /// Loads before it, loads and stores behind it; the Inner Shareable domain.
    Ishld,
    /// Loads and stores; this core and its walker.
    Nsh,
    /// Loads and stores; the whole system, its interrupt controller among them.
    Sy,
}

/// An instruction without a result and without an effect on memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Op {
    /// `dsb`: nothing later begins before what it waits for is complete.
    Dsb(Barrier),
    /// `dmb`: what is before it is observed before what is after it.
    Dmb(Barrier),
    /// `isb`: instructions after it are fetched and translated anew, on this core.
    Isb,
    /// `tlbi` by address, range or ASID, or of everything, on every core of the Inner Shareable
    /// domain; one or several with ascending operands.
    Tlbi(Batch),
    /// `tlbi vmalle1`: everything, on this core alone.
    TlbiAllLocal,
}

/// What an instruction is for.
///
/// A constant at every call, which `Plain` ignores. Each says what the instruction
/// follows, which observer it is for, and what goes wrong without it. Arm ARM is DDI 0487, D8
/// ("The AArch64 Virtual Memory System Architecture") unless another chapter is named.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Why {
    /// `dsb ishst; isb` after valid descriptors were stored where none was.
    ///
    /// The DSB is for every table walker: until it is complete a walk may read the old, invalid
    /// descriptor, for any length of time. Stores are all that it must wait for. The ISB is for this
    /// core: without FEAT_ETS2 a walk for an instruction that is in the pipeline already is not
    /// ordered behind the DSB, and its fault would be taken after it. Other cores synchronise for
    /// themselves. (Linux: `emit_pte_barriers`, commit 5fdd05efa1cd.)
    Publish,
    /// The zeroing of a new table, `dmb ishst` behind it, and the store that links it.
    ///
    /// For every table walker: one that reads the link must read zeroes behind it, or it takes what
    /// the frame held before for descriptors. It is never deferred: the pair that publishes the link
    /// may come much later, and orders nothing against a walker that runs ahead of it. A DMB
    /// does, as the second store is itself what is ordered.
    Link,
    /// The zeroing of a root, and `dsb ishst` behind all stores to it and below, before a TTBR points
    /// at it.
    ///
    /// For the walkers of the core that writes the register. A DSB, not a DMB: a write of a system
    /// register is no memory access that a DMB could order. The pair that its entries have been paid
    /// with would do; a root without entries has had none.
    Root,
    /// `isb` after TTBR0_EL1 was written, for this core: until it, accesses may be translated by the
    /// old tables.
    Ttbr0,
    /// `dsb ishst` between the stores that cleared or changed descriptors and the TLBI.
    ///
    /// For every table walker: one that still reads the old descriptor would fill the TLB with it
    /// again behind the TLBI.
    BeforeTlbi,
    /// The TLBI itself: the cores' TLBs and walk caches may hold what the descriptors were.
    Invalidate,
    /// `dsb ish; isb` after a TLBI.
    ///
    /// The DSB is for every core: it is complete when all have dropped the translations *and*
    /// finished the accesses that they had begun through them. Without it a store of another core
    /// could land in a frame that has a new owner. `ish` and not `ishst`: only a DSB of loads and
    /// stores completes a TLBI (Arm ARM, "Ordering and completion of TLB maintenance instructions").
    /// The ISB is for this core, which may have fetched or translated ahead; no return to EL0 does
    /// it here.
    AfterTlbi,
    /// `dsb ish; isb` when a core goes from one task to another. The kernel's switch says why.
    Switch,
    /// The local TLBI of everything, with `dsb nsh; isb`, when a core leaves the tables that it
    /// started on. For this core's TLB only: every other core does it for itself.
    LeaveEarly,
    /// `dsb ishst` before another core is started or interrupted, for that core: a call to firmware
    /// and a message to the interrupt controller are not ordered behind stores by anything else.
    Kick,
    /// `dmb ishld` (GICv2) or `dsb sy` (GICv3) after the read that acknowledges an interrupt, and `isb`
    /// behind the branch on the number that it gave. For this core: what the handler reads is read
    /// after the acknowledge.
    ///
    /// - GICv2: the acknowledge is a load of GICC_IAR. Without the DMB a load of the handler may be
    ///   earlier than it, and miss what the sender of a software-generated interrupt had stored: no
    ///   other interrupt comes for that.
    /// - GICv3: the acknowledge is a read of ICC_IAR1_EL1, no memory access that a DMB could order. Its
    ///   effect on the interrupt's state is visible after a DSB and not before (Arm IHI 0069, "Physical
    ///   CPU interface"). `sy`, since the controller is in no core's Inner Shareable domain.
    /// - The ISB is for system registers: neither DMB nor DSB holds back their reads (Arm ARM, B2, "Data
    ///   Synchronization Barrier"). Without it the timer's status may be one from before the
    ///   acknowledge, and a timer that is due passes for one that is not. After a GICv2's load the
    ///   branch is part of it: an ISB alone does not wait for a load.
    ///
    /// (Linux: `smp_rmb` in `gic_handle_irq`, `dsb(sy)` in `gic_read_iar`, commit 39a06b67c2c1 for the
    /// ISB.) The way back needs none: an exception return synchronises.
    Acknowledge,
    /// `isb` after ICC_SGI1R_EL1 was written, for the cores that the interrupt is for: a write of a
    /// system register need not take effect before the next context synchronisation, and who waits for
    /// their answer in a loop may wait for a message that was not sent. A GICv2 is sent it by a store,
    /// which needs no help. (Linux: `gic_ipi_send_mask`.)
    Send,
    /// `isb` in the idle loop, between unmasking interrupts and masking them again.
    ///
    /// For this core: an interrupt that is pending and not masked is taken, at the latest, before the
    /// first instruction after an ISB (Arm ARM, D1, "Asynchronous exception types"); between two writes
    /// of PSTATE.DAIF it need not be. Without it the core may find WFI over at once for an interrupt
    /// that it never takes. A decorator does not mask interrupts around this one.
    Idle,
    /// `isb` after a system register of this core was written that later instructions depend on.
    Register,
    /// `isb` after AT, for this core: before it PAR_EL1 need not hold the result (Arm ARM, "Address
    /// translation instructions").
    Translate,
    /// The zeroing of a frame that holds data: no walker reads it.
    Data,
}

/// One page of memory as 512 words: a table, or a frame that may become one.
///
/// Walkers and other cores read a table while it is stored to, so its words are atomics. Aligned to
/// its size: `DC ZVA` on a part of it stays inside.
#[repr(C, align(4096))]
#[derive(Debug)]
pub struct Page(pub [AtomicU64; ENTRIES]);

const _: () = assert!(size_of::<Page>() == 4096);

/// A descriptor in its place.
#[derive(Clone, Copy, Debug)]
pub struct Slot<'a> {
    /// The descriptor.
    pub word: &'a AtomicU64,
    /// Its physical address.
    pub pa: Pa,
    /// The level of its table.
    pub level: Level,
    /// An address that it translates.
    pub va: Va,
}

/// Consecutive descriptors of one table.
#[derive(Clone, Copy, Debug)]
pub struct Slots<'a> {
    /// The descriptors.
    pub words: &'a [AtomicU64],
    /// The physical address of the first.
    pub pa: Pa,
    /// The level of their table.
    pub level: Level,
    /// The first address that the first of them translates.
    pub va: Va,
}

impl<'a> Slots<'a> {
    /// The descriptor at `index`; `None` from the number of descriptors on.
    #[inline]
    pub fn get(&self, index: usize) -> Option<Slot<'a>> {
        let word = self.words.get(index)?;
        let index = index as u64;
        Some(Slot {
            word,
            // A table lies below 2^48, and so does the descriptor.
            pa: Pa::new(self.pa.raw() + 8 * index)?,
            level: self.level,
            va: Va::new(
                self.va
                    .raw()
                    .wrapping_add(index.wrapping_mul(self.level.size())),
            ),
        })
    }
}

/// The words, for a loop that counts and branches back once for eight of them.
#[inline(always)]
pub(crate) fn unrolled(words: &[AtomicU64]) -> impl Iterator<Item = &AtomicU64> {
    let (eights, rest) = words.as_chunks::<8>();
    eights.iter().flatten().chain(rest)
}

/// What page-table work executes.
///
/// Implementing it is safe: an implementation that leaves a barrier out is wrong, and nothing in
/// this crate relies on it for memory safety before somebody promises that it is right, by
/// [`Hardware::new`](crate::Hardware::new).
///
/// An implementation needs [`execute`](Self::execute) and [`write_ttbr0`](Self::write_ttbr0); the
/// other methods are plain accesses to memory. A decorator overrides those that it looks at, and
/// [`zero`](Self::zero), which `Plain` does by blocks: what it inherits goes word by word.
pub trait Instructions: Copy {
    /// The value: it has no state of its own.
    const NEW: Self;

    /// Executes `op`. It is also a barrier for the compiler: no access to memory that anybody else may
    /// reach moves across.
    fn execute(self, op: Op, why: Why);

    /// Loads a descriptor. Single-copy atomic; a load through what it returns is ordered behind it
    /// by the address.
    #[inline(always)]
    fn load(self, word: &AtomicU64) -> Desc {
        Desc::from_bits(word.load(Relaxed))
    }

    /// Stores a descriptor. Single-copy atomic; relaxed, since its order for walkers is the barriers'
    /// business, and its order for other cores the locks'.
    #[inline(always)]
    fn store(self, slot: Slot<'_>, new: Desc, why: Why) {
        let _ = why;
        slot.word.store(new.bits(), Relaxed);
    }

    /// Loads descriptors in ascending order, shows each to `f` and stores what it returns, until it
    /// says stop. The inner loop of every operation: a decorator decides once per call, not per
    /// descriptor, whether it looks at each.
    #[inline(always)]
    fn edit(self, slots: Slots<'_>, f: impl FnMut(Desc) -> Step) -> Edited {
        // A variable of this function's own: what the closure holds stays in registers, though a decorator may hand the closure on.
        let mut f = f;
        // One variable goes along with the stores; what is counted besides is what is left alone.
        let (mut passed, mut skipped) = (0, 0);
        let _ = unrolled(slots.words).try_for_each(|word| {
            match f(Desc::from_bits(word.load(Relaxed))) {
                Step::Store(new) => word.store(new.bits(), Relaxed),
                Step::Skip => skipped += 1,
                Step::Stop => return None,
            }
            passed += 1;
            Some(())
        });
        Edited { passed, skipped }
    }

    /// Stores the same descriptor in all of them, whatever is there. A decorator that looks at stores
    /// need not know: what it has of [`edit`](Self::edit) is used.
    #[inline(always)]
    fn fill(self, slots: Slots<'_>, new: Desc) {
        self.edit(slots, |_| Step::Store(new));
    }

    /// Fills a page, which lies at `pa`, with zeroes. No barrier: whoever publishes it orders them.
    #[inline]
    fn zero(self, page: &Page, pa: Pa, why: Why) {
        let _ = (pa, why);
        page.0.iter().for_each(|word| word.store(0, Relaxed));
    }

    /// Writes TTBR0_EL1. The `isb` that makes it count is the caller's ([`Why::Ttbr0`],
    /// [`Why::Switch`]).
    ///
    /// # Safety
    /// 1. The address in `value` is a level-0 table whose stores are visible to walkers, and it stays
    ///    one for as long as the register holds it.
    /// 2. No TLB holds a translation of another table under the ASID in `value`.
    /// 3. What the lower half translates is no memory that a Rust object relies on.
    unsafe fn write_ttbr0(self, value: u64);
}
