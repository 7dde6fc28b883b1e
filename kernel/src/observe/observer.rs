//! The observer: what is executed is counted, and reported when somebody listens.

use core::sync::atomic::AtomicU64;

use mmu_check::seam::Reported;
use stage1_hw::{Instructions, Op, Page, Slot, Slots, Why};
use stage1_paging::{Desc, Edited, Pa, Step};

use super::{Ears, is_watched};
use crate::task::{self, Counts, kinds};

/// A decorator of the machine's instructions: does what `I` does, counts it, and reports it.
///
/// Counting is always on: a count belongs to the task or, for handlers and switches, to the core
/// (see [`crate::task`]). Everything else hangs on one flag, and stands out of line.
#[derive(Clone, Copy, Debug)]
pub struct Observer<I>(I);

impl<I: Instructions> Instructions for Observer<I> {
    const NEW: Self = Observer(I::NEW);

    #[inline(always)]
    fn execute(self, op: Op, why: Why) {
        if is_watched() {
            execute_watched(self.0, op, why);
        } else {
            self.0.execute(op, why);
        }
        count(op, why);
    }

    #[inline(always)]
    fn load(self, word: &AtomicU64) -> Desc {
        self.0.load(word)
    }

    #[inline]
    fn store(self, slot: Slot<'_>, new: Desc, why: Why) {
        if is_watched() {
            reported(self.0).store(slot, new, why);
        } else {
            self.0.store(slot, new, why);
        }
        task::counts().stores.add(1);
    }

    #[inline(always)]
    fn edit(self, slots: Slots<'_>, f: impl FnMut(Desc) -> Step) -> Edited {
        // Two loops: the one that nobody listens to tests and calls nothing for a store.
        let edited = if is_watched() {
            reported(self.0).edit(slots, f)
        } else {
            self.0.edit(slots, f)
        };
        task::counts().stores.add(edited.stored() as u64);
        edited
    }

    #[inline(always)]
    fn fill(self, slots: Slots<'_>, new: Desc) {
        if is_watched() {
            reported(self.0).fill(slots, new);
        } else {
            self.0.fill(slots, new);
        }
        task::counts().stores.add(slots.words.len() as u64);
    }

    fn zero(self, page: &Page, pa: Pa, why: Why) {
        if is_watched() {
            reported(self.0).zero(page, pa, why);
        } else {
            self.0.zero(page, pa, why);
        }
    }

    unsafe fn write_ttbr0(self, value: u64) {
        if is_watched() {
            // SAFETY: the caller's promise is this one's.
            unsafe { reported(self.0).write_ttbr0(value) };
        } else {
            // SAFETY: the caller's promise is this one's.
            unsafe { self.0.write_ttbr0(value) };
        }
    }
}

#[cold]
#[inline(never)]
fn execute_watched(machine: impl Instructions, op: Op, why: Why) {
    reported(machine).execute(op, why);
}

/// `mmu-check`'s adapter around the machine: it knows what is reported before, after, or as one with
/// its execution.
fn reported<I: Instructions>(machine: I) -> Reported<I, Ears> {
    Reported::over(machine, Ears)
}

#[inline(always)]
fn count(op: Op, why: Why) {
    let counts = counts(why);
    let times = if let Op::Tlbi(batch) = op {
        batch.count
    } else {
        1
    };
    counts.executed[kinds::of(op)].add(times);
    match (op, why) {
        (Op::Dsb(_), Why::Publish) => counts.pairs.add(1),
        (Op::Isb, Why::Publish) => counts.pair_isbs.add(1),
        (Op::Isb, Why::Translate) => counts.translations.add(1),
        (Op::Tlbi(batch), _) => match batch.first.reach() {
            Some(pages) => counts.reach.add(pages * batch.count),
            None => counts.full.add(1),
        },
        (Op::TlbiAllLocal, _) => counts.full.add(1),
        _ => {}
    }
}

/// A switch is the core's: the task that is leaving may be in the middle of counting one of its own. So
/// is what is sent to other cores on the other side of a switch.
#[inline(always)]
fn counts(why: Why) -> &'static Counts {
    if matches!(why, Why::Switch | Why::Send) {
        &task::core().interrupt_counts
    } else {
        task::counts()
    }
}
