//! The last events of one core.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use super::Event;

/// The last `LEN` events of one core, in words that are each an atomic of its own: for a report that must take no lock.
///
/// One core writes, with interrupts masked, and others may read meanwhile: what they find in a slot that is being written may be of
/// two events. A run of stores that go on as they began is one event ([`Event::extend`]).
///
/// ```
/// use mmu_check::event::{Event, Ring, What};
///
/// static RING: Ring<4> = Ring::new();
/// for sequence in 0..6 {
///     RING.push(Event { sequence, time: 0, core: 0, task: 0, what: What::Isb });
/// }
/// let last: Vec<_> = RING.last(10).map(|event| event.sequence).collect();
/// assert_eq!((RING.count(), last), (6, vec![2, 3, 4, 5]));
/// ```
#[derive(Debug)]
pub struct Ring<const LEN: usize> {
    /// How many there have been.
    next: AtomicU32,
    slots: [[AtomicU64; Event::WORDS]; LEN],
}

impl<const LEN: usize> Ring<LEN> {
    /// Without an event.
    pub const fn new() -> Self {
        const { assert!(LEN > 0, "a ring has room for an event") };
        Self {
            next: AtomicU32::new(0),
            slots: [const { [const { AtomicU64::new(0) }; Event::WORDS] }; LEN],
        }
    }

    /// How many events there have been. It wraps after 2^32.
    pub fn count(&self) -> u32 {
        self.next.load(Relaxed)
    }

    /// Keeps an event, as part of the last one's run if it continues that.
    pub fn push(&self, event: Event) {
        let next = self.count();
        let last = next.wrapping_sub(1);
        if let Some(mut run) = self.get(last)
            && run.extend(&event)
        {
            return self.put(last, run);
        }
        self.put(next, event);
        self.next.store(next.wrapping_add(1), Relaxed);
    }

    /// The last `count` events that are still there, oldest first.
    pub fn last(&self, count: usize) -> impl Iterator<Item = Event> + '_ {
        let next = self.count();
        let kept = u32::try_from(count.min(LEN)).unwrap_or(u32::MAX).min(next);
        (next - kept..next).filter_map(|index| self.get(index))
    }

    fn put(&self, index: u32, event: Event) {
        let slot = &self.slots[index as usize % LEN];
        for (word, value) in slot.iter().zip(event.to_words()) {
            word.store(value, Relaxed);
        }
    }

    fn get(&self, index: u32) -> Option<Event> {
        let slot = &self.slots[index as usize % LEN];
        Event::from_words(slot.each_ref().map(|word| word.load(Relaxed)))
    }
}

impl<const LEN: usize> Default for Ring<LEN> {
    fn default() -> Self {
        Self::new()
    }
}
