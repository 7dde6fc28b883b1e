//! What happened to a task and its sections: the figures of its row.

use super::counts::{Count, counted};

counted! {
    /// Each figure has one writer at a time, so none needs an atomic read-modify-write:
    ///
    /// | figures | written by |
    /// |---|---|
    /// | `sections`, `depth`, `deepest` | the task itself, in the four calls; a handler restores them |
    /// | `spurious`, `bbm_waits` | the handler of the task's own fault |
    /// | `interrupts…` | the handler on top of it, interrupts masked |
    /// | all others | the switch that it leaves or returns by, interrupts masked |
    Stats, read by figures as Figures:
    now {
        /// Sections open now, by the calls that were made: the same under every policy.
        depth,
    }
    most {
        /// The most that were open at once.
        deepest,
    }
    sums {
        /// Sections opened, nested ones too.
        sections,
        /// Times it left a core.
        switches,
        /// Those of them that an interrupt forced.
        preemptions,
        /// Those of them inside a section.
        preemptions_inside,
        /// Times it left a core with a debt.
        carried,
        /// Times it went on on another core than the one it had left.
        migrations,
        /// Those of them inside a section.
        migrations_inside,
        /// Interrupts taken on top of it.
        interrupts,
        /// Those of them inside a section.
        interrupts_inside,
        /// Faults that were over by the time AT was executed, and were retried.
        spurious,
        /// Break-before-make waits: accesses that met a page while it was being replaced, and waited for the make.
        bbm_waits,
    }
    kinds {}
}

impl Stats {
    /// Some section is open.
    #[inline]
    pub fn inside(&self) -> bool {
        self.depth.get() > 0
    }

    /// Runs `handler`, whose sections are not the task's: here is the one place that knows, and not each call of the mode.
    pub(super) fn keep_sections<R>(&self, handler: impl FnOnce() -> R) -> R {
        let figures = [&self.sections, &self.depth, &self.deepest];
        let before = figures.map(Count::get);
        let result = handler();
        for (figure, before) in figures.into_iter().zip(before) {
            figure.set(before);
        }
        result
    }

    /// A section was opened.
    #[inline]
    pub fn opened(&self) {
        self.sections.add(1);
        let depth = self.depth.get() + 1;
        self.depth.set(depth);
        // Seldom: a branch past the store costs less than a store each time.
        if depth > self.deepest.get() {
            self.deepest.set(depth);
        }
    }

    /// A section was closed. One that was never opened is the contract's to report.
    #[inline]
    pub fn closed(&self) {
        if let Some(depth) = self.depth.get().checked_sub(1) {
            self.depth.set(depth);
        }
    }
}
