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
//! Implement [`Listener`] and name [`Reported`] as your tables' instructions. Here the listener is the
//! checker itself, and a violation is a panic:
//!
//! ```
//! use std::sync::{LazyLock, Mutex};
//!
//! use mmu_check::seam::{Listener, Reported};
//! use mmu_check::{Checker, Event, What};
//!
//! static CHECKER: LazyLock<Mutex<Checker>> = LazyLock::new(Mutex::default);
//!
//! #[derive(Clone, Copy)]
//! struct Ears;
//!
//! impl Listener for Ears {
//!     const NEW: Self = Ears;
//!     fn undisturbed<R>(self, f: impl FnOnce() -> R) -> R {
//!         f() // with interrupts masked
//!     }
//!     fn hear_with(self, act: impl FnOnce() -> What) {
//!         let mut checker = CHECKER.lock().unwrap(); // with interrupts masked
//!         let event = Event { sequence: 0, time: 0, core: 0, task: 0, what: act() };
//!         checker.step(&event).unwrap_or_else(|violation| panic!("{violation}"));
//!     }
//! }
//!
//! # use stage1_hw::{Instructions, Op, Why};
//! # #[derive(Clone, Copy)]
//! # struct Plain;
//! # impl Instructions for Plain {
//! #     const NEW: Self = Plain;
//! #     fn execute(self, _: Op, _: Why) {}
//! #     unsafe fn write_ttbr0(self, _: u64) {}
//! # }
//! // `Plain` is stage1_hw's.
//! type Machine = Reported<Plain, Ears>;
//!
//! stage1_hw::publish(Machine::NEW);
//! # assert_eq!(CHECKER.lock().unwrap().coverage().events, 2);
//! ```
//!
//! A kernel that watches only sometimes has a decorator of its own, which calls
//! [`Reported::over`] where it does. What is no instruction (accesses, frames, switches, exceptions, the
//! mode's calls) the kernel reports to the same listener; for "done" there is [`dones`], for
//! `Services::done`.

use core::slice;
use core::sync::atomic::AtomicU64;

use stage1_hw::{Instructions, Op, Page, Slot, Slots, Why};
use stage1_paging::{Debt, Desc, Edited, Half, Pa, Step, Tlbi};

use crate::event::{AccessKind, Barrier, Expect, What};

/// Who hears events: a checker behind a lock, a ring, a file.
///
/// It knows on which core and in which task it is called, and makes an [`Event`](crate::Event) of
/// what it hears.
pub trait Listener: Copy {
    /// The value: it has no state of its own.
    const NEW: Self;

    /// Runs `f`, a report and its instruction, with interrupts masked: the task does not go on elsewhere
    /// between the two, and no handler's report comes between.
    fn undisturbed<R>(self, f: impl FnOnce() -> R) -> R;

    /// Runs `act` and hears what it says it has done, as one: no event of another core comes
    /// between. Under the lock that puts the events in order, with interrupts masked.
    ///
    /// `act` loads and stores memory and takes no lock. Run it once, also where nobody wants to hear of it:
    /// it is the kernel's store.
    fn hear_with(self, act: impl FnOnce() -> What);

    /// Hears that something is about to happen, or has happened.
    #[inline]
    fn hear(self, what: What) {
        self.hear_with(|| what);
    }
}

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
                listener.hear(What::Tlbi {
                    op: crate::Op::VMALLE1,
                    operand: 0,
                });
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

/// What to report when the invalidation of `debt` is about to be called complete: an event for each of
/// its runs of pages.
pub fn dones(debt: &Debt) -> impl Iterator<Item = What> {
    let asid = match debt.half() {
        Half::Lower(asid) => asid.0,
        Half::Upper => 0,
    };
    let tables = debt.frees_tables();
    debt.pages().map(move |pages| What::Done {
        va: pages.start().raw(),
        pages: pages.count(),
        asid,
        tables,
    })
}

impl From<Tlbi> for What {
    fn from(tlbi: Tlbi) -> Self {
        let (op, operand) = crate::Op::of(tlbi);
        What::Tlbi { op, operand }
    }
}

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
