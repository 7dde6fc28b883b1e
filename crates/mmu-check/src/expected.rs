//! What a run should have had to check.

use crate::coverage::Coverage;

/// What a run does, and so should give the rules to check: by the names of [`Coverage::counts`].
///
/// A run that breaks no rule because nothing happened proves nothing.
///
/// ```
/// use mmu_check::{Checker, Expected};
///
/// let checker = Checker::new();
/// let expected = Expected { nested: true, ..Expected::default() };
/// let missing: Vec<_> = expected.missing(checker.coverage()).collect();
/// assert_eq!(missing, ["nested"]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Expected {
    /// It maps, uses, probes and unmaps pages, in sections.
    pub pages: bool,
    /// Sections nest in it.
    pub nested: bool,
    /// It has many tasks, preempted and interrupted in debt.
    pub tasks: bool,
}

impl Expected {
    /// The names of what is expected and was not there.
    pub fn missing(self, coverage: &Coverage) -> impl Iterator<Item = &'static str> {
        coverage.missing().filter(move |name| self.has(name))
    }

    fn has(self, name: &str) -> bool {
        match name {
            "mappings" | "used mappings" | "accesses" | "probes" | "withdrawn"
            | "invalidations" | "dones" | "frees" | "sections" => self.pages,
            "nested" => self.nested,
            "switches" | "switches in debt" | "interrupts in debt" | "interrupts" | "task ends" => {
                self.tasks
            }
            _ => false,
        }
    }
}
