//! Stress: many tasks at once, on all cores, with preemption, and with interrupt handlers that work on page
//! tables themselves. This is what [`mixed`] and [`preempt`] have in common.
//!
//! A run has one window, over all cores. It starts and ends when no other core executes anything. What was
//! counted between must be the sum over the tasks, the controlling one among them, over the cores' handlers and
//! switches, and over the idle tasks ([`balance`]). The witness counts the window too.

mod account;
mod balance;
mod control;
mod create;
pub(super) mod demand;
pub(super) mod mixed;
pub(super) mod preempt;
mod table;

use alloc::boxed::Box;
use alloc::vec::Vec;

use lazy_mmu::Policy;

use super::{Failure, failure, handler, measure, progress};
use crate::arch::window::Window;
use crate::report::{self, Row, Run, Size};
use crate::sched::{self, Ended, Join};
use crate::task::{self, Figures};
use crate::{mode, println};
use account::Account;
use control::StopFlag;
use demand::Demands;

/// How much stress: how many tasks, and for how long at least.
#[derive(Clone, Copy, Debug)]
pub struct Stress {
    /// Tasks beside the one that boots.
    pub tasks: usize,
    /// Seconds that the tasks run at least, by the kernel's clock, or by the host's if that is ahead. (A clock that
    /// counts instructions is far behind: a few of its seconds take minutes.)
    pub seconds: u64,
}

/// A task's slice in microseconds: so short that it ends inside sections.
const SLICE: u64 = 100;

/// What one task has done: the name of its work, and how many rounds. Or the first check that failed.
type Done = Result<(&'static str, u64), Failure>;
/// What one task does.
type Work = Box<dyn FnOnce(&StopFlag) -> Done + Send>;

/// What a run has left when all its tasks have ended.
struct Outcome {
    ends: Vec<Ended<Done>>,
    account: Account,
    handlers: handler::Done,
    warnings: u64,
}

impl Outcome {
    /// What happened to all tasks together.
    fn figures(&self) -> Figures {
        let ends = self.ends.iter();
        ends.fold(Figures::default(), |sum, end| sum + end.figures)
    }
}

/// Runs `work` of every task to its end, in a window, prints the tasks' rows, and returns the machine's.
///
/// # Errors
/// The first check that failed; or that something which must happen did not, or that the counts do not add up.
fn run(
    run: Run,
    policy: Policy,
    size: Size,
    stress: Stress,
    work: impl Fn(usize) -> Work,
) -> Result<Row, Failure> {
    handler::prepare()?;
    let demands = Demands::of(policy, stress.tasks, task::online_count());
    let stop = StopFlag::default();
    let joins = create::tasks(policy, stress.tasks, &stop, work)?;
    // `v3` warns when a handler opens a section while the task's is paused, or just being opened.
    mode::expect_warnings(policy == Policy::V3);
    let outcome = in_window(&[run.number(), policy as u8, 0], joins, |joins| {
        control::until_shown(demands, stress.seconds, joins, &stop)
    });
    mode::expect_warnings(false);
    let outcome = outcome?;
    table::print(run, policy, &outcome);
    balance::check(&outcome)?;
    check_ends(policy, &outcome)?;
    if let Some(note) = demands.check(outcome.figures(), outcome.handlers.pages)? {
        println!("note: {run} under {policy}: {note}");
    }
    Ok(Row {
        tally: outcome.account.machine,
        deepest: outcome.figures().deepest as u32,
        tasks: table::of_tasks(&outcome),
        others: outcome.account.others().to_vec(),
        ..Row::new(run, policy, size)
    })
}

/// Starts the tasks on a machine that does nothing else, has `control` wait for what they must show, and waits until they have ended and the
/// machine does nothing again.
fn in_window(
    tag: &[u8],
    joins: Vec<Join<Done>>,
    control: impl FnOnce(&[Join<Done>]) -> Result<(), Failure>,
) -> Result<Outcome, Failure> {
    measure::quiesce()?;
    let warnings = mode::warnings();
    let ((controlled, ends, quiesced), account) = report::in_window(tag, Account::so_far, || {
        handler::at_ticks(true);
        sched::set_slice(SLICE);
        joins.iter().for_each(Join::start);
        let controlled = control(&joins);
        // All that had to be shown has been. The tasks finish their last rounds, which may take long, without the
        // handlers' work on top.
        handler::at_ticks(false);
        control::wait_for_ends(&joins);
        let ends = joins.into_iter().map(Join::join).collect();
        sched::set_slice(0);
        (controlled, ends, measure::quiesce())
    });
    report::note_window(tag, Window::Work, account.machine);
    controlled.and(quiesced)?;
    Ok(Outcome {
        ends,
        account,
        handlers: handler::done()?,
        warnings: mode::warnings() - warnings,
    })
}

/// Checks that every task has ended well, that no section and no debt is left over, and that nothing was warned of
/// but under `v3`.
fn check_ends(policy: Policy, outcome: &Outcome) -> Result<(), Failure> {
    let warnings = outcome.warnings;
    if warnings > 0 && policy != Policy::V3 {
        return Err(failure!(
            "{warnings} warnings, where {policy} has nothing to warn of"
        ));
    }
    for end in &outcome.ends {
        if let Err(failure) = &end.value {
            return Err(failure!("task {}: {failure}", end.id));
        }
        if let Some(leak) = end.leak {
            return Err(failure!("task {}: {leak}", end.id));
        }
    }
    Ok(())
}
