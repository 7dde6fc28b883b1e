//! One run: a scenario on a kernel with one bug or none, judged by the rules and by what the
//! program saw.

use alloc::vec::Vec;

use super::chance::Chance;
use super::kernel::{Kernel, Setup, Wrong};
use super::scenario::Scenario;
use crate::checker::Checker;
use crate::coverage::Coverage;
use crate::event::Event;
use crate::violation::Violation;

/// What became of a run.
pub struct Run {
    /// The rules broken, in order.
    pub violations: Vec<Violation>,
    /// What the program, or the machine, saw go wrong first.
    pub wrong: Option<Wrong>,
    /// What there was to check.
    pub coverage: Coverage,
    /// How many primitives the program executed after the boot.
    pub steps: u64,
    /// All that happened.
    pub trace: Vec<Event>,
}

/// Runs a scenario.
pub fn run(scenario: &Scenario, setup: Setup, checker: Checker, chance: Chance) -> Run {
    let kernel = Kernel::new(setup, checker, chance);
    scenario.run(&kernel);
    Run {
        violations: kernel.violations(),
        wrong: kernel.first_wrong(),
        coverage: kernel.coverage(),
        steps: kernel.steps(),
        trace: kernel.trace(),
    }
}
