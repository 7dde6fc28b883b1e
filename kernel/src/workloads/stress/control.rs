//! The controlling task of a stress run, which is the one that boots: it sleeps, looks how far the others have come, and sets the stop flag.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::demand::{Demands, Naps};
use super::{Done, Failure, handler, progress};
use crate::arch::time;
use crate::report;
use crate::sched::{self, Join};
use crate::task::Figures;

/// How long the controlling task sleeps before it looks again, in microseconds.
const NAP: u64 = 2_000;
/// After how many naps it reads the host's clock.
const NAPS_PER_LOOK: u64 = 50;

/// The flag that ends a stress run, and the number of rounds that all tasks have done so far. Clones share both.
#[derive(Clone, Default)]
pub(super) struct StopFlag(Arc<Shared>);

#[derive(Default)]
struct Shared {
    is_set: AtomicBool,
    rounds: AtomicU64,
}

impl StopFlag {
    /// Whether a task is to end, once it has done at least one round.
    pub(super) fn is_set(&self) -> bool {
        self.0.is_set.load(Relaxed)
    }

    /// Has every task end with the round that it is in.
    pub(super) fn set(&self) {
        self.0.is_set.store(true, Relaxed);
    }

    /// Counts a round that a task has done.
    pub(super) fn count_round(&self) {
        self.0.rounds.fetch_add(1, Relaxed);
    }
}

/// Waits until the demands are met and the time has passed, or a check has failed. Then sets the stop flag.
///
/// # Errors
/// A check failed in an interrupt handler.
pub(super) fn until_shown(
    demands: Demands,
    seconds: u64,
    joins: &[Join<Done>],
    stop: &StopFlag,
) -> Result<(), Failure> {
    let mut clock = Clock::start(seconds);
    let result = loop {
        sched::sleep(NAP);
        clock.naps += 1;
        let handled = match handler::done() {
            Ok(done) => done.pages,
            Err(failure) => break Err(failure),
        };
        let figures = joins.iter().map(Join::figures);
        let figures = figures.fold(Figures::default(), |sum, of_one| sum + of_one);
        // Before the stop flag is set, only a task whose check has failed ends.
        let failed = joins.iter().any(Join::has_ended);
        if failed || demands.are_met(figures, handled, clock.naps()) && clock.is_over() {
            break Ok(());
        }
        progress::report(format_args!(
            "{} seconds, of {seconds} at least; {} rounds, {} interrupts",
            clock.passed() / time::from_micros(1_000_000),
            stop.0.rounds.load(Relaxed),
            figures.interrupts
        ));
    };
    stop.set();
    result
}

/// Waits until all tasks have ended, and reports how many have. (Joining them one by one would report nothing.)
pub(super) fn wait_for_ends(joins: &[Join<Done>]) {
    loop {
        let ended = joins.iter().filter(|join| join.has_ended()).count();
        if ended == joins.len() {
            return;
        }
        progress::report(format_args!(
            "{ended} of {} tasks have done their last round",
            joins.len()
        ));
        sched::sleep(NAP);
    }
}

/// How long the tasks have run, and whether that is as long as it must be.
struct Clock {
    /// The kernel's counter when they were started.
    start: u64,
    /// Seconds that they are to run.
    seconds: u64,
    /// The host's clock when they were started.
    host_start: Option<u64>,
    /// How often the controlling task has slept.
    naps: u64,
}

impl Clock {
    fn start(seconds: u64) -> Self {
        Self {
            start: time::now(),
            seconds,
            // Not read where nothing depends on it: a run under a clock that counts instructions stays the same each time.
            host_start: (seconds > 0).then(report::host_seconds).flatten(),
            naps: 0,
        }
    }

    /// Counts of the kernel's counter that have passed.
    fn passed(&self) -> u64 {
        time::now() - self.start
    }

    fn naps(&self) -> Naps {
        Naps {
            slept: self.naps,
            passed: self.passed() / time::from_micros(NAP),
        }
    }

    /// By the kernel's clock; or by the host's, which is read now and then.
    fn is_over(&self) -> bool {
        self.passed() >= time::from_micros(self.seconds * 1_000_000)
            || self.naps.is_multiple_of(NAPS_PER_LOOK) && self.is_over_on_host()
    }

    /// The host's clock counts whole seconds, and the first may have been a short one: so one more must have passed.
    fn is_over_on_host(&self) -> bool {
        let now = self.host_start.and(report::host_seconds());
        now.zip(self.host_start)
            .is_some_and(|(now, start)| now.saturating_sub(start) > self.seconds)
    }
}
