//! The last events of every core, to show them with a violation.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::event::Event;
use crate::ledger::MAX_CORES;

/// Events kept of each core: a busy one does not displace what another has done.
const KEPT: usize = 64;

/// The last judged events of each core. A run of stores is one.
#[derive(Default)]
pub(crate) struct Recent {
    /// How many were noted: their order among all cores.
    noted: u64,
    cores: [VecDeque<(u64, Event)>; MAX_CORES],
}

impl Recent {
    /// The newest. What no rule looks at is left out.
    pub fn note(&mut self, event: &Event) {
        if !event.what.is_judged() {
            return;
        }
        let kept = &mut self.cores[usize::from(event.core)];
        if kept.back_mut().is_some_and(|(_, run)| run.extend(event)) {
            return;
        }
        if kept.len() == KEPT {
            kept.pop_front();
        }
        self.noted += 1;
        kept.push_back((self.noted, *event));
    }

    /// All of them, oldest first.
    pub fn all(&self) -> Vec<Event> {
        let mut all: Vec<(u64, Event)> = self.cores.iter().flatten().copied().collect();
        all.sort_unstable_by_key(|(order, _)| *order);
        all.into_iter().map(|(_, event)| event).collect()
    }
}
