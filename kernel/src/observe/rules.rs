//! `check=on`: the rules of `mmu-check`, checked at every event.
//!
//! QEMU never shows a missing barrier. So the observer of the machine's instructions, the mode, the
//! allocator and whoever uses a mapping report what they do, and the rules say whether anybody could
//! have used a mapping before its debt was paid. This is the one place where the kernel knows the rules.

use alloc::boxed::Box;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};

use mmu_check::trace::{Buffered, Extent, Header, Recorder, Unwritten, Writer};
use mmu_check::{Checker, Event, Expected, What};

use super::Listening;
use crate::arch::time;
use crate::base::{Lock, Verdict};
use crate::{print, println, task};

/// How many violations are printed: one shows that something is wrong, and a lost barrier breaks a rule at every use.
const PRINTED: u64 = 4;

/// The kernel runs on its own tables: an address is what they say, and its use can be checked.
static OWN_TABLES: AtomicBool = AtomicBool::new(false);
/// The core that holds the rules' lock, counted from 1; 0 for none.
static INSIDE: AtomicU8 = AtomicU8::new(0);
/// Violations are expected: of what breaks rules on purpose they are counted here, from 1 on, and are no failure; 0 while none is. Only
/// one task may expect any at a time, while nobody else works on page tables.
pub(crate) static EXPECTED: AtomicU64 = AtomicU64::new(0);
/// How many violations nobody expected.
static VIOLATIONS: AtomicU64 = AtomicU64::new(0);
static CHECKER: Lock<Option<Checking>> = Lock::new(None);

/// The rules, and the trace of what they are given.
struct Checking {
    rules: Checker,
    /// The events as lines, for the host: `mmu-check`'s example `check_trace` checks the same rules again.
    trace: Option<Recorder<TraceFile>>,
}

impl Checking {
    fn hear(&mut self, event: &Event) {
        self.trace.iter_mut().for_each(|trace| trace.hear(*event));
        let one_more = |seen: u64| (seen > 0).then_some(seen + 1);
        if let Err(violation) = self.rules.step(event)
            && EXPECTED.fetch_update(Relaxed, Relaxed, one_more).is_err()
            && VIOLATIONS.fetch_add(1, Relaxed) < PRINTED
        {
            println!("VIOLATION {violation}");
        }
        let rules = &self.rules;
        self.trace.iter_mut().for_each(|trace| trace.step(rules));
    }

    fn finish_trace(&mut self) -> Result<(), Unwritten> {
        let Some(trace) = self.trace.take() else {
            return Ok(());
        };
        let mut file = trace.finish(&self.rules)?;
        file.flush().map_err(|_| Unwritten::Failed)
    }
}

/// Where the trace goes, in large pieces: a call of the host for every event would take minutes.
pub type TraceFile = Buffered<Box<dyn FnMut(&str) -> fmt::Result + Send>>;

/// Starts checking. Before the kernel's tables are built: the rules must see every table from its zeroes on.
///
/// By `trace` events are also written to a file: all, or those from `begin_run` on.
pub fn start(trace: Option<(Extent, TraceFile)>) {
    let clock = time::frequency();
    let trace =
        trace.map(|(extent, file)| Recorder::new(Writer::new(file, Header { clock }), extent));
    *CHECKER.lock() = Some(Checking {
        rules: Checker::new(),
        trace,
    });
    Listening::Rules.set(true);
    super::report(|| What::CoreStart);
}

/// The boot is over: a trace of the run begins.
pub(crate) fn begin_run() {
    if let Some(Checking { rules, trace, .. }) = CHECKER.lock().as_mut() {
        trace.iter_mut().for_each(|trace| trace.begin_run(rules));
    }
}

/// From here on the kernel's own tables are in use; before, addresses were the early tables'.
pub fn on_own_tables() {
    OWN_TABLES.store(true, Relaxed);
}

/// Whether it is the use of an address that the early tables translate, which no event has described.
pub(super) fn is_early(what: &What) -> bool {
    matches!(what, What::Access { .. }) && !OWN_TABLES.load(Relaxed)
}

/// Whether the rules are checked.
#[inline]
pub fn is_on() -> bool {
    Listening::Rules.is_on()
}

/// Runs `act` and gives the rules its event, as one. Interrupts are masked.
pub(super) fn hear_with(act: impl FnOnce() -> Event) -> Event {
    let this_core = task::core().index + 1;
    // What is done under the lock, or the rules themselves, may have met an exception, which is about to
    // be reported: the lock is this core's then, and stays taken.
    if INSIDE.load(Relaxed) == this_core {
        return act();
    }
    let mut checker = CHECKER.lock();
    INSIDE.store(this_core, Relaxed);
    let event = act();
    if let Some(checker) = checker.as_mut().filter(|_| !is_early(&event.what)) {
        checker.hear(&event);
    }
    INSIDE.store(0, Relaxed);
    event
}

/// Whether a rule was broken, by who was not expected to.
pub fn is_violated() -> bool {
    VIOLATIONS.load(Relaxed) > 0
}

/// Whether the rules were given all that the run is expected to give them; what was missing is printed. Good when
/// nothing was checked at all.
pub fn reaches(expected: Expected) -> Verdict {
    let mut verdict = Verdict::Good;
    if let Some(checker) = CHECKER.lock().as_ref() {
        for name in expected.missing(checker.rules.coverage()) {
            println!("check: there was nothing to check of: {name}");
            verdict = Verdict::Failed;
        }
    }
    verdict
}

/// Ends checking, says what there was to check, and whether all of it was right. Nothing when it was off.
pub fn finish() -> Verdict {
    Listening::Rules.set(false);
    let Some(mut checker) = CHECKER.lock().take() else {
        return Verdict::Good;
    };
    let written = checker.finish_trace();
    if let Err(why) = written {
        println!("check: {why}");
    }
    print!("check:");
    let counts = checker.rules.coverage().counts().into_iter();
    for (name, count) in counts.filter(|(_, count)| *count > 0) {
        print!(" {count} {name},");
    }
    match VIOLATIONS.load(Relaxed) {
        0 => println!(" no violation"),
        count => println!(" {count} VIOLATIONS"),
    }
    Verdict::of(!is_violated() && written.is_ok())
}
