//! Many tasks at once, on all cores, with preemption and with handlers that work on page tables
//! themselves: what `mixed` and `preempt` have in common.
//!
//! The window is the machine's. It begins and ends when no other core does anything, and what lies
//! between must be the sum over the tasks, this one among them, and over the cores' handlers, switches and
//! idle tasks (`sum.rs`); the plugin counts it too.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use lazy_mmu::Policy;
use mmu_check::What;

use super::demand::{Demands, Naps};
use super::measure::{check_barriers, of_machine, quiet};
use super::sum::{self, Happened, Parts};
use super::{Failure, failure, handler, progress};
use crate::arch::time;
use crate::arch::window::{self, Window};
use crate::report::{Row, Run, Size};
use crate::sched::{self, Ended, Join};
use crate::task::{self, Figures, Tally};
use crate::{mode, observe, println, report};

/// How many tasks, and for how long at least.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// Tasks beside the one that boots.
    pub tasks: usize,
    /// Seconds that they go on for, if what must happen has happened before: of the counter, or of the host's clock if that is
    /// ahead. (A counter that counts instructions is far behind, and would make minutes of seconds.)
    pub seconds: u64,
}

/// A task's slice in microseconds: short enough to end inside sections.
const SLICE: u64 = 100;
/// How long the task that conducts the run sleeps before it looks again, in microseconds.
const NAP: u64 = 2_000;
/// After how many naps it looks at the host's clock.
const NAPS_PER_LOOK: u64 = 50;

