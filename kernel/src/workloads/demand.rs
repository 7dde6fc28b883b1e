//! What a run of many tasks must have shown: what its number of tasks, the cores and the policy let happen.
//!
//! A run in which no task was ever stopped inside a section shows nothing, and must not end well. What may be demanded follows from
//! who can be stopped by whom. Every task's slice ends in a timer interrupt, whoever else there is. The task it stops leaves its
//! core only if another is ready: with more tasks than cores one always is, and the one that was stopped goes on wherever a core
//! is free first. With as many tasks as cores, or fewer, the only other one is the task that conducts the run, which sleeps for
//! 2 ms at a time: whom it stops, where that task stands then, and whether it comes back to its core, is chance.
//!
//! | inside a section | one core | cores ≥ tasks | 2 ≤ cores < tasks |
//! |---|---|---|---|
//! | an interrupt; a handler's page | sure | sure | sure |
//! | a preemption | sure with 2 tasks or more, else chance | chance | sure |
//! | a debt carried across a switch, but under `eager`, which has none | as a preemption | chance | sure |
//! | a migration | never | chance | sure |
//!
//! What is sure and was not seen once is a failure. What was seen less often than [`WANTED`] is said, and is none: how often a slice
//! ends inside a section is a matter of luck, and of how busy the host is.

use alloc::format;
use alloc::string::String;

use lazy_mmu::Policy;

use super::{Failure, failure};
use crate::task::Figures;

/// How often each thing is to have happened for a run to end before its chances are used up.
const WANTED: u64 = 20;

/// Chances after which a run waits no longer for what is left to chance: an interrupt of a task is one.
const CHANCES: u64 = 2_000;
/// The same for what is sure.
const LAST_CHANCE: u64 = 10 * CHANCES;
/// For so many chances a nap of the conducting task counts at least, each of which ends in an interrupt. A task's own may be far
/// fewer: one that yields has a new slice each time.
const CHANCES_OF_NAP: u64 = 4;

/// The conducting task's sleep so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Naps {
    /// How often it has slept: what is sure is waited for by this alone. Neither a clock that counts instructions nor a host that is
    /// busy makes it more or less than was done.
    pub slept: u64,
    /// How often it could have: more, on a busy host, and what is left to chance is not worth the time.
    pub passed: u64,
}

/// Whether something can happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Odds {
    Never,
    Chance,
    Sure,
}

/// The odds of everything that a run is to show.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demands {
    preempted: Odds,
    migrated: Odds,
    carried: Odds,
}

/// One thing that a run is to show: what, whether it can, and how often it did.
struct Item {
    what: &'static str,
    odds: Odds,
    seen: u64,
}

impl Demands {
    /// Of `tasks` tasks, the one that conducts them not among them, on `cores` cores: the table above.
    pub(super) fn of(policy: Policy, tasks: usize, cores: usize) -> Self {
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

    /// A debt is carried across a switch for sure.
    pub(super) fn carries(&self) -> bool {
        self.carried == Odds::Sure
    }

    /// What can happen, and how often it did: to the tasks, and `handled` pages in handlers.
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

    /// Whether a run need not wait for more: all of it was seen often enough, or the chances are used up.
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

    /// What was seen too seldom, in words; `None` if nothing was.
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
