//! Checks of a row's counts.

use alloc::vec::Vec;

use lazy_mmu::Policy;
use mmu_check::replay::Replay;

use super::{Failure, failure};
use crate::report::Row;
use crate::task::Tally;

/// Checks that every pair has its DSB and its ISB, and that both are among all DSBs and ISBs. `whose` counts they are
/// stands in the message.
///
/// This needs neither the witness nor the rules: a lost count, or a barrier left out of a pair, makes the two numbers differ.
///
/// # Errors
/// A barrier is missing.
pub(super) fn check_pairs(whose: &str, tally: Tally) -> Result<(), Failure> {
    let Tally {
        pairs, pair_isbs, ..
    } = tally;
    let [dsb, isb, ..] = tally.totals();
    if pairs == pair_isbs && pairs <= dsb && pairs <= isb {
        return Ok(());
    }
    Err(failure!(
        "{whose} has {pairs} DSBs of pairs and {pair_isbs} ISBs, of {dsb} and {isb} in all: a pair has one of each"
    ))
}

/// Checks that a workload executed the same barriers and stores with nothing recorded as when it was recorded.
///
/// How many TLBIs it takes, and how far they reach, follows from how the frames lie, and the second run finds the allocator's lists as
/// the first has left them.
///
/// # Errors
/// The two differ.
pub(super) fn check_both(recorded: Tally, bare: Tally) -> Result<(), Failure> {
    let same = |tally: Tally| {
        let [dsb, isb, dmb, _] = tally.totals();
        [tally.stores, tally.pairs, dsb, isb, dmb]
    };
    let (recorded, bare) = (same(recorded), same(bare));
    if recorded == bare {
        return Ok(());
    }
    Err(failure!(
        "stores, pairs, DSBs, ISBs and DMBs are {bare:?} with nothing recorded, and {recorded:?} when it was recorded"
    ))
}

/// Checks that as many pairs were counted as the policy's table and the closed form give for the
/// recorded calls.
///
/// # Errors
/// One of the two gives another number.
pub(super) fn check_replay(counted: u64, policy: Policy, replay: &Replay) -> Result<(), Failure> {
    let by_table = replay.pairs(policy);
    if counted != by_table {
        return Err(failure!(
            "{counted} pairs were counted, the {policy} table gives {by_table} for the same calls"
        ));
    }
    let by_form = replay.shape().pairs(policy);
    if counted != by_form {
        return Err(failure!(
            "{counted} pairs were counted, the closed form gives {by_form} for {:?}",
            replay.shape()
        ));
    }
    Ok(())
}

/// Checks that the rows of each workload made the same calls under every policy: only then can
/// their counts be compared.
///
/// # Errors
/// The first two that differ.
pub fn check_same_work(rows: &[Row]) -> Result<(), Failure> {
    let calls = |row: &Row| {
        row.replay
            .as_ref()
            .map(|replay| (replay.calls(), replay.hash()))
    };
    let mut seen: Vec<&Row> = Vec::new();
    for row in rows.iter().filter(|row| row.replay.is_some()) {
        match seen.iter().find(|other| other.run == row.run) {
            None => seen.push(row),
            Some(first) if calls(first) == calls(row) => {}
            Some(first) => {
                return Err(failure!(
                    "{} made other calls under {} than under {}",
                    row.run,
                    row.policy,
                    first.policy
                ));
            }
        }
    }
    Ok(())
}
