//! The tasks of a stress run, created before its window.

use alloc::vec::Vec;

use lazy_mmu::Policy;

use super::control::StopFlag;
use super::{Done, Failure, Work, failure};
use crate::sched::{self, Join};

/// Creates the tasks. They wait to be started.
///
/// # Errors
/// One cannot be created. Those that could are run, for a round at most, and joined.
pub(super) fn tasks(
    policy: Policy,
    count: usize,
    stop: &StopFlag,
    work: impl Fn(usize) -> Work,
) -> Result<Vec<Join<Done>>, Failure> {
    let mut joins = Vec::with_capacity(count);
    for number in 0..count {
        let (work, flag) = (work(number), stop.clone());
        match sched::spawn_held(policy, move || work(&flag)) {
            Ok(join) => joins.push(join),
            Err(error) => {
                stop.set();
                joins.iter().for_each(Join::start);
                for join in joins {
                    join.join().value?;
                }
                return Err(failure!("task {number}: {error}"));
            }
        }
    }
    Ok(joins)
}
