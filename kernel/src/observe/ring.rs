//! `trace=on`: the last events of each core, for the exception report and for a check that failed.

use mmu_check::Event;
use mmu_check::event::Ring;

use super::Listening;
use crate::base::MAX_CORES;
use crate::println;
use crate::task;

/// How many events a ring holds: so many that they show what led to a fault, and that a hazard's fit, whose record is judged.
pub(crate) const RING_LEN: usize = 1024;
/// How many are printed when a check has failed.
const PRINTED: usize = 32;

/// Each core's, written by that core alone.
static RINGS: [Ring<RING_LEN>; MAX_CORES] = [const { Ring::new() }; MAX_CORES];

/// Turns recording on or off, for all cores. Returns whether it was on.
pub fn set_recording(on: bool) -> bool {
    Listening::Ring.set(on)
}

/// How many events core `core` has recorded since the start.
pub fn len(core: u8) -> u32 {
    RINGS[usize::from(core)].count()
}

/// Keeps an event of this core. Interrupts are masked.
pub(super) fn hear(event: Event) {
    RINGS[usize::from(event.core)].push(event);
}

/// The last `count` events of core `core`, oldest first.
pub fn last(core: u8, count: usize) -> impl Iterator<Item = Event> {
    RINGS[usize::from(core)].last(count)
}

/// Prints the last events of this core, for a check that failed.
pub fn print_last() {
    let core = task::core().index;
    println!("the last events of core {core}:");
    for event in last(core, PRINTED) {
        println!("  {event}");
    }
}
