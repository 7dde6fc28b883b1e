//! The adapter: a decorator of [`stage1_hw::Instructions`] that reports what passes through it, each at
//! the place in the order that [`event`](crate::event) gives it.
//!
//! | method | reported |
//! |---|---|
//! | `execute` | DSB and DMB after; ISB and each TLBI of a batch before; undisturbed, but for [`Why::Idle`] |
//! | `load` | not |
//! | `store`, `edit` | each store as one with it; `old` is what the descriptor held then, for `edit` what it was decided by |
//! | `zero` | for a table the write access before, and the zeroing as one with it; of [`Why::Data`] nothing |
//! | `write_ttbr0` | before |
//!
//! # In a kernel
//!
//! Ten lines, and no lock and no `alloc` but a global allocator:
//!
//! ```
//! # use stage1_hw::{Instructions, Op, Why};
//! # // A host executes nothing.
//! # #[derive(Clone, Copy)]
//! # struct Plain;
//! # impl Instructions for Plain {
//! #     const NEW: Self = Plain;
//! #     fn execute(self, _: Op, _: Why) {}
//! #     unsafe fn write_ttbr0(self, _: u64) {}
//! # }
//! # struct MyKernel;
//! # fn without_interrupts<R>(f: impl FnOnce() -> R) -> R { f() }
//! # fn core() -> u8 { 0 }
//! # fn task() -> u16 { 1 }
//! use mmu_check::seam::{Checked, Here, Kernel, Reported, Shared};
//! static RULES: Shared = Shared::new();
//! impl Kernel for MyKernel {
//!     const RULES: &'static Shared = &RULES;
//!     fn masked<R>(f: impl FnOnce(Here) -> R) -> R {
//!         without_interrupts(|| f(Here::at(core(), task())))
//!     }
//! }
//! type Machine = Reported<Plain, Checked<MyKernel>>; // `Plain` is stage1_hw's
//!
//! // In the start of the kernel, when there is a heap, and before its tables are built:
//! RULES.start();
//! # stage1_hw::publish(Machine::NEW);
//! # assert_eq!(Checked::<MyKernel>::NEW.stop().unwrap().events, 2);
//! ```
//!
//! `Machine` takes the place of `Plain` wherever that stood: in `Services`, at `publish`, at the write of TTBR0.
//! A violation panics, unless `Kernel::broken` does something else. `examples/hook_up.rs` is such a kernel.
//!
//! From then on whatever page-table work executes is judged: what is stored over what (R2, R11), operands (R6),
//! zeroes (R10), and uses of what the adapter itself writes to. What is no instruction is a line each where it
//! happens, to the same listener, as in `Checked::<MyKernel>::NEW.hear(What::TaskEnd)`. The table in
//! [`hook`](crate::hook) says what and when: accesses bring R1, frames R4 and R5, [`dones`](crate::dones) in
//! `Services::done` R3, R7 and R9, the ends of sections, switches and handlers R8.
//!
//! A kernel that hears more than the rules implements [`Listener`] itself; one that watches only sometimes has
//! a decorator of its own, which calls [`Reported::over`] where it does.

use core::slice;
use core::sync::atomic::AtomicU64;

use stage1_hw::{Instructions, Op, Page, Slot, Slots, Why};
use stage1_paging::{Desc, Edited, Pa, Step};

use crate::event::{AccessKind, Barrier, Expect, What};
pub use crate::hook::{Checked, Here, Kernel, Listener, Shared};

/// The machine `I`, all of whose instructions `L` hears of.
#[derive(Clone, Copy, Debug)]
pub struct Reported<I, L>(I, L);

impl<I, L> Reported<I, L> {
    /// What `machine` does, reported to `listener`.
    #[inline(always)]
    pub const fn over(machine: I, listener: L) -> Self {
        Reported(machine, listener)
    }
}

impl<I: Instructions, L: Listener> Reported<I, L> {
    /// Has `act` store to `slot`, and reports that as one with it: over what was `seen` there when the store
    /// was decided on, or over what is there. Out of line: the loops over descriptors stay small.
    #[cold]
    #[inline(never)]
    fn stored(self, slot: Slot<'_>, seen: Option<Desc>, new: Desc, act: impl FnOnce()) {
        let Reported(machine, listener) = self;
        listener.hear_with(|| {
            let old = seen.unwrap_or_else(|| machine.load(slot.word));
            act();
            What::Store {
                slot: slot.pa.raw(),
                va: slot.va.raw() & !(slot.level.size() - 1),
                level: slot.level.number(),
                old: old.bits(),
                new: new.bits(),
            }
        });
    }
}

