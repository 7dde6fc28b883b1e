//! The observer: what is executed is counted, and reported when somebody listens.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use mmu_check::seam::Reported;
use stage1_hw::{Instructions, Op, Page, Slot, Slots, Why};
use stage1_paging::{Desc, Edited, Pa, Step};

use super::{Ears, is_watched};
use crate::task::{self, Counts, kinds};

/// A decorator of the machine's instructions: does what `I` does, counts it, and reports it.
///
/// Counting is always on: a count belongs to the task or, for handlers and switches, to the core (see [`crate::task`]).
/// Everything else hangs on one flag, and stands out of line.
#[derive(Clone, Copy, Debug)]
pub struct Observer<I>(I);

/// A method of the machine's, reported when somebody listens, and what is counted for it. One flag sends a handler and whoever is listened
/// to another way, so that the short one has nothing else to ask.
macro_rules! observed {
    ($observer:ident.$method:ident($($argument:ident),*)$(, $counts:ident => $count:expr)?) => {{
        let task = task::current();
        if task.watched.load(Relaxed) == 0 {
            $observer.0.$method($($argument),*);
            $(let $counts = &task.task().counts; $count;)?
            return;
        }
        apart(move || {
            if is_watched() {
                reported($observer.0).$method($($argument),*);
            } else {
                $observer.0.$method($($argument),*);
            }
            $(let $counts = task::counts(); $count;)?
        });
    }};
}

/// Out of line: two more of each loop.
#[cold]
#[inline(never)]
fn apart(f: impl FnOnce()) {
    f();
}

impl<I: Instructions> Instructions for Observer<I> {
    const NEW: Self = Observer(I::NEW);

    #[inline(always)]
    fn execute(self, op: Op, why: Why) {
        observed!(self.execute(op, why), counts => count(op, why, counts));
    }

    #[inline(always)]
    fn load(self, word: &AtomicU64) -> Desc {
        self.0.load(word)
    }

    #[inline]
    fn store(self, slot: Slot<'_>, new: Desc, why: Why) {
        observed!(self.store(slot, new, why), counts => counts.stores.add(1));
    }

    #[inline(always)]
    fn edit(self, slots: Slots<'_>, f: impl FnMut(Desc) -> Step) -> Edited {
        // Two loops, both here: what the closure holds stays in registers.
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
        let n = slots.words.len() as u64;
        observed!(self.fill(slots, new), counts => counts.stores.add(n));
    }

    fn zero(self, page: &Page, pa: Pa, why: Why) {
        observed!(self.zero(page, pa, why));
    }

    unsafe fn write_ttbr0(self, value: u64) {
        // SAFETY: the caller's promise is this one's.
        unsafe { observed!(self.write_ttbr0(value)) }
    }
}

/// `mmu-check`'s adapter around the machine: it knows what is reported before, after, or as one with its execution.
fn reported<I: Instructions>(machine: I) -> Reported<I, Ears> {
    Reported::over(machine, Ears)
}

/// A switch is the core's: the task that is leaving may be in the middle of counting one of its own. So is what is sent to other
/// cores on the other side of a switch.
#[inline(always)]
fn count(op: Op, why: Why, counts: &Counts) {
    let counts = match why {
        Why::Switch | Why::Send => &task::core().interrupt_counts,
        _ => counts,
    };
    let times = match op {
        Op::Tlbi(batch) => batch.count,
        _ => 1,
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
