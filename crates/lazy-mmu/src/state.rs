//! A task's state as a value: to print, to compare, to report.

use crate::Policy;
use core::fmt;

/// What a task's state was at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The rules the task follows.
    pub policy: Policy,
    /// How many sections are open. Always 0 under [`Eager`](Policy::Eager) and [`Flat`](Policy::Flat),
    /// which do not count.
    pub count: u8,
    /// How many pauses are open. Only [`Linux7`](Policy::Linux7) counts them.
    pub pause_count: u8,
    /// What [`in_lazy_mmu_mode`](crate::TaskMmu::in_lazy_mmu_mode) answers.
    pub enabled: bool,
    /// Whether a store is waiting for its barrier.
    pub pending: bool,
    /// Whether an interrupt handler is running on top of the task.
    pub in_interrupt: bool,
}

/// The notation of the seed's table: `count=2 enabled=0`, with `pause_count` where the contract has one.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "count={}", self.count)?;
        if self.policy == Policy::Linux7 {
            write!(f, " pause_count={}", self.pause_count)?;
        }
        write!(f, " enabled={}", u8::from(self.enabled))
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
            "the policy stays {policy} while the task is in a section, in an interrupt or in debt: {}",
            self.0
        )
    }
}

impl core::error::Error for PolicyInUse {}

/// A task has ended inside a section, or with a debt that no section would have paid. Carries the state it
/// ended in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leak(pub State);

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let State {
            policy, pending, ..
        } = self.0;
        let debt = if pending {
            ", with a barrier pending"
        } else {
            ""
        };
        write!(
            f,
            "the task ended inside a lazy MMU section ({policy}, {}{debt}): look for a guard that was \
             forgotten, or an exit taken inside the section",
            self.0
        )
    }
}

impl core::error::Error for Leak {}
