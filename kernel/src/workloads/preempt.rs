//! `preempt`: one shape of nested sections on many tasks, preempted by the timer at short intervals
//! and interrupted by handlers that work on page tables.
//!
//! Preemption, migration and handlers must not change what a task's calls do: every run of the
//! shape leaves the states, and pays the pairs, of one that nobody disturbed.

use alloc::boxed::Box;
use alloc::sync::Arc;

use lazy_mmu::Policy;

use super::crowd::{self, Crowd, Done, Enough};
use super::scenario::{Stage, Trace};
use super::{Failure, failure, handler};
use crate::mode;
use crate::report::{Row, Run, Size};

pub(super) fn run(policy: Policy, size: Size, crowd: Crowd) -> Result<Row, Failure> {
    mode::set_policy(policy).map_err(|error| failure!("{error}"))?;
    let stage = Stage::new()?;
    let undisturbed = Arc::new(stage.play(0, false)?);
    stage.leave();
    crowd::run(Run::Preempt, policy, size, crowd, |number| {
        let undisturbed = Arc::clone(&undisturbed);
        Box::new(move |enough| again_and_again(policy, &undisturbed, number, enough))
    })
}

/// In one of so many rounds a task yields. A yield ends its slice, and the next one begins anew: with one in every round or two
/// the timer would never come, and nobody be preempted.
const ROUNDS_PER_YIELD: u64 = 32;

fn again_and_again(policy: Policy, undisturbed: &Trace, number: usize, enough: &Enough) -> Done {
    let stage = Stage::new()?;
    let mut rounds = 0;
    while rounds == 0 || !enough.is_reached() {
        let trace = stage.play(
            (number as u64) << 32 | rounds,
            rounds % ROUNDS_PER_YIELD == 1,
        )?;
        compare(policy, &trace, undisturbed)?;
        rounds += 1;
        enough.count_round();
    }
    stage.leave();
    Ok(("scenario", rounds))
}

/// The disturbed run is the undisturbed one.
///
/// Under `v3` a handler's section that falls into the first `enable` leaves the task's section
/// open and not enabled: it pays at once, which may take more pairs, and nothing is lost.
pub(super) fn compare(policy: Policy, trace: &Trace, undisturbed: &Trace) -> Result<(), Failure> {
    if trace == undisturbed {
        return Ok(());
    }
    let in_enable = handler::done()?.in_enable > 0;
    let counts = |trace: &Trace| trace.states.iter().map(|state| state.count).sum::<u8>();
    if policy == Policy::V3
        && in_enable
        && counts(trace) == counts(undisturbed)
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
