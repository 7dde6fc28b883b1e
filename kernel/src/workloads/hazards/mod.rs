//! `run=H1` to `run=H20`: what went wrong in Linux or was feared in review, each as a scenario.
//!
//! | files | what |
//! |---|---|
//! | `list` | the table: what went wrong where, what must hold |
//! | `scene`, `steps` | parts that are right and parts that are wrong on purpose, before rules of their own; what they did, printed |
//! | `place`, `wrong` | pages to work on; modes that are wrong |
//! | `nesting`, `interrupts`, `switches`, `cores`, `order`, `tables`, `cost` | the hazards |
//!
//! A hazard is about a contract, so it is run under `v3` and `linux7`, those of them that `policy=` names.

mod cores;
mod cost;
mod interrupts;
mod list;
mod nesting;
mod order;
mod place;
mod scene;
mod steps;
mod switches;
mod tables;
mod wrong;

use alloc::string::String;

use lazy_mmu::Policy;

use super::pages::check_frames;
use super::{Failure, failure};
use crate::mem::frames;
use crate::mem::services::table_count;
use crate::report::Run;
use crate::{mode, println, task};
use list::{HAZARDS, Hazard};
use scene::Scene;

/// What came of a hazard under a contract: a row of the table.
#[derive(Clone, Debug)]
pub struct Outcome {
    run: Run,
    policy: Policy,
    seen: String,
    /// Whether it was run: some take more cores than there are.
    was_run: bool,
    /// What failed.
    pub result: Result<(), Failure>,
}

impl Outcome {
    fn hazard(&self) -> Option<&'static Hazard> {
        of(self.run)
    }
}

fn of(run: Run) -> Option<&'static Hazard> {
    match run {
        Run::Hazard(number) => HAZARDS.get(usize::from(number).checked_sub(1)?),
        _ => None,
    }
}

/// How many cores a hazard takes.
pub fn cores_of(run: Run) -> usize {
    of(run).map_or(1, |hazard| hazard.cores)
}

/// Runs one hazard under one contract, on a machine with that many cores, and prints it step by step.
pub fn run(run: Run, policy: Policy, cores: usize) -> Outcome {
    let mut outcome = Outcome {
        run,
        policy,
        seen: String::new(),
        was_run: false,
        result: Ok(()),
    };
    let Some(hazard) = of(run) else {
        outcome.result = Err(failure!("{run} is no hazard"));
        return outcome;
    };
    println!();
    println!("{run} under {policy}: {}", hazard.title);
    for line in hazard.story {
        println!("  | {line}");
    }
    println!(
        "  must hold: {}; who can see it: {}",
        hazard.must_hold, hazard.seen_by
    );
    if cores < hazard.cores {
        println!(
            "{run} under {policy}: not run: it takes {} cores, so give it SMP={}",
            hazard.cores, hazard.cores
        );
        return outcome;
    }
    let mut scene = Scene::new(policy);
    outcome.was_run = true;
    outcome.result = run_in(hazard, &mut scene);
    outcome.seen = scene.seen();
    match &outcome.result {
        Ok(()) => println!("{run} under {policy}: holds: {}", hazard.must_hold),
        Err(failure) => {
            println!("{run} under {policy}: FAILED: {failure}");
            // It may have stopped inside a section: the next one begins anew.
            let _ = task::current().mmu.end_of_task();
            task::current().stats.depth.set(0);
        }
    }
    outcome
}

fn run_in(hazard: &Hazard, scene: &mut Scene) -> Result<(), Failure> {
    mode::set_policy(scene.policy)?;
    let (free, tables) = (frames::free_count(), table_count());
    (hazard.run)(scene)?;
    check_frames(free, table_count() as i64 - tables as i64)?;
    let state = task::current().mmu.state();
    if (state.count, state.pending, state.enabled) != (0, false, false) {
        return Err(failure!("a section is left open: {state}"));
    }
    Ok(())
}

/// That all hold that were run, and that something was.
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
    if !outcomes.is_empty() && outcomes.iter().all(|outcome| !outcome.was_run) {
        return Err(failure!("no hazard was run: see what each of them takes"));
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
        let must_hold = outcome.hazard().map_or("", |hazard| hazard.must_hold);
        println!(
            "{:<7} {:<7} {result:<8} {seen:<44} {must_hold}",
            outcome.run, outcome.policy
        );
    }
}
