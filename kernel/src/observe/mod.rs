//! Everything that watches the kernel, in one place.
//!
//! | file | what |
//! |---|---|
//! | [`seam`] | which types stand between the kernel and the machine |
//! | [`access`] | uses of mappings, each reported before it is made |
//! | [`observer`] | the decorator of the instructions: counts, and reports |
//! | [`rules`] | `check=on`: the checker of `mmu-check`, and the trace for the host |
//! | [`ring`] | `trace=on`: the last events of each core |
//! | [`replay`] | what each policy owes for the calls that were made |
//!
//! All of them take the same events, [`mmu_check::Event`], and hang on one flag: while nobody
//! listens, a report is a load and a branch. Barriers, invalidations, stores to tables and TTBR0
//! are reported by the [`observer`]; what is no instruction is reported where it happens. These
//! places are listed in `docs/how-it-works.md`.
//!
//! To add a listener, add a bit to `Listening` and a line to `Ears::hear_with`. To change what is executed,
//! write a decorator and name it in [`seam`].
//!
//! # When a thing is reported
//! - *Before* it takes effect: what relies on a payment (an access, a frame given back, "done", a
//!   switch), a TLBI, an ISB, a write of TTBR0, an exception return.
//! - *After* it: a DSB, a DMB, an allocation.
//! - *As one* with it: a store to a table, and its zeroing.
//!
//! Then the events of two cores may come in any order without a rule being wrong about it. Interrupts
//! are masked from the report to the instruction, so that both are of one core. An exception entry can
//! only be reported late; the rules know.

pub mod access;
pub mod observer;
pub mod replay;
pub mod ring;
pub mod rules;
pub mod seam;

use core::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};

use mmu_check::hook::Listener;
use mmu_check::{Event, What};

use crate::arch::{registers, time};
use crate::task;

/// Who listens, a bit each. The one flag that everything but counting hangs on; each task has a copy.
static WATCHED: AtomicU8 = AtomicU8::new(0);
/// Where the next event stands among those of all cores: in the trace and in the rings.
static SEQUENCE: AtomicU32 = AtomicU32::new(0);

/// One of those who listen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Listening {
    Rules = 1,
    Ring = 2,
    Replay = 4,
}

impl Listening {
    /// Begins or ends to listen, on all cores. Returns whether it did before.
    fn set(self, on: bool) -> bool {
        let change = |flag: &AtomicU8| {
            if on {
                flag.fetch_or(self as u8, Relaxed)
            } else {
                flag.fetch_and(!(self as u8), Relaxed)
            }
        };
        for task in task::all() {
            change(&task.watched);
        }
        change(&WATCHED) & self as u8 != 0
    }

    fn is_on(self) -> bool {
        WATCHED.load(Relaxed) & self as u8 != 0
    }
}

/// Whether anybody listens.
#[inline(always)]
pub fn is_watched() -> bool {
    task::current().watched.load(Relaxed) & !task::IN_HANDLER != 0
}

/// Reports what happens, in the current task on this core. While nobody listens, the event is not even
/// made.
#[inline(always)]
pub fn report(what: impl FnOnce() -> What) {
    if task::current().watched.load(Relaxed) != 0 {
        hear(what);
    }
}

/// Out of line, and all that is no store by one instance of [`Ears::hear_with`].
#[cold]
#[inline(never)]
fn hear(what: impl FnOnce() -> What) {
    if is_watched() {
        Ears.hear(what());
    }
}

/// Those who listen, as `mmu-check`'s adapter sees them.
#[derive(Clone, Copy)]
struct Ears;

impl Listener for Ears {
    const NEW: Self = Ears;

    fn undisturbed<R>(self, f: impl FnOnce() -> R) -> R {
        registers::without_interrupts(f)
    }

    /// Does what other cores can see and reports it before any of them can report what it did because of
    /// it: reported afterwards, a link could come behind the descriptor that another core stored through it.
    fn hear_with(self, act: impl FnOnce() -> What) {
        // The event keeps its core, and its place in the order.
        registers::without_interrupts(|| {
            let act = || {
                let what = act();
                // What the rules are not given has no place in their order.
                let place = u32::from(!rules::is_early(&what));
                Event {
                    sequence: SEQUENCE.fetch_add(place, Relaxed),
                    time: time::now(),
                    core: task::core().index,
                    task: task::current().id,
                    what,
                }
            };
            let event = if Listening::Rules.is_on() {
                rules::hear_with(act)
            } else {
                act()
            };
            if Listening::Ring.is_on() {
                ring::hear(event);
            }
            if Listening::Replay.is_on() {
                replay::hear(&event.what);
            }
        });
    }
}
