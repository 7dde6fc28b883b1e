//! `preempt`: the [scenario](crate::workloads::scenario) on many tasks, preempted by the timer at short intervals and interrupted by
//! handlers that work on page tables.
//!
//! Preemption, migration and handlers must not change what a task's calls do: every run of the scenario
//! leaves the states, and pays the pairs, of one that nobody disturbed.

use alloc::boxed::Box;
use alloc::sync::Arc;

use lazy_mmu::Policy;

use super::{Done, Failure, StopFlag, Stress};
use crate::mode;
use crate::report::{Row, Run, Size};
use crate::workloads::scenario::Scenario;
use crate::workloads::trace::{self, Trace};

/// In one of so many rounds a task yields. A yield ends its slice, and the next one is a whole one: with a yield in every
/// round or two the timer would never come, and no task would be preempted.
const ROUNDS_PER_YIELD: u64 = 32;

pub(in crate::workloads) fn run(
    policy: Policy,
    size: Size,
    stress: Stress,
) -> Result<Row, Failure> {
    mode::set_policy(policy)?;
    let undisturbed = Arc::new(Scenario::new()?.run(0, false)?);
    super::run(Run::Preempt, policy, size, stress, |number| {
        let undisturbed = Arc::clone(&undisturbed);
        Box::new(move |stop| repeat(policy, &undisturbed, number, stop))
    })
}

/// One task: runs the scenario until the stop flag is set, at least once, and compares each run.
fn repeat(policy: Policy, undisturbed: &Trace, number: usize, stop: &StopFlag) -> Done {
    let scenario = Scenario::new()?;
    let mut rounds = 0;
    while rounds == 0 || !stop.is_set() {
        let salt = (number as u64) << 32 | rounds;
        let trace = scenario.run(salt, rounds % ROUNDS_PER_YIELD == 1)?;
        trace::compare(policy, &trace, undisturbed)?;
        rounds += 1;
        stop.count_round();
    }
    Ok(("scenario", rounds))
}
