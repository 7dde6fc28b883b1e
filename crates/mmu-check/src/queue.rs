//! Queues that a barrier drains: bounded by what waits, and not by how long no barrier comes.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

/// Below this length nothing is looked for.
const SHORT: usize = 64;

/// Adds one. Where the length comes to a power of two, what is in the queue twice and what no longer `waits` leaves it, so
/// it has less than twice as many as wait, or [`SHORT`].
pub(crate) fn push<T: Copy + Ord>(queue: &mut Vec<T>, one: T, waits: impl Fn(&T) -> bool) {
    if queue.len() >= SHORT && queue.len().is_power_of_two() {
        let mut seen = BTreeSet::new();
        queue.retain(|known| waits(known) && seen.insert(*known));
    }
    queue.push(one);
}
