//! What happened to a task and its sections: the figures of its row.

use core::ops::Sub;

use super::counts::Count;

/// Each figure has one writer at a time, so none needs an atomic read-modify-write:
///
/// | figures | written by |
/// |---|---|
/// | `sections`, `depth`, `deepest` | the task itself, in the four calls |
/// | `interrupts…` | the handler on top of it, interrupts masked |
/// | all others | the switch that it leaves or returns by, interrupts masked |
#[derive(Default)]
pub struct Stats {
    /// Sections opened, nested ones too.
    pub sections: Count,
    /// Sections open now, by the calls that were made: the same under every policy.
    pub depth: Count,
    /// The most that were open at once.
    pub deepest: Count,
    /// Times it left a core.
    pub switches: Count,
    /// Those of them that an interrupt forced.
    pub preemptions: Count,
    /// Those of them inside a section.
    pub preemptions_inside: Count,
    /// Times it left a core with a debt.
    pub carried: Count,
    /// Times it went on on another core than the one it had left.
    pub migrations: Count,
    /// Those of them inside a section.
    pub migrations_inside: Count,
    /// Interrupts taken on top of it.
    pub interrupts: Count,
    /// Those of them inside a section.
    pub interrupts_inside: Count,
    /// Faults that were gone when the MMU was asked, and were retried.
    pub spurious: Count,
}

/// The values of [`Stats`] at one moment, or the difference of two.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // the fields of Stats
pub struct Figures {
    pub sections: u64,
    pub deepest: u64,
    pub switches: u64,
    pub preemptions: u64,
    pub preemptions_inside: u64,
    pub carried: u64,
    pub migrations: u64,
    pub migrations_inside: u64,
    pub interrupts: u64,
    pub interrupts_inside: u64,
    pub spurious: u64,
}

impl Stats {
    /// All zero.
    pub const fn new() -> Self {
        Self {
            sections: Count::new(),
            depth: Count::new(),
            deepest: Count::new(),
            switches: Count::new(),
            preemptions: Count::new(),
            preemptions_inside: Count::new(),
            carried: Count::new(),
            migrations: Count::new(),
            migrations_inside: Count::new(),
            interrupts: Count::new(),
            interrupts_inside: Count::new(),
            spurious: Count::new(),
        }
    }

    /// Some section is open.
    #[inline]
    pub fn inside(&self) -> bool {
        self.depth.get() > 0
    }

    /// A section was opened.
    #[inline]
    pub fn opened(&self) {
        self.sections.add(1);
        self.depth.add(1);
        self.deepest.at_least(self.depth.get());
    }

    /// A section was closed. One that was never opened is the contract's to report.
    #[inline]
    pub fn closed(&self) {
        if self.inside() {
            self.depth.sub(1);
        }
    }

    /// The values now.
    pub fn figures(&self) -> Figures {
        Figures {
            sections: self.sections.get(),
            deepest: self.deepest.get(),
            switches: self.switches.get(),
            preemptions: self.preemptions.get(),
            preemptions_inside: self.preemptions_inside.get(),
            carried: self.carried.get(),
            migrations: self.migrations.get(),
            migrations_inside: self.migrations_inside.get(),
            interrupts: self.interrupts.get(),
            interrupts_inside: self.interrupts_inside.get(),
            spurious: self.spurious.get(),
        }
    }
}

/// What happened since `before`. `deepest` is not a sum: it stays.
impl Sub for Figures {
    type Output = Figures;

    fn sub(self, before: Figures) -> Figures {
        Figures {
            sections: self.sections - before.sections,
            deepest: self.deepest,
            switches: self.switches - before.switches,
            preemptions: self.preemptions - before.preemptions,
            preemptions_inside: self.preemptions_inside - before.preemptions_inside,
            carried: self.carried - before.carried,
            migrations: self.migrations - before.migrations,
            migrations_inside: self.migrations_inside - before.migrations_inside,
            interrupts: self.interrupts - before.interrupts,
            interrupts_inside: self.interrupts_inside - before.interrupts_inside,
            spurious: self.spurious - before.spurious,
        }
    }
}

/// The figures of both.
impl core::ops::Add for Figures {
    type Output = Figures;

    fn add(self, other: Figures) -> Figures {
        Figures {
            sections: self.sections + other.sections,
            deepest: self.deepest.max(other.deepest),
            switches: self.switches + other.switches,
            preemptions: self.preemptions + other.preemptions,
            preemptions_inside: self.preemptions_inside + other.preemptions_inside,
            carried: self.carried + other.carried,
            migrations: self.migrations + other.migrations,
            migrations_inside: self.migrations_inside + other.migrations_inside,
            interrupts: self.interrupts + other.interrupts,
            interrupts_inside: self.interrupts_inside + other.interrupts_inside,
            spurious: self.spurious + other.spurious,
        }
    }
}
