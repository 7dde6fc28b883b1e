//! What came of the hazards, as a table.

use alloc::string::String;

use lazy_mmu::Policy;

use crate::println;
use crate::report::Run;
use crate::workloads::Failure;

/// What came of a hazard under a contract: a row of the table.
#[derive(Clone, Debug)]
pub struct Outcome {
    run: Run,
    policy: Policy,
    /// What must hold, by the page.
    pub(super) must_hold: &'static str,
    /// Who has seen what was wrong.
    pub(super) seen: String,
    /// Whether it was run: some take more cores than there are.
    pub(super) was_run: bool,
    /// What failed.
    pub(super) result: Result<(), Failure>,
}

impl Outcome {
    /// Of one that was not run yet.
    pub(super) fn of(run: Run, policy: Policy) -> Self {
        Self {
            run,
            policy,
            must_hold: "",
            seen: String::new(),
            was_run: false,
            result: Ok(()),
        }
    }
}

/// That all hold that were run.
///
/// # Errors
/// The first that does not.
pub fn check(outcomes: &[Outcome]) -> Result<(), Failure> {
    for Outcome {
        run,
        policy,
        result,
        ..
    } in outcomes
    {
        result
            .clone()
            .map_err(|failure| failure.within(*run, *policy))?;
    }
    Ok(())
}

/// Prints what came of all that were run.
pub fn print_table(outcomes: &[Outcome]) {
    println!();
    println!(
        "{:<7} {:<7} {:<8} {:<44} what must hold",
        "hazard", "policy", "result", "seen by"
    );
    for outcome in outcomes {
        let result = match (&outcome.result, outcome.was_run) {
            (Err(_), _) => "FAILED",
            (Ok(()), true) => "holds",
            (Ok(()), false) => "not run",
        };
        let seen = if outcome.was_run && outcome.seen.is_empty() {
            "rules: nothing wrong"
        } else {
            &outcome.seen
        };
        println!(
            "{:<7} {:<7} {result:<8} {seen:<44} {}",
            outcome.run, outcome.policy, outcome.must_hold
        );
    }
}
