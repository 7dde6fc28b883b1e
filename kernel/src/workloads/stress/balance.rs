//! What the counts of a stress run must add up to.
//!
//! Every barrier was executed by a task, by a core's handlers and switches, or by an idle task: the three make the
//! machine. And how many barriers cores and idle tasks execute follows from what has happened, which is counted where it
//! happens. So a barrier that is left out, or executed without a reason, shows as a difference.

use super::account::{Account, Happened};
use super::{Failure, Outcome, failure};
use crate::machine::gic;
use crate::task::Tally;
use crate::workloads::counts::check_pairs;

/// Checks the pairs of every task and of the cores, and both sums.
///
/// # Errors
/// The first that is not right.
pub(super) fn check(outcome: &Outcome) -> Result<(), Failure> {
    let account = &outcome.account;
    for end in &outcome.ends {
        check_pairs(&alloc::format!("task {}", end.id), end.tally)?;
    }
    check_pairs("the task that boots", account.boot)?;
    check_pairs("the cores' record", account.cores)?;
    check_pairs("the machine", account.machine)?;
    let tasks = outcome.ends.iter().map(|end| end.tally);
    let sum = tasks.fold(account.boot, |sum, tally| sum + tally) + account.cores + account.idle;
    if sum != account.machine {
        return Err(failure!(
            "tasks, idle tasks and interrupt records make {sum:?}, the machine {:?}",
            account.machine
        ));
    }
    check_owed(account)
}

/// Checks that cores and idle tasks have executed what they owe for what has happened.
fn check_owed(account: &Account) -> Result<(), Failure> {
    let Account {
        cores,
        idle,
        happened,
        ..
    } = account;
    let Happened {
        switches,
        acknowledged,
        served,
        sent,
        woken,
    } = *happened;
    // A GICv3 is acknowledged and sent to by system registers, a GICv2 by loads and stores.
    let (dmbs, dsbs, isbs) = match gic::version() {
        Some(3) => (0, acknowledged, sent),
        _ => (acknowledged, 0, 0),
    };
    // A handler's pair has a DSB and an ISB; each of its invalidations, of one page, two DSBs, one TLBI
    // and an ISB; each of its address translations an ISB. A switch has a DSB and an ISB.
    let Tally {
        pairs,
        translations,
        ..
    } = *cores;
    let [dsb, isb, dmb, tlbi] = cores.totals();
    let [idle_dsb, idle_isb, idle_dmb, idle_tlbi] = idle.totals();
    let owed_dsbs = pairs + 2 * tlbi + switches + dsbs;
    let owed_isbs = pairs + tlbi + translations + switches + served + isbs;
    let others = idle_dsb + idle_dmb + idle_tlbi;
    for (name, executed, owed) in [
        ("DMBs", dmb, dmbs),
        ("DSBs", dsb, owed_dsbs),
        ("ISBs", isb, owed_isbs),
        ("ISBs in idle tasks", idle_isb, woken),
        ("other barriers in idle tasks", others, 0),
    ] {
        if executed != owed {
            return Err(failure!(
                "the cores have executed {executed} {name} and owe {owed}: {happened:?}, {cores:?}"
            ));
        }
    }
    Ok(())
}