impl<I: Instructions, L: Listener> Instructions for Reported<I, L> {
    const NEW: Self = Reported(I::NEW, L::NEW);

    fn execute(self, op: Op, why: Why) {
        let Reported(machine, listener) = self;
        let act = || match op {
            // What pays is reported when it has: a DSB that is still waiting has made nothing visible.
            Op::Dsb(kind) => {
                machine.execute(op, why);
                listener.hear(What::Dsb(kind.into()));
            }
            Op::Dmb(kind) => {
                machine.execute(op, why);
                listener.hear(What::Dmb(kind.into()));
            }
            // What relies on a payment is reported before: what another core pays afterwards is no use
            // to it.
            Op::Isb => {
                listener.hear(What::Isb);
                machine.execute(op, why);
            }
            Op::Tlbi(batch) => {
                batch.ops().for_each(|tlbi| listener.hear(tlbi.into()));
                machine.execute(op, why);
            }
            // What it drops is of tables that no event was of: the next TLBI to be missing would pass for
            // one that came too early.
            Op::TlbiAllLocal if why == Why::LeaveEarly => machine.execute(op, why),
            Op::TlbiAllLocal => {
                listener.hear(What::tlbi(crate::Op::VMALLE1, crate::Operand::NONE));
                machine.execute(op, why);
            }
        };
        // An interrupt is to be taken here; the task is one that stays on its core, and an ISB that is
        // reported early is credited with less.
        if why == Why::Idle {
            return act();
        }
        listener.undisturbed(act);
    }

    #[inline(always)]
    fn load(self, word: &AtomicU64) -> Desc {
        self.0.load(word)
    }

    fn store(self, slot: Slot<'_>, new: Desc, why: Why) {
        self.stored(slot, None, new, || self.0.store(slot, new, why));
    }

    /// `f` is called outside of the listener's lock: it may load other descriptors and allocate.
    fn edit(self, slots: Slots<'_>, mut f: impl FnMut(Desc) -> Step) -> Edited {
        let (mut passed, mut skipped) = (0, 0);
        while let Some(slot) = slots.get(passed) {
            let seen = self.0.load(slot.word);
            match f(seen) {
                Step::Store(new) => self.stored(slot, Some(seen), new, || {
                    // An edit of one: whatever is below sees an edit as an edit.
                    let one = Slots {
                        words: slice::from_ref(slot.word),
                        pa: slot.pa,
                        level: slot.level,
                        va: slot.va,
                    };
                    self.0.edit(one, |_| Step::Store(new));
                }),
                Step::Skip => skipped += 1,
                Step::Stop => break,
            }
            passed += 1;
        }
        Edited { passed, skipped }
    }

    /// A frame of data is nobody's business: it becomes no table.
    fn zero(self, page: &Page, pa: Pa, why: Why) {
        let Reported(machine, listener) = self;
        if why == Why::Data {
            return machine.zero(page, pa, why);
        }
        listener.undisturbed(|| {
            listener.hear(What::Access {
                va: page.0.as_ptr() as u64,
                kind: AccessKind::Write,
                expect: Expect::Works,
            });
            listener.hear_with(|| {
                machine.zero(page, pa, why);
                What::Zero { frame: pa.raw() }
            });
        });
    }

    #[allow(unsafe_code)]
    unsafe fn write_ttbr0(self, value: u64) {
        let Reported(machine, listener) = self;
        listener.undisturbed(|| {
            listener.hear(What::Ttbr0 {
                root: value & ROOT,
                asid: (value >> 48) as u16,
            });
            // SAFETY: the caller's promise is this one's.
            unsafe { machine.write_ttbr0(value) }
        });
    }
}

/// BADDR of a TTBR: with 4 KiB tables and 48 bits the root is aligned to its size, and bit 0 is CnP.
const ROOT: u64 = 0x0000_ffff_ffff_f000;

impl From<stage1_hw::Barrier> for Barrier {
    fn from(kind: stage1_hw::Barrier) -> Self {
        match kind {
            stage1_hw::Barrier::Ish => Barrier::Ish,
            stage1_hw::Barrier::Ishst => Barrier::Ishst,
            stage1_hw::Barrier::Ishld => Barrier::Ishld,
            stage1_hw::Barrier::Nsh => Barrier::Nsh,
            stage1_hw::Barrier::Sy => Barrier::Sy,
        }
    }
}
