//! A task's state as a value: to print, to compare, to report.

use crate::Policy;
use core::fmt;

/// What a task's state was at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The rules the task follows.
    pub policy: Policy,
    /// How many sections are open; 255 or more, if it was 255 under [`Eager`](Policy::Eager) or [`Flat`](Policy::Flat), whose
    /// counts stay there; under [`Reenter`](Policy::Reenter), of those that were opened in the innermost
    /// re-entry.
    pub count: u8,
    /// How many pauses are open, which only [`Linux7`](Policy::Linux7) counts. Under [`Reenter`](Policy::Reenter)
    /// how many re-entries are under way.
    pub pause_count: u8,
    /// What [`in_lazy_mmu_mode`](crate::TaskMmu::in_lazy_mmu_mode) answers.
    pub enabled: bool,
    /// Whether a store is waiting for its barrier.
    pub pending: bool,
    /// Whether an interrupt handler is running on top of the task.
    pub in_interrupt: bool,
}

/// The notation of the patch's table: `count=2 enabled=0`, with `pause_count` where the contract has one, and
/// with `reentries`, `pending` and `in_interrupt` where they are so.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "count={}", self.count)?;
        match self.policy {
            Policy::Linux7 => write!(f, " pause_count={}", self.pause_count)?,
            Policy::Reenter if self.pause_count > 0 => {
                write!(f, " reentries={}", self.pause_count)?
            }
            _ => {}
        }
        write!(f, " enabled={}", u8::from(self.enabled))?;
        f.write_str(if self.pending { " pending" } else { "" })?;
        f.write_str(if self.in_interrupt {
            " in_interrupt"
        } else {
            ""
        })
    }
}

/// The policy of a task can be changed only while nothing depends on it. Carries the state that forbade it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyInUse(pub State);

impl fmt::Display for PolicyInUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let State { policy, .. } = self.0;
        write!(
            f,
            "the policy stays {policy} while the task is in a section, a pause, a re-entry, an interrupt, a call or in debt: {}",
            self.0
        )
    }
}

impl core::error::Error for PolicyInUse {}

/// A task has ended inside a section, a pause, a re-entry, an interrupt handler or one of the four calls, or with a debt
/// that no section would have paid. Carries the state it ended in; its text says which of them it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leak(pub State);

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let State { policy, .. } = self.0;
        let (place, look_for) = if self.0.in_interrupt {
            ("in an interrupt handler", "a handler without its irq_exit")
        } else if self.0.count > 0 || self.0.enabled {
            (
                "inside a lazy MMU section",
                "a guard that was forgotten, or an exit taken inside the section",
            )
        } else if self.0.pause_count > 0 && policy == Policy::Reenter {
            ("inside a re-entry", "an exit taken inside the allocator")
        } else if self.0.pause_count > 0 {
            ("inside a pause", "a pause without its resume")
        } else if !self.0.pending {
            (
                "inside a call of the mode",
                "a hook or a report that ends the task",
            )
        } else {
            (
                "outside of a section with a barrier pending",
                "sections that do not balance, a handler's included",
            )
        };
        write!(
            f,
            "the task ended {place} ({policy}, {}): look for {look_for}",
            self.0
        )
    }
}

impl core::error::Error for Leak {}
