//! `trace=on`: the last events of each core, for the exception report and for a check that failed.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use mmu_check::Event;

use super::Listening;
use crate::base::MAX_CORES;
use crate::println;
use crate::task;

/// How many events a ring holds: so many that they show what led to a fault, and that a hazard's fit, whose record is judged.
pub(crate) const RING_LEN: usize = 1024;
/// How many are printed when a check has failed.
const PRINTED: usize = 32;

static RINGS: [Ring; MAX_CORES] = [const { Ring::new() }; MAX_CORES];

/// One core's. Written by that core alone, with interrupts masked; a run of stores is one event.
struct Ring {
    /// How many there have been.
    next: AtomicU32,
    slots: [[AtomicU64; Event::WORDS]; RING_LEN],
}

impl Ring {
    const fn new() -> Self {
        Self {
            next: AtomicU32::new(0),
            slots: [const { [const { AtomicU64::new(0) }; Event::WORDS] }; RING_LEN],
        }
    }

    fn push(&self, event: Event) {
        let next = self.next.load(Relaxed);
        let last = next.wrapping_sub(1);
        if let Some(mut run) = self.get(last)
            && run.extend(&event)
        {
            return self.put(last, run);
        }
        self.put(next, event);
        self.next.store(next.wrapping_add(1), Relaxed);
    }

    fn put(&self, index: u32, event: Event) {
        let slot = &self.slots[index as usize % RING_LEN];
        for (word, value) in slot.iter().zip(event.to_words()) {
            word.store(value, Relaxed);
        }
    }

    fn get(&self, index: u32) -> Option<Event> {
        let slot = &self.slots[index as usize % RING_LEN];
        Event::from_words(slot.each_ref().map(|word| word.load(Relaxed)))
    }
}

/// Turns recording on or off, for all cores. Returns whether it was on.
pub fn set_recording(on: bool) -> bool {
    Listening::Ring.set(on)
}

/// How many events core `core` has recorded since the start.
pub fn len(core: u8) -> u32 {
    RINGS[usize::from(core)].next.load(Relaxed)
}

/// Keeps an event of this core. Interrupts are masked.
pub(super) fn hear(event: Event) {
    RINGS[usize::from(event.core)].push(event);
}

/// The last `count` events of core `core`, oldest first.
pub fn last(core: u8, count: usize) -> impl Iterator<Item = Event> {
    let ring = &RINGS[usize::from(core)];
    let next = ring.next.load(Relaxed);
    let count = (count.min(RING_LEN) as u32).min(next);
    (next - count..next).filter_map(|index| ring.get(index))
}

/// Prints the last events of this core, for a check that failed.
pub fn print_last() {
    let core = task::core().index;
    println!("the last events of core {core}:");
    for event in last(core, PRINTED) {
        println!("  {event}");
    }
}
