//! Below the observer: what is left out here is seen and not executed, and what is exchanged here is seen as what it should be.

use core::sync::atomic::AtomicU64;

use stage1_hw::{Barrier, Instructions, Op, Page, Slot, Slots, Why};
use stage1_paging::{Batch, Desc, Edited, Pa, Step, Tlbi};

use crate::{Fault, is};

/// The instructions of `I`, the machine below the observer, with the [`Fault`] that is injected.
#[derive(Clone, Copy, Debug)]
pub struct Below<I>(I);

/// What is executed instead: another kind of the same instruction, where that is the fault.
fn other_kind(op: Op, why: Why) -> Option<Op> {
    let (fault, other) = match (op, why) {
        (Op::Dsb(Barrier::Ishst), _) => (Fault::DsbIshstAsNsh, Op::Dsb(Barrier::Nsh)),
        (Op::Dsb(Barrier::Ish), Why::AfterTlbi) => (Fault::DsbIshAsIshst, Op::Dsb(Barrier::Ishst)),
        (Op::Dsb(Barrier::Ish), Why::Switch) => (Fault::SwitchDsbAsNsh, Op::Dsb(Barrier::Nsh)),
        (Op::Dmb(Barrier::Ishst), _) => (Fault::DmbIshstAsIshld, Op::Dmb(Barrier::Ishld)),
        (Op::Tlbi(_), _) if is(Fault::TlbiAsLocal) => (Fault::TlbiAsLocal, Op::TlbiAllLocal),
        (Op::Tlbi(batch), _) => (Fault::TlbiAsOther, Op::Tlbi(other_levels(batch))),
        _ => return None,
    };
    is(fault).then_some(other)
}

/// The same addresses: the leaf's level alone instead of all, and all instead of the leaf's.
fn other_levels(batch: Batch) -> Batch {
    let first = match batch.first {
        Tlbi::Vae1is(operand) => Tlbi::Vale1is(operand),
        Tlbi::Vale1is(operand) => Tlbi::Vae1is(operand),
        Tlbi::Vaae1is(operand) => Tlbi::Vaale1is(operand),
        Tlbi::Vaale1is(operand) => Tlbi::Vaae1is(operand),
        Tlbi::Rvae1is(operand) => Tlbi::Rvale1is(operand),
        Tlbi::Rvale1is(operand) => Tlbi::Rvae1is(operand),
        Tlbi::Rvaae1is(operand) => Tlbi::Rvaale1is(operand),
        Tlbi::Rvaale1is(operand) => Tlbi::Rvaae1is(operand),
        all => all,
    };
    Batch { first, ..batch }
}

impl<I: Instructions> Instructions for Below<I> {
    const NEW: Self = Below(I::NEW);

    fn execute(self, op: Op, why: Why) {
        match op {
            Op::Tlbi(_) if is(Fault::TlbiOnlyRecorded) => {}
            Op::Dsb(Barrier::Ishst) if is(Fault::DsbOnlyRecorded) => {}
            _ => self.0.execute(other_kind(op, why).unwrap_or(op), why),
        }
    }

    #[inline]
    fn load(self, word: &AtomicU64) -> Desc {
        self.0.load(word)
    }

    fn store(self, slot: Slot<'_>, new: Desc, why: Why) {
        self.0.store(slot, new, why);
    }

    fn edit(self, slots: Slots<'_>, f: impl FnMut(Desc) -> Step) -> Edited {
        self.0.edit(slots, f)
    }

    fn zero(self, page: &Page, pa: Pa, why: Why) {
        self.0.zero(page, pa, why);
    }

    unsafe fn write_ttbr0(self, value: u64) {
        // SAFETY: the caller's promise is this one's.
        unsafe { self.0.write_ttbr0(value) }
    }
}
