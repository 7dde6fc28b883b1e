//! Below the observer: what is left out here is seen and not executed.

use core::sync::atomic::AtomicU64;

use stage1_hw::{Barrier, Instructions, Op, Page, Slot, Slots, Why};
use stage1_paging::{Desc, Edited, Pa, Step};

use crate::{Fault, is};

/// The instructions of `I`, the machine below the observer, with the [`Fault`] that is injected.
#[derive(Clone, Copy, Debug)]
pub struct Below<I>(I);

impl<I: Instructions> Instructions for Below<I> {
    const NEW: Self = Below(I::NEW);

    fn execute(self, op: Op, why: Why) {
        match op {
            Op::Tlbi(_) if is(Fault::TlbiOnlyRecorded) => {}
            Op::Dsb(Barrier::Ishst) if is(Fault::DsbOnlyRecorded) => {}
            _ => self.0.execute(op, why),
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
