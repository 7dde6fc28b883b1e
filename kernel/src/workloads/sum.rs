//! What the counts of a machine's window must add up to.
//!
//! Tasks, cores' records and the tasks that cores idle in are the machine: every barrier belongs to one
//! of them. And what belongs to no task's work follows from what has happened, which is counted where it
//! happens: a barrier that is lost, or that nobody asked for, shows in the sum.

use core::ops::Sub;

use super::measure::check_barriers;
use super::{Failure, failure};
use crate::machine::gic;
use crate::task::{self, Count, Tally};

/// What a core owes barriers for besides its handlers' work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Happened {
    /// Switches of all tasks, of those that cores idle in too.
    switches: u64,
    /// Interrupts acknowledged, those that were over by then among them.
    acknowledged: u64,
    /// Interrupts that the controller gave a number of.
    served: u64,
    /// Times that a core has sent others an interrupt.
    sent: u64,
    /// Times that an idle core has woken.
    woken: u64,
}

impl Happened {
    /// Since the machine was started. Exact while no other core does anything.
    pub(super) fn so_far() -> Self {
        let tasks = |count: fn(&'static task::Stats) -> &'static Count| {
            task::all().map(|task| count(&task.stats).get()).sum()
        };
        let cores = |count: fn(&'static task::Core) -> &'static Count| {
            task::cores().iter().map(|core| count(core).get()).sum()
        };
        Self {
            switches: tasks(|stats| &stats.switches),
            acknowledged: tasks(|stats| &stats.interrupts),
            served: cores(|core| &core.served),
            sent: cores(|core| &core.sent),
            woken: cores(|core| &core.woken),
        }
    }
}

impl Sub for Happened {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            switches: self.switches - before.switches,
            acknowledged: self.acknowledged - before.acknowledged,
            served: self.served - before.served,
            sent: self.sent - before.sent,
            woken: self.woken - before.woken,
        }
    }
}

/// The counts of a window, or since the start, by whose they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    /// The cores' records: handlers, switches, what is sent.
    pub cores: Tally,
    /// The tasks that cores idle in.
    pub idle: Tally,
    /// All of it.
    pub machine: Tally,
}

impl Parts {
    /// As [`Happened::so_far`].
    pub(super) fn so_far() -> Self {
        let sum = |sum, tally| sum + tally;
        let cores = task::cores().iter();
        let records = cores.clone().map(|core| core.interrupt_counts.tally());
        let idle = cores.map(|core| core.idle_task().counts.tally());
        Self {
            cores: records.fold(Tally::default(), sum),
            idle: idle.fold(Tally::default(), sum),
            machine: task::machine_tally(),
        }
    }
}

impl Sub for Parts {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            cores: self.cores - before.cores,
            idle: self.idle - before.idle,
            machine: self.machine - before.machine,
        }
    }
}

/// Checks that `tasks` and the other parts make the machine, and that cores and idle tasks have executed
/// what they owe for what `happened`.
///
/// # Errors
/// The first sum that is not right.
pub(super) fn check(tasks: Tally, parts: Parts, happened: Happened) -> Result<(), Failure> {
    let Parts {
        cores,
        idle,
        machine,
    } = parts;
    check_barriers("the cores' record", cores)?;
    check_barriers("the machine", machine)?;
    let sum = tasks + cores + idle;
    if sum != machine {
        return Err(failure!(
            "tasks, idle tasks and interrupt records make {sum:?}, the machine {machine:?}"
        ));
    }
    let Happened {
        switches,
        acknowledged,
        served,
        sent,
        woken,
    } = happened;
    let (dmbs, dsbs, isbs) = match gic::version() {
        Some(3) => (0, acknowledged, sent),
        _ => (acknowledged, 0, 0),
    };
    // A handler's pair has a DSB and an ISB; each of its invalidations, of one page, two DSBs, one TLBI
    // and an ISB; each of its questions to the MMU an ISB. A switch has one of each.
    let Tally {
        pairs,
        tlbi,
        translations,
        ..
    } = cores;
    for (name, executed, owed) in [
        ("DMBs", cores.dmb, dmbs),
        ("DSBs", cores.dsb, pairs + 2 * tlbi + switches + dsbs),
        (
            "ISBs",
            cores.isb,
            pairs + tlbi + translations + switches + served + isbs,
        ),
        ("ISBs in idle tasks", idle.isb, woken),
        (
            "other barriers in idle tasks",
            idle.dsb + idle.dmb + idle.tlbi,
            0,
        ),
    ] {
        if executed != owed {
            return Err(failure!(
                "the cores have executed {executed} {name} and owe {owed}: {happened:?}, {cores:?}"
            ));
        }
    }
    Ok(())
}
