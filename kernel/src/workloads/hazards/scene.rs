//! What a hazard runs in: parts that are right and parts that are wrong on purpose, each before rules of its own.
//!
//! Whether the kernel's rules are checked (`check=on`) or not, what a part does is recorded, and a fresh
//! [`Checker`](mmu_check::Checker) is given it. A part that is right must break no rule. One that is wrong must break those that it names: nothing is
//! shown by a policy that is broken and passes.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

use lazy_mmu::Policy;
use mmu_check::{Event, Rule};

use super::judge::{judge, names};
use super::steps::Record;
use crate::arch::registers;
use crate::observe::rules;
use crate::println;
use crate::workloads::{Failure, failure};

/// A hazard that is being run under a contract.
pub(super) struct Scene {
    /// The contract.
    pub policy: Policy,
    seen: Vec<String>,
}

impl Scene {
    pub(super) fn new(policy: Policy) -> Self {
        Self {
            policy,
            seen: Vec::new(),
        }
    }

    /// Who has seen what was wrong, or what must be reported.
    pub(super) fn seen(&self) -> String {
        self.seen.join(", ")
    }

    /// Notes that `who` has seen what is wrong.
    pub(super) fn saw(&mut self, who: &str) {
        if !self.seen.iter().any(|seen| seen == who) {
            self.seen.push(who.to_string());
        }
    }

    /// Notes that `who` has seen it, if so.
    ///
    /// # Errors
    /// It has not.
    pub(super) fn must_see(&mut self, who: &str, sees: bool, what: &str) -> Result<(), Failure> {
        if !sees {
            return Err(failure!("{who} did not see it: {what}"));
        }
        println!("    seen by {who}: {what}");
        self.saw(who);
        Ok(())
    }

    /// Notes that `who` has seen it, if so: QEMU may have evicted a translation that nobody has invalidated.
    pub(super) fn may_see(&mut self, who: &str, sees: bool, what: &str) {
        if sees {
            println!("    seen by {who}: {what}");
            self.saw(who);
        }
    }

    /// Runs a part that is right.
    ///
    /// # Errors
    /// A rule that it breaks, or what `work` returns.
    pub(super) fn right<R>(
        &mut self,
        title: &str,
        work: impl FnOnce(&mut Self) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        self.recorded(title, work).map(|(result, _)| result)
    }

    /// As [`right`](Self::right), and returns the record too.
    ///
    /// # Errors
    /// As there.
    pub(super) fn recorded<R>(
        &mut self,
        title: &str,
        work: impl FnOnce(&mut Self) -> Result<R, Failure>,
    ) -> Result<(R, Vec<Event>), Failure> {
        println!("  right: {title}");
        let record = Record::begin();
        let result = work(self);
        let events = record.end()?;
        let (broken, first) = judge(&events);
        match (result, first) {
            (result, None) => result.map(|result| (result, events)),
            (Ok(_), Some(violation)) => {
                Err(failure!("the rules say {}: {violation}", names(&broken)))
            }
            (Err(failure), Some(violation)) => Err(failure!(
                "{failure}; and the rules say {}: {violation}",
                names(&broken)
            )),
        }
    }

    /// Runs a part that is wrong on purpose, as [`broken`](Self::broken) does, with interrupts masked: a handler's barriers are its
    /// core's, and would stand in for those that are missing.
    ///
    /// # Errors
    /// As there.
    pub(super) fn broken_undisturbed(
        &mut self,
        title: &str,
        rules: &[Rule],
        work: impl FnOnce(&mut Self) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        registers::without_interrupts(|| self.broken(title, rules, work))
    }

    /// Runs a part that is wrong on purpose: what it leaves owed, it must have paid when it ends.
    ///
    /// # Errors
    /// One of `rules` is not broken, by its own record or, with `check=on`, by the kernel's; or what `work` returns.
    pub(super) fn broken(
        &mut self,
        title: &str,
        rules: &[Rule],
        work: impl FnOnce(&mut Self) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        println!("  wrong on purpose: {title}");
        let record = Record::begin();
        // From 1 on: so the kernel's rules know that some are expected.
        rules::EXPECTED.store(1, Relaxed);
        let result = work(self);
        let by_kernel = rules::EXPECTED.swap(0, Relaxed) - 1;
        let events = record.end()?;
        result?;
        self.caught(&events, rules)?;
        if rules::is_on() && by_kernel == 0 && !rules.is_empty() {
            return Err(failure!(
                "check=on saw no violation where {} must be",
                names(rules)
            ));
        }
        Ok(())
    }

    /// That these events break `rules`. Others that they break are noted too.
    ///
    /// # Errors
    /// One of them is not broken.
    pub(super) fn caught(&mut self, events: &[Event], rules: &[Rule]) -> Result<(), Failure> {
        let (broken, _) = judge(events);
        if let Some(missed) = rules.iter().find(|rule| !broken.contains(rule)) {
            let (missed, title) = (missed.name(), missed.title());
            // Who reads this wants to see what the rules were given.
            events.iter().for_each(|event| println!("      {event}"));
            return Err(failure!("the rules did not see it: no {missed}, {title}"));
        }
        for rule in broken {
            println!("    seen by the rules: {}, {}", rule.name(), rule.title());
            self.saw(&alloc::format!("rules {}", rule.name()));
        }
        Ok(())
    }
}
