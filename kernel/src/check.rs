//! `check=on`: the rules of `mmu-check`, asked at every event.
//!
//! QEMU never shows a missing barrier. So the arch primitives, the mode, the allocator and whoever uses a mapping say what they do,
//! and the rules say whether anybody could have used a mapping before its debt was paid. This is the one place where the kernel knows
//! the rules.
//!
//! What pays or owes is told after it was done, and what relies on a payment before it is: then two cores' events may come in
//! any order without a rule being wrong about it. What is done by one core is told as one with it ([`turn`]).
//!
//! When it is off, telling costs a load and a test; in the loop over descriptors, once per call.

use alloc::string::{String, ToString};
use core::fmt::Write as _;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};

use mmu_check::event::{AccessKind, Expect};
use mmu_check::{Checker, Event, Violation, What};
use semihosting::fs::File;
use semihosting::io::Write as _;
use stage1_paging::{Frame, Pages, Va};

use crate::arch::registers;
use crate::exit::Verdict;
use crate::mem::layout;
use crate::sync::Lock;
use crate::{print, println, task};

static ON: AtomicBool = AtomicBool::new(false);
/// The kernel runs on its own tables: an address is what they say, and its use can be judged.
static OWN_TABLES: AtomicBool = AtomicBool::new(false);
/// Some of the trace could not be written.
static UNWRITTEN: AtomicBool = AtomicBool::new(false);
static VIOLATIONS: AtomicU64 = AtomicU64::new(0);
/// The core that asks the rules, counted from 1; 0 for none.
static ASKING: AtomicU8 = AtomicU8::new(0);
static CHECKER: Lock<Option<Checking>> = Lock::new(None);

/// The rules, and where they are told from as well.
struct Checking {
    rules: Checker,
    trace: Option<Trace>,
    /// Position in the order of all cores.
    sequence: u32,
}

/// The events as lines, for the host: `mmu-check`'s example `check_trace` asks the same rules again.
struct Trace {
    file: File,
    lines: String,
}

impl Trace {
    /// How many bytes are kept before they are written: a call of the host for every event would take minutes.
    const KEPT: usize = 8192;

    fn note(&mut self, event: &Event) {
        // Writing to a String does not fail.
        let _ = writeln!(self.lines, "{event}");
        if self.lines.len() >= Self::KEPT {
            self.write();
        }
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
        }),
        sequence: 0,
    });
    ON.store(true, Relaxed);
    tell(What::CoreStart);
}

/// From here on the kernel's own tables are in use; before, addresses were the early tables'.
pub fn on_own_tables() {
    OWN_TABLES.store(true, Relaxed);
}

/// Whether the rules are asked.
#[inline]
pub fn is_on() -> bool {
    ON.load(Relaxed)
}

/// Tells the rules what happened, in the current task on this core.
#[inline]
pub fn tell(what: What) {
    if is_on() {
        ask(what);
    }
}

/// Something that is done and told as one: while the rules are asked, interrupts are masked from [`turn`] to the drop. Without it
/// the task might go on elsewhere between the two, and the rules would hear of it on the wrong core.
#[must_use = "interrupts are masked while it lives"]
pub struct Turn {
    mask: Option<u64>,
}

/// Begins a [`Turn`]; a load and a test when nothing is checked.
#[inline]
pub fn turn() -> Turn {
    Turn {
        mask: is_on().then(registers::mask_interrupts),
    }
}

impl Turn {
    /// Tells what was done.
    #[inline]
    pub fn tell(&self, what: What) {
        if self.is_told() {
            ask(what);
        }
    }

    /// Whether the rules are asked.
    #[inline]
    pub fn is_told(&self) -> bool {
        self.mask.is_some()
    }
}

impl Drop for Turn {
    #[inline]
    fn drop(&mut self) {
        if let Some(mask) = self.mask {
            registers::restore_interrupts(mask);
        }
    }
}

/// Tells the rules that a mapped address is about to be used, and must work.
#[inline]
pub fn tell_use(va: Va, kind: AccessKind) {
    tell_access(va, kind, Expect::Works);
}

#[inline]
fn tell_access(va: Va, kind: AccessKind, expect: Expect) {
    if is_on() && OWN_TABLES.load(Relaxed) {
        ask(What::Access {
            va: va.raw(),
            kind,
            expect,
        });
    }
}

/// Tells the rules that an address is about to be probed, and must fault.
#[inline]
pub fn tell_probe(va: Va, kind: AccessKind) {
    tell_access(va, kind, Expect::Faults);
}

/// Tells the rules that a whole frame is about to be written through the linear map.
#[inline]
pub fn tell_fill(frame: Frame) {
    tell_use(layout::linear(frame.pa()), AccessKind::Write);
}

/// Tells the rules that an invalidation is about to be called complete for these pages.
#[inline]
pub fn tell_done(pages: Pages, asid: u16, tables: bool) {
    tell(What::Done {
        va: pages.start().raw(),
        pages: pages.count(),
        asid,
        tables,
    });
}

/// Does what other cores can see, a store to a table, and tells it before any of them can tell what it did because of it.
///
/// Told afterwards, a link could come behind the descriptor that another core stored through it.
#[inline]
pub fn tell_in_turn(what: What, act: impl FnOnce()) {
    if is_on() {
        ask_and(what, act);
    } else {
        act();
    }
}

#[cold]
fn ask(what: What) {
    ask_and(what, || ());
}

fn ask_and(what: What, act: impl FnOnce()) {
    // The event keeps its core, and its place in the order is its turn at the lock.
    let _turn = turn();
    let this_core = task::core().index + 1;
    if ASKING.load(Relaxed) == this_core {
        // The rules themselves met an exception, which is about to be reported: the lock is this core's, and stays taken.
        return act();
    }
    let mut checker = CHECKER.lock();
    act();
    if let Some(checker) = checker.as_mut() {
        ASKING.store(this_core, Relaxed);
        checker.ask(what);
        ASKING.store(0, Relaxed);
    }
}

impl Checking {
    fn ask(&mut self, what: What) {
        let event = Event {
            sequence: self.sequence,
            core: task::core().index,
            task: task::current().id,
            what,
        };
        self.sequence = self.sequence.wrapping_add(1);
        if let Some(trace) = &mut self.trace {
            trace.note(&event);
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
        let tasks: &[&str] = &["switches", "switches in debt", "interrupts in debt"];
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
    ON.store(false, Relaxed);
    let Some(mut checker) = CHECKER.lock().take() else {
        return Verdict::Good;
    };
    if let Some(trace) = &mut checker.trace {
        trace.write();
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
