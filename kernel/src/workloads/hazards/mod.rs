//! `run=H1` to `run=H20`: what went wrong in Linux or was feared in review, each as a scenario.
//!
//! | files | what |
//! |---|---|
//! | `page` | `docs/hazards.md`: what went wrong where, what must hold |
//! | `scene`, `steps`, `judge` | parts that are right and parts that are wrong on purpose; what they did, printed, and before the rules |
//! | `outcome` | the table |
//! | `place`, `wrong` | pages to work on; modes that are wrong |
//! | all others | the hazards |
//!
//! A hazard is about a contract, so it is run under `v3` and `linux7`, those of them that `policy=` names.

mod balance;
mod cost;
mod ends;
mod interrupts;
mod judge;
mod live;
mod migration;
mod nesting;
mod order;
mod outcome;
mod page;
mod pauses;
mod place;
mod scene;
mod shared;
mod spurious;
mod steps;
mod switches;
mod tables;
mod unpaid;
mod wrong;

use lazy_mmu::Policy;

use super::memory::{Memory, check_frames};
use super::{Failure, failure};
use crate::report::Run;
use crate::{mode, println, task};
pub use outcome::{Outcome, check, print_table};
use scene::Scene;

/// How many cores a hazard takes, and what runs it.
type Hazard = (usize, fn(&mut Scene) -> Result<(), Failure>);

/// By number, from 1.
const HAZARDS: [Hazard; Run::HAZARDS.len()] = [
    (1, nesting::allocator_reenters),
    (1, pauses::enable_while_paused),
    (1, unpaid::inner_exit_pays_nothing),
    (1, interrupts::handler_in_section),
    (1, switches::preempted_everywhere),
    (1, switches::hook_on_current),
    (2, migration::migrates_in_a_section),
    (1, ends::sleeps_inside),
    (1, interrupts::lock_in_interrupt),
    (1, ends::leaked_on_an_error),
    (1, order::tlbi_before_store),
    (1, order::use_while_pending),
    (1, unpaid::no_isb),
    (2, spurious::spurious_fault),
    (1, pauses::immediate_store),
    (1, live::live_entry_replaced),
    (1, tables::table_freed_early),
    (1, balance::handler_unbalances),
    (1, shared::second_enter_ignored),
    (1, cost::break_even),
];

fn of(run: Run) -> Option<(u8, Hazard)> {
    let Run::Hazard(number) = run else {
        return None;
    };
    let hazard = HAZARDS.get(usize::from(number).checked_sub(1)?)?;
    Some((number, *hazard))
}

/// How many cores a hazard takes.
pub fn cores_of(run: Run) -> usize {
    of(run).map_or(1, |(_, (cores, _))| cores)
}

/// Runs one hazard under one contract, on a machine with that many cores, and prints it step by step.
pub fn run(run: Run, policy: Policy, cores: usize) -> Outcome {
    let mut outcome = Outcome::of(run, policy);
    let known = of(run).and_then(|(number, hazard)| Some((page::section(number)?, hazard)));
    let Some((section, (needed, hazard))) = known else {
        outcome.result = Err(failure!("docs/hazards.md says nothing of {run}"));
        return outcome;
    };
    outcome.must_hold = section.must_hold;
    println!();
    println!("{run} under {policy}: {}", section.title);
    for line in section.story.lines() {
        println!("  | {line}");
    }
    println!(
        "  must hold: {}; who can see it: {}",
        section.must_hold, section.seen_by
    );
    if cores < needed {
        println!("{run} under {policy}: not run: it takes {needed} cores, so give it SMP={needed}");
        return outcome;
    }
    let mut scene = Scene::new(policy);
    outcome.was_run = true;
    outcome.result = run_in(hazard, &mut scene);
    outcome.seen = scene.seen();
    match &outcome.result {
        Ok(()) => println!("{run} under {policy}: holds: {}", section.must_hold),
        Err(failure) => {
            println!("{run} under {policy}: FAILED: {failure}");
            // It may have stopped inside a section: the next one begins anew.
            let _ = task::current().mmu.end_of_task();
            task::current().stats.depth.set(0);
        }
    }
    outcome
}

/// Runs it, and checks that it has left nothing behind.
fn run_in(hazard: fn(&mut Scene) -> Result<(), Failure>, scene: &mut Scene) -> Result<(), Failure> {
    mode::set_policy(scene.policy)?;
    let before = Memory::now();
    hazard(scene)?;
    check_frames(before)?;
    let state = task::current().mmu.state();
    if (state.count, state.pending, state.enabled) != (0, false, false) {
        return Err(failure!("a section is left open: {state}"));
    }
    Ok(())
}
