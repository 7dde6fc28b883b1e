//! What a person reads when a rule is broken.

use alloc::vec::Vec;
use core::cmp::Reverse;
use core::fmt;

use crate::event::{AccessKind, Call, Event, Expect, What};
use crate::rules::{Finding, Reason, Rule, Stage, Step};

/// How many events of the same core or task before a violation are shown.
const SHOWN: usize = 12;

/// A rule was broken.
///
/// As text: the rule, who does what, which store owes, why that is wrong, which steps are missing between which
/// events, and the last events.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// Why.
    pub why: Reason,
    /// The virtual address it is about (for R4, R5 and R10 a frame's physical address, for an ASID a root's).
    pub address: u64,
    /// The event at which it was noticed; it has the core and the task.
    pub at: Event,
    /// The store that owes.
    pub owes: Option<Event>,
    /// The steps that are missing before `at`, in this order. Empty where no step would make it right.
    pub missing: Vec<Step>,
    /// The event behind which they are missing; `None` where that is not among the last ones of its core.
    pub after: Option<Event>,
    /// The last events of the same core or task, and `owes` and `after` among them, oldest first.
    last: Vec<Event>,
}

impl Violation {
    /// What is made of a finding at this event, behind the events of all cores in `before`.
    pub(crate) fn new(rule: Rule, finding: &Finding, at: &Event, before: &[Event]) -> Self {
        let why = finding.why;
        let after = after(finding, at, before);
        let last = shown(at, before, [finding.owes, after]);
        Violation {
            rule,
            why,
            address: finding.address,
            at: *at,
            owes: finding.owes,
            missing: why.missing(at, finding),
            after,
            last,
        }
    }

    /// The last events of the same core or task before it, those that no rule looks at left out, and always what `owes`
    /// and what it is missing `after`. Oldest first.
    pub fn last(&self) -> impl Iterator<Item = &Event> {
        self.last.iter()
    }
}

/// The last events of the core or the task of `at`, and those that are named, in their order.
fn shown(at: &Event, before: &[Event], named: [Option<Event>; 2]) -> Vec<Event> {
    let near = |e: &&Event| e.core == at.core || e.task == at.task;
    let newest = before.iter().rev().filter(near).take(SHOWN);
    let mut shown: Vec<Event> = newest.copied().collect();
    for named in named.iter().flatten() {
        if !shown.iter().any(|known| is_in(named, known)) {
            // Of a run of stores all of it, while it is known.
            let known = before.iter().find(|known| is_in(named, known));
            shown.push(*known.unwrap_or(named));
        }
    }
    shown.sort_by_key(|e| Reverse(at.sequence.wrapping_sub(e.sequence)));
    shown
}

/// Behind which event the first step is missing.
fn after(finding: &Finding, at: &Event, before: &[Event]) -> Option<Event> {
    let owes = finding.owes;
    let is_store = |e: &Event| owes.is_some_and(|store| is_in(&store, e));
    let stored = before.iter().rposition(is_store).map_or(0, |at| at + 1);
    let since = || before.iter().skip(stored);
    let visible = || {
        let by = owes.map(|store| store.core);
        let orders = |e: &Event| matches!(e.what, What::Dsb(kind) if kind.orders_stores());
        since().find(|e| Some(e.core) == by && orders(e)).copied()
    };
    // The newest, as the one that counts may be any of several.
    let issued = || since().rposition(|e| is_about(e, finding.address));
    let stage = |stage| match stage {
        Stage::Stored | Stage::Early { visible: false } => owes,
        Stage::Visible { .. } | Stage::Early { .. } | Stage::Local | Stage::Flawed => visible(),
        Stage::Issued { .. } => issued().and_then(|n| since().nth(n).copied()),
        Stage::Completed | Stage::Behind { .. } | Stage::Fetched => {
            let tlbi = issued().unwrap_or(0);
            let completes = |e: &&Event| matches!(e.what, What::Dsb(kind) if kind.completes_tlbi());
            since().skip(tlbi).find(completes).copied()
        }
    };
    let newest = |what: &dyn Fn(&Event) -> bool| before.iter().rfind(|e| what(e)).copied();
    match finding.why {
        Reason::Unpublished | Reason::LeftUnpublished(_) | Reason::SwitchedUnordered => owes,
        Reason::Unsynchronised | Reason::LeftUnsynchronised(_) => visible(),
        Reason::UnsynchronisedTtbr0 => {
            newest(&|e| e.core == at.core && matches!(e.what, What::Ttbr0 { .. }))
        }
        Reason::MadeEarly(at) | Reason::Relied(at) | Reason::LeftStale(at) => stage(at),
        Reason::SwitchedUncompleted => {
            newest(&|e| e.core == at.core && is_about(e, finding.address))
        }
        Reason::LinkUnordered(table) | Reason::RootUnordered(table) => newest(&|e| fills(e, table)),
        _ => None,
    }
}

