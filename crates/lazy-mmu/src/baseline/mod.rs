//! What the contracts are compared with: what arm64 did before, and what one gets without nesting. Not for use.
//!
//! | | a store that owes, in a section | an inner exit |
//! |---|---|---|
//! | [`Eager`] | pays at once | pays nothing: nothing is pending |
//! | [`Flat`] | is deferred, while the one flag is on | pays, and turns the flag off |
//! | [`Reenter`] | is deferred | pays nothing: a callee that runs sections of its own leaves the mode first |
//!
//! They count the sections that are open. The rules of [`Eager`] and [`Flat`] do not use the count; a task's end and
//! [`set_policy`](crate::TaskMmu::set_policy) do.

mod eager;
mod flat;
pub(crate) mod reenter;

pub use eager::Eager;
pub use flat::Flat;
pub use reenter::Reenter;

use crate::mode::Mode;
use crate::{Contract, Cpu, Slot};

/// Notes that a section is open. The rules themselves have no count, so nothing of theirs is broken where this one
/// ends: it stays there, and the task's end reports it.
#[inline]
fn opened<K: Contract, C: Cpu, S: Slot>(mode: &Mode<K, C, S>) {
    mode.set_count(mode.count().saturating_add(1));
}

/// Notes that one has ended. Of 255 or more nobody knows how many are left.
#[inline]
fn closed<K: Contract, C: Cpu, S: Slot>(mode: &Mode<K, C, S>) {
    let count = mode.count();
    if count < u8::MAX {
        mode.set_count(count.saturating_sub(1));
    }
}
