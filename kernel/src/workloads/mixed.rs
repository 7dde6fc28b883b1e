//! `mixed`: zap, remap, vmap and protect at the same time, on many tasks that move between cores.
//!
//! Each is the single-task workload as it is, checks and all, over and over; their measured regions
//! are the machine's one window here.

use alloc::boxed::Box;

use lazy_mmu::Policy;

use super::crowd::{self, Crowd, Done, Enough};
use super::{Failure, Measured, failure};
use crate::mem::{frames, services};
use crate::report::{Row, Run, Size};

/// What the tasks do, in turn.
const KINDS: [Run; 5] = [
    Run::Vmap,
    Run::RemapKernel,
    Run::RemapTask,
    Run::Zap,
    Run::Protect,
];

pub(super) fn run(policy: Policy, size: Size, crowd: Crowd) -> Result<Row, Failure> {
    let (free, tables) = (frames::free_count(), services::table_count());
    let row = crowd::run(Run::Mixed, policy, size, crowd, |number| {
        let kind = KINDS[number % KINDS.len()];
        // No two tasks have their frames in the same order.
        let size = Size {
            seed: size.seed.wrapping_add(number as u64),
            ..size
        };
        Box::new(move |enough| again_and_again(kind, policy, size, enough))
    })?;
    let lost = free as i64 - frames::free_count() as i64;
    // Tables of the kernel's half stay for ever.
    let linked = services::table_count() as i64 - tables as i64;
    if lost == linked {
        Ok(row)
    } else {
        Err(failure!(
            "{lost} frames were taken and not given back, {linked} tables account for them"
        ))
    }
}

fn again_and_again(kind: Run, policy: Policy, size: Size, enough: &Enough) -> Done {
    let mut rounds = 0;
    loop {
        let mut row = Measured::of_task(kind, policy, size);
        super::run_workload(&mut row)?;
        rounds += 1;
        enough.count_round();
        if enough.is_reached() {
            return Ok((kind.name(), rounds));
        }
    }
}
