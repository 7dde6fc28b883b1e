//! What a run of the [scenario](super::scenario) left, step by step: a run that was disturbed must equal one that was not.

use alloc::vec::Vec;

use lazy_mmu::{Policy, State};

use super::{Failure, failure, handler};
use crate::task;

/// The task's states after each step, and the pairs that the run paid.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Trace {
    states: Vec<State>,
    pub pairs: u64,
}

impl Trace {
    /// An empty one, with memory for all steps: nothing is allocated between the calls.
    pub(super) fn new() -> Self {
        Self {
            states: Vec::with_capacity(16),
            pairs: 0,
        }
    }

    /// Records the current task's state.
    pub(super) fn record(&mut self) {
        self.states.push(task::current().mmu.state());
    }

    /// The sum of the nesting counts over all steps.
    fn counts(&self) -> u64 {
        self.states.iter().map(|state| u64::from(state.count)).sum()
    }
}

/// Checks that the disturbed run did what the undisturbed one did.
///
/// Under `v3` there is one difference that is right. A handler's section that falls into the task's first `enable` leaves the task's
/// section open and not enabled. Its stores then pay at once: that may take more pairs, and no debt is lost.
pub(super) fn compare(policy: Policy, trace: &Trace, undisturbed: &Trace) -> Result<(), Failure> {
    if trace == undisturbed {
        return Ok(());
    }
    let in_enable = handler::done()?.in_enable > 0;
    if policy == Policy::V3
        && in_enable
        && trace.counts() == undisturbed.counts()
        && trace.pairs >= undisturbed.pairs
    {
        return Ok(());
    }
    Err(failure!(
        "undisturbed it pays {} pairs and leaves {:?}; now {} and {:?}",
        undisturbed.pairs,
        undisturbed.states,
        trace.pairs,
        trace.states
    ))
}
