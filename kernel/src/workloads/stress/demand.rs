//! What a stress run must have shown, by its number of tasks, the cores and the policy.
//!
//! A run in which no task was ever stopped inside a section shows nothing, and must not end well. What may be demanded follows from
//! which task can be stopped by which. Every task's slice ends in a timer interrupt, whatever other tasks there are. The task that it
//! stops leaves its core only if another is ready. With more tasks than cores one always is, and the stopped task goes on wherever a
//! core is free first. With as many tasks as cores, or fewer, the only other one is the controlling task, which sleeps for 2 ms at a
//! time. Which task it stops, where that task stands then, and whether it comes back to its core, is chance.
//!
//! | inside a section | one core | cores ≥ tasks | 2 ≤ cores < tasks |
//! |---|---|---|---|
//! | an interrupt; a handler's page | sure | sure | sure |
//! | a preemption | sure with 2 tasks or more, else chance | chance | sure |
//! | a debt carried across a switch, but under `eager`, which has none | as a preemption | chance | sure |
//! | a migration | never | chance | sure |
//!
//! What is sure and was not seen once is a failure. What was seen less often than [`WANTED`] is reported, and is no failure: how often
//! a slice ends inside a section is a matter of luck, and of how busy the host is.

use alloc::format;
use alloc::string::String;

use lazy_mmu::Policy;

use super::{Failure, failure};
use crate::task::Figures;

/// A run may end as soon as each thing has happened this often.
const WANTED: u64 = 20;

/// After so many chances a run waits no longer for what is left to chance. An interrupt of a task is one chance.
const CHANCES: u64 = 2_000;
/// The same for what is sure.
const LAST_CHANCE: u64 = 10 * CHANCES;
/// A nap of the controlling task counts for at least so many chances: each ends in an interrupt. The tasks' own interrupts may be far
/// fewer, because a task that yields begins a new slice each time.
const CHANCES_OF_NAP: u64 = 4;

/// The controlling task's sleep so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Naps {
    /// How often it has slept. Only this counts for what is sure: it grows with the work that was done, whether the clock counts
    /// instructions or the host is busy.
    pub slept: u64,
    /// How often it could have slept in the time that has passed. On a busy host this is more, and ends the wait for what is left to
    /// chance sooner.
    pub passed: u64,
}

/// Whether something can happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Odds {
    Never,
    Chance,
    Sure,
}

/// The odds of everything that a run has to show.
#[derive(Clone, Copy, Debug)]
pub(in crate::workloads) struct Demands {
    preempted: Odds,
    migrated: Odds,
    carried: Odds,
}

/// One thing that a run has to show: what it is, its odds, and how often it was seen.
struct Item {
    what: &'static str,
    odds: Odds,
    seen: u64,
}

impl Demands {
    /// By the table above, for `tasks` tasks besides the controlling one, on `cores` cores.
    pub(in crate::workloads) fn of(policy: Policy, tasks: usize, cores: usize) -> Self {
        let preempted = if tasks > cores {
            Odds::Sure
        } else {
            Odds::Chance
        };
        Self {
            preempted,
            migrated: if cores == 1 { Odds::Never } else { preempted },
            carried: if policy == Policy::Eager {
                Odds::Never
            } else {
                preempted
            },
        }
    }

    /// Whether a debt is carried across a switch for sure.
    pub(in crate::workloads) fn carries(&self) -> bool {
        self.carried == Odds::Sure
    }

    /// What can happen, and how often it did: `figures` are the tasks', `handled` are pages that interrupt handlers used.
    fn seen(self, figures: Figures, handled: u64) -> impl Iterator<Item = Item> {
        let item = |what, odds, seen| Item { what, odds, seen };
        [
            item(
                "preemption inside a section",
                self.preempted,
                figures.preemptions_inside,
            ),
            item(
                "interrupt inside a section",
                Odds::Sure,
                figures.interrupts_inside,
            ),
            item(
                "migration inside a section",
                self.migrated,
                figures.migrations_inside,
            ),
            item(
                "debt carried across a switch",
                self.carried,
                figures.carried,
            ),
            item(
                "page mapped, used and unmapped by a handler",
                Odds::Sure,
                handled,
            ),
        ]
        .into_iter()
        .filter(|item| item.odds != Odds::Never)
    }

    /// Whether a run need not wait for more: everything has happened [`WANTED`] times, or its chances are used up.
    pub(super) fn are_met(self, figures: Figures, handled: u64, naps: Naps) -> bool {
        let met = |item: Item| {
            let (naps, chances) = match item.odds {
                Odds::Sure => (naps.slept, LAST_CHANCE),
                _ => (naps.passed, CHANCES),
            };
            item.seen >= WANTED || figures.interrupts.max(naps * CHANCES_OF_NAP) >= chances
        };
        self.seen(figures, handled).all(met)
    }

    /// Returns a note of what was seen too seldom; `None` if nothing was.
    ///
    /// # Errors
    /// Something that is sure was not seen at all.
    pub(super) fn check(self, figures: Figures, handled: u64) -> Result<Option<String>, Failure> {
        let mut seldom = String::new();
        for Item { what, odds, seen } in self.seen(figures, handled) {
            if odds == Odds::Sure && seen == 0 {
                return Err(failure!(
                    "not one {what} in {} interrupts: nothing is shown about it",
                    figures.interrupts
                ));
            }
            if seen < WANTED {
                let comma = if seldom.is_empty() { "" } else { ", " };
                seldom += &format!("{comma}{what} {seen}");
            }
        }
        Ok((!seldom.is_empty())
            .then(|| format!("seen fewer than {WANTED} times, as chance had it: {seldom}")))
    }
}
