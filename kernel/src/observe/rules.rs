//! `check=on`: the rules of `mmu-check`, checked at every event.
//!
//! QEMU never shows a missing barrier. So the observer of the machine's instructions, the mode, the
//! allocator and whoever uses a mapping report what they do, and the rules say whether anybody could
//! have used a mapping before its debt was paid. This is the one place where the kernel knows the rules.

use alloc::string::{String, ToString};
use core::fmt::Write as _;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};

use mmu_check::event::Merge;
use mmu_check::{Checker, Event, Violation, What};
use semihosting::fs::File;
use semihosting::io::Write as _;

use super::Listening;
use crate::base::Lock;
use crate::base::Verdict;
use crate::{print, println, task};

/// The kernel runs on its own tables: an address is what they say, and its use can be judged.
static OWN_TABLES: AtomicBool = AtomicBool::new(false);
/// Some of the trace could not be written.
static UNWRITTEN: AtomicBool = AtomicBool::new(false);
static VIOLATIONS: AtomicU64 = AtomicU64::new(0);
/// The core that holds the rules' lock, counted from 1; 0 for none.
static INSIDE: AtomicU8 = AtomicU8::new(0);
static CHECKER: Lock<Option<Checking>> = Lock::new(None);

/// The rules, and the trace of what they are given.
struct Checking {
    rules: Checker,
    trace: Option<Trace>,
    /// Position in the order of all cores.
    sequence: u32,
}

/// The events as lines, for the host: `mmu-check`'s example `check_trace` checks the same rules again.
struct Trace {
    file: File,
    lines: String,
    /// A range of descriptors is one line.
    runs: Merge,
}

impl Trace {
    /// How many bytes are kept before they are written: a call of the host for every event would take minutes.
    const KEPT: usize = 8192;

    fn note(&mut self, event: Event) {
        for event in self.runs.push(event).into_iter().flatten() {
            // Writing to a String does not fail.
            let _ = writeln!(self.lines, "{event}");
        }
        if self.lines.len() >= Self::KEPT {
            self.write();
        }
    }

    fn finish(&mut self) {
        if let Some(event) = self.runs.flush() {
            let _ = writeln!(self.lines, "{event}");
        }
        self.write();
    }

    fn write(&mut self) {
        if self.file.write_all(self.lines.as_bytes()).is_err() {
            println!("check: the trace could not be written");
            UNWRITTEN.store(true, Relaxed);
        }
        self.lines.clear();
    }
}

/// How many violations are printed: one is enough to know, and a lost barrier breaks a rule at every use.
const PRINTED: u64 = 4;

/// Starts checking. Before the kernel's tables are built: the rules must see every table from its zeroes on.
///
/// With `trace` every event is also written to `events.trace`.
pub fn start(trace: bool) {
    let file = trace.then(|| File::create(c"events.trace"));
    *CHECKER.lock() = Some(Checking {
        rules: Checker::new(),
        trace: file.and_then(Result::ok).map(|file| Trace {
            file,
            lines: String::new(),
            runs: Merge::new(),
        }),
        sequence: 0,
    });
    Listening::Rules.set(true);
    super::report(|| What::CoreStart);
}

/// From here on the kernel's own tables are in use; before, addresses were the early tables'.
pub fn on_own_tables() {
    OWN_TABLES.store(true, Relaxed);
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
    let unjudged = matches!(event.what, What::Access { .. }) && !OWN_TABLES.load(Relaxed);
    if let Some(checker) = checker.as_mut().filter(|_| !unjudged) {
        checker.hear(event);
    }
    INSIDE.store(0, Relaxed);
    event
}

impl Checking {
    fn hear(&mut self, event: Event) {
        let event = Event {
            sequence: self.sequence,
            ..event
        };
        self.sequence = self.sequence.wrapping_add(1);
        if let Some(trace) = &mut self.trace {
            trace.note(event);
        }
        if let Err(violation) = self.rules.step(&event) {
            report(&violation);
        }
    }
}

fn report(violation: &Violation) {
    if VIOLATIONS.fetch_add(1, Relaxed) < PRINTED {
        println!("VIOLATION {}", violation.to_string());
    }
}

/// What a run must have given the rules to look at, by the names of [`mmu_check::Coverage`]. A run that breaks no rule because nothing
/// happened proves nothing.
pub struct Floors {
    /// It maps, uses, probes and unmaps pages.
    pub pages: bool,
    /// Sections nest in it.
    pub nested: bool,
    /// It has many tasks, preempted and interrupted in debt.
    pub tasks: bool,
}

impl Floors {
    fn names(&self) -> impl Iterator<Item = &'static str> {
        let pages: &[&str] = &[
            "mappings",
            "used mappings",
            "accesses",
            "probes",
            "withdrawn",
            "invalidations",
            "dones",
            "frees",
            "sections",
        ];
        let tasks: &[&str] = &[
            "switches",
            "switches in debt",
            "interrupts in debt",
            "interrupts",
            "task ends",
        ];
        let nested: &[&str] = &["nested"];
        [
            (self.pages, pages),
            (self.nested, nested),
            (self.tasks, tasks),
        ]
        .into_iter()
        .filter(|(asked, _)| *asked)
        .flat_map(|(_, names)| names.iter().copied())
    }
}

/// Whether there was all of that to check. Right when nothing was checked at all.
pub fn reaches(floors: &Floors) -> Verdict {
    let checker = CHECKER.lock();
    let Some(checker) = checker.as_ref() else {
        return Verdict::Good;
    };
    let mut verdict = Verdict::Good;
    for name in floors
        .names()
        .filter(|name| checker.rules.coverage().missing().any(|none| none == *name))
    {
        println!("check: there was nothing to check of: {name}");
        verdict = Verdict::Failed;
    }
    verdict
}

/// Ends checking, says what there was to check, and whether all of it was right. Nothing when it was off.
pub fn finish() -> Verdict {
    Listening::Rules.set(false);
    let Some(mut checker) = CHECKER.lock().take() else {
        return Verdict::Good;
    };
    if let Some(trace) = &mut checker.trace {
        trace.finish();
    }
    print!("check:");
    for (name, count) in checker
        .rules
        .coverage()
        .counts()
        .into_iter()
        .filter(|(_, count)| *count > 0)
    {
        print!(" {count} {name},");
    }
    match VIOLATIONS.load(Relaxed) {
        0 => {
            println!(" no violation");
            if UNWRITTEN.load(Relaxed) {
                Verdict::Failed
            } else {
                Verdict::Good
            }
        }
        count => {
            println!(" {count} VIOLATIONS");
            Verdict::Failed
        }
    }
}