/// Whether it is this event, or the run of stores that this one is in.
fn is_in(one: &Event, run: &Event) -> bool {
    let distance = one.sequence.wrapping_sub(run.sequence);
    one.core == run.core && u64::from(distance) < run.count()
}

/// Whether it is a TLBI that is about this address.
fn is_about(event: &Event, address: u64) -> bool {
    let What::Tlbi { op, operand } = event.what else {
        return false;
    };
    let pages = op.decode(operand).pages();
    pages.is_none_or(|(va, pages)| (address & !0xfff).wrapping_sub(va) >> 12 < pages)
}

/// Whether it stores to this table.
fn fills(event: &Event, table: u64) -> bool {
    match event.what {
        What::Zero { frame } => frame == table,
        What::Store { slot, .. } | What::Stores { slot, .. } => slot & !0xfff == table,
        _ => false,
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.at.sequence;
        writeln!(f, "{}: {}", self.rule.name(), self.rule.title())?;
        writeln!(
            f,
            "  {} {} (event {number}).",
            Who(&self.at),
            Does(&self.at.what)
        )?;
        if let Some(Event {
            sequence,
            what:
                What::Store {
                    va,
                    level,
                    old,
                    new,
                    ..
                },
            ..
        }) = self.owes
        {
            writeln!(
                f,
                "  {} had stored what that depends on: the level {level} descriptor of {va:#x}, {old:#x} before and \
                 {new:#x} since (event {sequence}).",
                self.owes.as_ref().map_or(Who(&self.at), Who),
            )?;
        }
        writeln!(f, "  The reason: {}.", self.why)?;
        if !self.missing.is_empty() {
            match &self.after {
                Some(Event { sequence, what, .. }) => {
                    let after = Short(what);
                    write!(
                        f,
                        "  Missing between event {sequence} ({after}) and event {number}:"
                    )?;
                }
                None => write!(f, "  Missing before event {number}:")?,
            }
            for (n, step) in self.missing.iter().enumerate() {
                write!(f, "{} {step}", if n == 0 { "" } else { "; then" })?;
            }
            writeln!(f, ".")?;
        }
        let Event { core, task, .. } = self.at;
        writeln!(
            f,
            "  The last events of core {core} and task {task}, and what is named above:"
        )?;
        for event in self.last() {
            writeln!(f, "    {event}")?;
        }
        write!(f, "  See: {}", self.rule.basis())
    }
}

impl core::error::Error for Violation {}

/// Who has reported an event, as the subject of a sentence.
struct Who<'a>(&'a Event);

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Core {} in task {}", self.0.core, self.0.task)
    }
}

/// An event in brackets: of a store the numbers have been said.
struct Short<'a>(&'a What);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            What::Store { .. } | What::Stores { .. } => f.write_str("the store"),
            what => what.fmt(f),
        }
    }
}

/// What happens, as the rest of the sentence.
struct Does<'a>(&'a What);

impl fmt::Display for Does<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self.0 {
            What::Store {
                va,
                level,
                old,
                new,
                ..
            } => write!(
                f,
                "stores the level {level} descriptor of {va:#x}: {new:#x} over {old:#x}"
            ),
            What::Access { va, kind, expect } => {
                let verb = match kind {
                    AccessKind::Read => "reads",
                    AccessKind::Write => "writes to",
                    AccessKind::Execute => "executes",
                };
                let relies = match expect {
                    Expect::Works => "that must work",
                    Expect::Retries => "that must work, if need be when it is tried again",
                    Expect::Faults => "that must fault",
                };
                write!(f, "{verb} {va:#x}, and {relies}")
            }
            What::Done {
                va, pages, tables, ..
            } => {
                let tables = if tables { ", walk caches too" } else { "" };
                let plural = if pages == 1 { "" } else { "s" };
                write!(
                    f,
                    "calls the invalidation of {pages} page{plural} from {va:#x} complete{tables}"
                )
            }
            What::Free { frame } => write!(f, "gives the frame {frame:#x} back"),
            What::Alloc { frame } => write!(f, "takes the frame {frame:#x}"),
            What::Tlbi { op, operand } => write!(f, "executes tlbi {op} with {operand:#x}"),
            What::Ttbr0 { root, asid } => write!(f, "writes TTBR0: root {root:#x}, ASID {asid}"),
            What::Switch { to } => write!(f, "switches to task {to}"),
            What::Call(Call::Disable) => f.write_str("ends a section"),
            What::Call(Call::Pause) => f.write_str("pauses the mode"),
            What::IrqExit => f.write_str("ends an interrupt handler"),
            What::TaskEnd => f.write_str("ends the task"),
            ref what => write!(f, "reports `{what}`"),
        }
    }
}
