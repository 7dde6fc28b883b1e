//! `forced`: a preemption at every instruction of the four calls, of the flush and of the switch.
//!
//! One task, the visitor, runs the [scenario](super::scenario) with a hardware breakpoint at one instruction, and again for the next
//! instruction ([`points`]). What the breakpoint's handler does is in [`breakpoint`]. Afterwards the trace must be that of a run that
//! nobody disturbed.
//!
//! The helpers are other tasks, more than there are cores, which run the same scenario on pages of their own and yield. So there is
//! always a task to switch to, and the visitor goes on wherever a core takes it first.

mod breakpoint;
mod points;
mod visits;

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use lazy_mmu::Policy;

use super::counts::check_pairs;
use super::scenario::Scenario;
use super::{Failure, failure, handler, trace};
use crate::report::{Row, Run, Size};
use crate::sched::{self, Ended, Join};
use crate::task::{self, Figures, Tally};
use crate::{mode, println};
pub(super) use visits::Visits;
use visits::visit_all;

/// Helpers: more than there are cores, so that a stopped task is preempted for sure, and goes on elsewhere.
fn helper_count() -> usize {
    2 * task::online_count() + 1
}

/// Tasks besides the one that boots, which waits for their end: the helpers, and the visitor.
pub(super) fn tasks() -> usize {
    helper_count() + 1
}

/// Visits every instruction, under one policy.
pub(super) fn run(policy: Policy, size: Size) -> Result<Row, Failure> {
    let (tally, figures) = disturb(policy, Visits::All)?;
    Ok(Row {
        tally,
        deepest: figures.deepest as u32,
        ..Row::new(Run::Forced, policy, size)
    })
}

/// Visits the instructions of the four calls and the flush, and says how many preemptions came of it.
pub(super) fn visit_calls(policy: Policy, visits: Visits) -> Result<String, Failure> {
    let (_, figures) = disturb(policy, visits)?;
    let (inside, carried) = (figures.preemptions_inside, figures.carried);
    let work = if visits.has_work() {
        ", a handler's work before each,"
    } else {
        ""
    };
    Ok(format!(
        "{inside} preemptions inside sections{work} and {carried} with a debt changed nothing"
    ))
}

/// Has a task run the scenario with these visits, beside its helpers.
fn disturb(policy: Policy, visits: Visits) -> Result<(Tally, Figures), Failure> {
    breakpoint::prepare();
    handler::prepare()?;
    let stop = Arc::new(AtomicBool::new(false));
    let helpers: Vec<_> = (0..helper_count())
        .map(|number| {
            let stop = Arc::clone(&stop);
            sched::spawn(policy, move || help(policy, number as u64, &stop))
        })
        .collect();
    mode::expect_warnings(policy == Policy::V3);
    let all_help = helpers.iter().all(Result::is_ok);
    let visited = all_help.then(|| {
        let visitor = sched::spawn(policy, move || visit_all(policy, visits));
        visitor.map(Join::join)
    });
    stop.store(true, Relaxed);
    // Whatever came of it: those that run are waited for.
    let helped: Vec<_> = helpers
        .into_iter()
        .map(|helper| helper.map(Join::join))
        .collect();
    mode::expect_warnings(false);
    for helper in helped {
        helper
            .map_err(|error| failure!("a helper: {error}"))?
            .value?;
    }
    let visited = visited.transpose();
    let visited = visited.map_err(|error| failure!("the visitor: {error}"))?;
    let Some(Ended {
        value,
        figures,
        tally,
        ..
    }) = visited
    else {
        return Err(failure!("the visitor was not started"));
    };
    value?;
    let handler::Done { pages, in_enable } = handler::done()?;
    let (preemptions, migrations) = (figures.preemptions_inside, figures.migrations_inside);
    println!(
        "forced under {policy}: {preemptions} preemptions and {migrations} migrations inside sections, \
         {} times with a debt; {pages} pages mapped, used and unmapped on top of it, {in_enable} of them inside the first `enable`",
        figures.carried
    );
    if policy == Policy::V3 && visits.has_work() && in_enable == 0 {
        return Err(failure!(
            "no handler worked inside the first `enable`: its window was not met"
        ));
    }
    // Whether a task goes on elsewhere is chance: over all visits it does for sure, over a part of them it need not.
    let migrates = visits == Visits::All && task::online_count() > 1;
    if preemptions == 0 || migrates && migrations == 0 {
        return Err(failure!(
            "no preemption or no migration inside a section: nothing is shown"
        ));
    }
    check_pairs("the task that visits", tally)?;
    Ok((tally, figures))
}

/// A helper: runs the scenario until the stop flag is set. The other tasks' calls must not touch its state either.
fn help(policy: Policy, number: u64, stop: &AtomicBool) -> Result<(), Failure> {
    let scenario = Scenario::new()?;
    let first = scenario.run(number, true)?;
    while !stop.load(Relaxed) {
        trace::compare(policy, &scenario.run(number, true)?, &first)?;
        sched::yield_now();
    }
    Ok(())
}
