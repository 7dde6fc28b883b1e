//! The proofs. They are inside the crate because they start from states that no sequence of calls reaches.
//!
//! - [`exhaustive`]: each call from each state, with an interrupt at each step inside it, against
//!   [`tables`], which is written from the contracts' tables and shares nothing with the code.
//! - [`interleave`]: two tasks on two cores, every schedule of the programs there, the crate's own code.
//! - [`pairs`]: what whole programs cost under each policy.
//! - [`seed`]: the C of both contracts, line by line, with call-outs that act.

use crate::{Hook, Misuse};

mod exhaustive;
mod interleave;
mod pairs;
mod seed;
mod tables;

/// What an observer outside of the crate notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Event {
    Publish,
    /// The barriers of an invalidation.
    Invalidate,
    Misuse(Misuse),
    Hook(Hook),
}

/// What can be read of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Seen {
    in_lazy_mmu_mode: bool,
    count: u8,
    pause_count: u8,
    pending: bool,
    irqs: u8,
}

/// Events in order, each with whether an interrupt handler was the cause and what one sees at that moment.
/// No heap: there are many millions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Log {
    events: [Option<(bool, Event, Seen)>; 12],
    len: usize,
}

impl Log {
    const EMPTY: Log = Log {
        events: [None; 12],
        len: 0,
    };

    fn push(&mut self, in_handler: bool, event: Event, seen: Seen) {
        self.events[self.len] = Some((in_handler, event, seen));
        self.len += 1;
    }
}

/// What is done to a task, by itself or by an interrupt handler on top of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Act {
    Call(crate::Call),
    /// A store that owes.
    Store,
    /// An invalidation, which settles what is pending.
    Invalidate,
    /// These, beneath a caller that may be in a section.
    Reenter(&'static [Act]),
}
