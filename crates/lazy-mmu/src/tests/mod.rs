//! The proofs. They are inside the crate because they start from states that no sequence of calls reaches.
//!
//! - [`exhaustive`]: each call from each state, with an interrupt at each step inside it, against
//!   [`tables`], which is written from the contracts' tables and shares nothing with the code.
//! - [`interleave`]: two tasks on two cores, every schedule, the crate's own code.
//! - [`pairs`]: what whole programs cost under each policy.

use crate::{Hook, Misuse};

mod exhaustive;
mod interleave;
mod pairs;
mod tables;

/// What an observer outside of the crate notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Event {
    Publish,
    Misuse(Misuse),
    /// A hook, and what one sees inside: the mode, the two counts, the pending flag.
    Hook(Hook, Seen),
}

/// What can be asked about a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Seen {
    in_lazy_mmu_mode: bool,
    count: u8,
    pause_count: u8,
    pending: bool,
    irqs: u8,
}

/// Events in order, each with whether an interrupt handler was the cause. No heap: there are many millions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Log {
    events: [Option<(bool, Event)>; 12],
    len: usize,
}

impl Log {
    const EMPTY: Log = Log {
        events: [None; 12],
        len: 0,
    };

    fn push(&mut self, in_handler: bool, event: Event) {
        self.events[self.len] = Some((in_handler, event));
        self.len += 1;
    }
}

/// What is done to a task, by itself or by an interrupt handler on top of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Act {
    Call(crate::Call),
    /// A store that owes.
    Store,
}