/// What one task of the crowd has done, by name, and how often.
pub(super) type Done = Result<(&'static str, u64), Failure>;
/// What one task of the crowd does.
pub(super) type Work = Box<dyn FnOnce(&Enough) -> Done + Send>;

/// Tells the tasks when they have done enough.
#[derive(Clone, Default)]
pub(super) struct Enough(Arc<Shared>);

#[derive(Default)]
struct Shared {
    reached: AtomicBool,
    rounds: AtomicU64,
}

impl Enough {
    /// Whether a task that has done its part at least once may end.
    pub(super) fn is_reached(&self) -> bool {
        self.0.reached.load(Relaxed)
    }

    /// A task has done its part once.
    pub(super) fn count_round(&self) {
        self.0.rounds.fetch_add(1, Relaxed);
    }

    fn rounds(&self) -> u64 {
        self.0.rounds.load(Relaxed)
    }
}

/// What came of it.
struct Outcome {
    ends: Vec<Ended<Done>>,
    boot: Tally,
    parts: Parts,
    happened: Happened,
    handlers: handler::Done,
}

/// Runs `work` of every task to its end, in a window, prints their rows and returns the machine's.
///
/// # Errors
/// The first check that failed; or that something which must happen did not, or does not add up.
pub(super) fn run(
    run: Run,
    policy: Policy,
    size: Size,
    crowd: Crowd,
    work: impl Fn(usize) -> Work,
) -> Result<Row, Failure> {
    handler::prepare()?;
    let demands = Demands::of(policy, crowd.tasks, task::online_count());
    let enough = Enough::default();
    let mut joins = Vec::with_capacity(crowd.tasks);
    for number in 0..crowd.tasks {
        let (work, enough) = (work(number), enough.clone());
        let join = sched::spawn_held(policy, move || work(&enough));
        joins.push(join.map_err(|error| failure!("task {number}: {error}"))?);
    }
    let tag = [run as u8, policy as u8, 0];
    // `v3` warns when a handler opens a section while the task's is paused, or just being opened.
    mode::expect_warnings(policy == Policy::V3);
    let warnings = mode::warnings();
    let result = in_window(&tag, joins, |joins| conduct(demands, crowd, joins, &enough));
    mode::expect_warnings(false);
    let result = result?;
    let warnings = mode::warnings() - warnings;
    print(run, policy, &result, warnings);
    add_up(&result)?;
    if warnings > 0 && policy != Policy::V3 {
        return Err(failure!(
            "{warnings} warnings, where {policy} has nothing to warn of"
        ));
    }
    for end in &result.ends {
        if let Err(failure) = &end.value {
            return Err(failure!("task {}: {failure}", end.id));
        }
        if let Some(leak) = end.leak {
            return Err(failure!("task {}: {leak}", end.id));
        }
    }
    if let Some(note) = demands.check(total(&result), result.handlers.pages)? {
        println!("note: {run} under {policy}: {note}");
    }
    let deepest = result.ends.iter().map(|end| end.figures.deepest).max();
    Ok(of_machine(
        run,
        policy,
        size,
        result.parts.machine,
        deepest.unwrap_or(0) as u32,
    ))
}

/// From a quiet machine to a quiet machine.
fn in_window(
    tag: &[u8],
    joins: Vec<Join<Done>>,
    conduct: impl FnOnce(&[Join<Done>]) -> Result<(), Failure>,
) -> Result<Outcome, Failure> {
    quiet()?;
    let boot = task::current();
    observe::report(|| What::Window {
        tag: window::tag_value(tag),
        open: true,
    });
    window::start(Window::Work, tag);
    let now = || (boot.counts.tally(), Parts::so_far(), Happened::so_far());
    let before = now();
    handler::at_ticks(true);
    sched::set_slice(SLICE);
    joins.iter().for_each(Join::start);
    let conducted = conduct(&joins);
    // What was to be shown is. The tasks finish their rounds, which may be long ones, without the handlers' work on top.
    handler::at_ticks(false);
    wait_for(&joins);
    let ends = joins.into_iter().map(Join::join).collect();
    sched::set_slice(0);
    let still = quiet();
    let after = now();
    window::end(Window::Work);
    observe::report(|| What::Window {
        tag: window::tag_value(tag),
        open: false,
    });
    let parts = after.1 - before.1;
    report::note_window(tag, Window::Work, parts.machine);
    conducted.and(still)?;
    Ok(Outcome {
        ends,
        boot: after.0 - before.0,
        parts,
        happened: after.2 - before.2,
        handlers: handler::done()?,
    })
}

/// Waits until enough has happened and enough time has passed, and tells the tasks.
fn conduct(
    demands: Demands,
    crowd: Crowd,
    joins: &[Join<Done>],
    enough: &Enough,
) -> Result<(), Failure> {
    let mut clock = Clock::start(crowd.seconds);
    let result = loop {
        sched::sleep(NAP);
        clock.naps += 1;
        let handled = match handler::done() {
            Ok(done) => done.pages,
            Err(failure) => break Err(failure),
        };
        let figures = sum_of(joins.iter().map(Join::figures));
        // Nobody ends by himself but who has failed.
        let failed = joins.iter().any(Join::has_ended);
        if failed || demands.are_met(figures, handled, clock.naps()) && clock.is_over() {
            break Ok(());
        }
        progress::say(format_args!(
            "{} seconds, of {} at least; {} rounds, {} interrupts",
            clock.counter() / time::from_micros(1_000_000),
            crowd.seconds,
            enough.rounds(),
            figures.interrupts
        ));
    };
    enough.0.reached.store(true, Relaxed);
    result
}

/// Waits until all tasks have ended, as joining them would, but says how far they are.
fn wait_for(joins: &[Join<Done>]) {
    loop {
        let ended = joins.iter().filter(|join| join.has_ended()).count();
        if ended == joins.len() {
            return;
        }
        progress::say(format_args!(
            "{ended} of {} tasks have done their last round",
            joins.len()
        ));
        sched::sleep(NAP);
    }
}

/// Since when the tasks run, and whether it is for long enough.
struct Clock {
    start: u64,
    /// Counts that they are to run for.
    least: u64,
    /// The same in seconds, and when they began on the host's clock.
    seconds: u64,
    host_start: Option<u64>,
    /// How often the task that conducts the run has slept.
    naps: u64,
}

impl Clock {
    fn start(seconds: u64) -> Self {
        Self {
            start: time::now(),
            least: time::from_micros(seconds * 1_000_000),
            seconds,
            // Not asked where nothing depends on it: a run under a clock that counts instructions stays the same each time.
            host_start: (seconds > 0).then(report::host_seconds).flatten(),
            naps: 0,
        }
    }

    /// Counts that have passed.
    fn counter(&self) -> u64 {
        time::now() - self.start
    }

    fn naps(&self) -> Naps {
        Naps {
            slept: self.naps,
            passed: self.counter() / time::from_micros(NAP),
        }
    }

    /// The host's clock is looked at now and then.
    fn is_over(&self) -> bool {
        self.counter() >= self.least
            || self.naps.is_multiple_of(NAPS_PER_LOOK) && self.is_over_outside()
    }

    /// On the host's clock, which tells whole seconds: the first may have been a short one.
    fn is_over_outside(&self) -> bool {
        let now = self.host_start.and(report::host_seconds());
        now.zip(self.host_start)
            .is_some_and(|(now, start)| now.saturating_sub(start) > self.seconds)
    }
}

fn total(result: &Outcome) -> Figures {
    sum_of(result.ends.iter().map(|end| end.figures))
}

fn sum_of(figures: impl Iterator<Item = Figures>) -> Figures {
    figures.fold(Figures::default(), |sum, figures| sum + figures)
}

/// No task has more pairs than barriers, and all of it adds up.
fn add_up(result: &Outcome) -> Result<(), Failure> {
    for end in &result.ends {
        check_barriers(&alloc::format!("task {}", end.id), end.tally)?;
    }
    check_barriers("the task that boots", result.boot)?;
    let ends = result.ends.iter();
    let tasks = ends.fold(result.boot, |sum, end| sum + end.tally);
    sum::check(tasks, result.parts, result.happened)
}

fn print(run: Run, policy: Policy, result: &Outcome, warnings: u64) {
    println!();
    println!("{run} under {policy}, task by task; (..): inside a section");
    println!(
        "{:>5} {:<13} {:>6} {:>8} {:>5} {:>7} {:>13} {:>13} {:>13} {:>5} {:>7} {:>7} {:>7} {:>5} {:>6}",
        "task",
        "does",
        "rounds",
        "sections",
        "depth",
        "carried",
        "preempted",
        "migrated",
        "interrupted",
        "spur",
        "pairs",
        "dsb",
        "isb",
        "dmb",
        "tlbi"
    );
    for end in &result.ends {
        let (name, rounds) = end.value.as_ref().map_or(("failed", 0), |value| *value);
        print_task(
            &alloc::format!("{}", end.id),
            name,
            rounds,
            end.figures,
            end.tally,
        );
    }
    let ends = result.ends.iter();
    let tasks = ends.fold(Tally::default(), |sum, end| sum + end.tally);
    print_task("all", "", 0, total(result), tasks);
    print_record("boot", "creates, joins", result.boot);
    print_record("cores", "handlers, switches", result.parts.cores);
    print_record("idle", "wakes", result.parts.idle);
    print_record("sum", "the machine", result.parts.machine);
    let handler::Done { pages, in_enable } = result.handlers;
    println!(
        "{pages} pages mapped, used and unmapped by handlers; {in_enable} of them inside the first `enable`; {warnings} warnings"
    );
}

fn print_task(id: &str, does: &str, rounds: u64, figures: Figures, tally: Tally) {
    let pair = |all: u64, inside: u64| {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = write!(text, "{all} ({inside})");
        text
    };
    let Figures {
        sections,
        deepest,
        carried,
        spurious,
        ..
    } = figures;
    println!(
        "{id:>5} {does:<13} {rounds:>6} {sections:>8} {deepest:>5} {carried:>7} {:>13} {:>13} {:>13} {spurious:>5} {:>7} {:>7} {:>7} {:>5} {:>6}",
        pair(figures.preemptions, figures.preemptions_inside),
        pair(figures.migrations, figures.migrations_inside),
        pair(figures.interrupts, figures.interrupts_inside),
        tally.pairs,
        tally.dsb,
        tally.isb,
        tally.dmb,
        tally.tlbi,
    );
}

fn print_record(name: &str, what: &str, tally: Tally) {
    let Tally {
        pairs,
        dsb,
        isb,
        dmb,
        tlbi,
        ..
    } = tally;
    println!("{name:>5} {what:<85} {pairs:>7} {dsb:>7} {isb:>7} {dmb:>5} {tlbi:>6}");
}
