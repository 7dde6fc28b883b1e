//! `mixed`: zap, remap, vmap and protect at the same time, on many tasks that move between cores.
//!
//! Each task repeats one of the workloads of one task, with all its checks. Their measured regions are part of
//! the run's one window.

use alloc::boxed::Box;

use lazy_mmu::Policy;

use super::{Done, Failure, StopFlag, Stress};
use crate::report::{Row, Run, Size};
use crate::workloads::look::Look;
use crate::workloads::measure::Measured;
use crate::workloads::memory::{Memory, check_frames};
use crate::workloads::run_workload;

/// What the tasks do, in turn.
const KINDS: [Run; 5] = [
    Run::Vmap,
    Run::RemapKernel,
    Run::RemapTask,
    Run::Zap,
    Run::Protect,
];

pub(in crate::workloads) fn run(
    policy: Policy,
    size: Size,
    stress: Stress,
) -> Result<Row, Failure> {
    let before = Memory::now();
    let row = super::run(Run::Mixed, policy, size, stress, |number| {
        let kind = KINDS[number % KINDS.len()];
        // No two tasks have their frames in the same order.
        let size = Size {
            seed: size.seed.wrapping_add(number as u64),
            ..size
        };
        Box::new(move |stop| repeat(kind, policy, size, stop))
    })?;
    check_frames(before)?;
    Ok(row)
}

/// One task: runs the workload until the stop flag is set, at least once.
fn repeat(kind: Run, policy: Policy, size: Size, stop: &StopFlag) -> Done {
    let mut rounds = 0;
    loop {
        let mut row = Measured::new(kind, policy, size, Look::OfMany);
        run_workload(&mut row)?;
        rounds += 1;
        stop.count_round();
        if stop.is_set() {
            return Ok((kind.name(), rounds));
        }
    }
}
