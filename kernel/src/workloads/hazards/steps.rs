//! A hazard, step by step: each step is made, and printed with what was reported meanwhile and the task's state behind it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use lazy_mmu::State;
use mmu_check::event::{AccessKind, Call, Expect, Hook};
use mmu_check::{Event, What};

use crate::base::MAX_CORES;
use crate::observe::ring;
use crate::workloads::{Failure, failure};
use crate::{println, task};

/// How many events each core had recorded at one moment.
#[derive(Clone, Copy)]
struct Mark([u32; MAX_CORES]);

impl Mark {
    fn now() -> Self {
        Self(core::array::from_fn(|core| ring::len(core as u8)))
    }

    /// What all cores have recorded since, in the order in which it was reported. A core that records meanwhile may
    /// leave out its last.
    fn since(self) -> Vec<Event> {
        let mut events: Vec<Event> = (0..)
            .zip(self.0)
            .flat_map(|(core, before)| ring::last(core, (ring::len(core) - before) as usize))
            .collect();
        events.sort_by_key(|event| event.sequence);
        events
    }
}

/// Records on all cores from here on.
pub(super) struct Record {
    from: Mark,
    was_on: bool,
}

impl Record {
    pub(super) fn begin() -> Self {
        let was_on = ring::set_recording(true);
        Self {
            from: Mark::now(),
            was_on,
        }
    }

    /// Ends it, and returns what was recorded.
    ///
    /// # Errors
    /// More events than a core's ring holds: nothing could be said of the first.
    pub(super) fn end(self) -> Result<Vec<Event>, Failure> {
        ring::set_recording(self.was_on);
        for (core, before) in (0..).zip(self.from.0) {
            let events = ring::len(core) - before;
            if events as usize > ring::RING_LEN {
                return Err(failure!(
                    "{events} events of core {core} do not fit its ring"
                ));
            }
        }
        Ok(self.from.since())
    }
}

/// Makes a step of the current task, and prints it.
pub(super) fn step<R>(what: &str, act: impl FnOnce() -> R) -> R {
    step_of(|| task::current().mmu.state(), what, act)
}

/// The same, with the state of a mode that is not the task's own.
pub(super) fn step_of<R>(state: impl Fn() -> State, what: &str, act: impl FnOnce() -> R) -> R {
    let before = Mark::now();
    let result = act();
    let state = state();
    let me = task::current().id;
    let mut done = String::new();
    for event in before.since().iter().filter(|event| event.task == me) {
        // Writing to a String does not fail.
        let _ = write_event(&mut done, &event.what);
    }
    let core = task::core().index;
    println!("    task {me:<2} core {core} | {what:<52} | {state:<36} |{done}");
    result
}

/// An event in a word or two; nothing of those that are for pictures.
fn write_event(out: &mut String, what: &What) -> core::fmt::Result {
    match *what {
        What::Store { .. } => write!(out, " store"),
        What::Stores { count, .. } => write!(out, " {count} stores"),
        What::Zero { .. } => write!(out, " zero"),
        What::Dsb(kind) => write!(out, " dsb-{}", kind.word()),
        What::Dmb(kind) => write!(out, " dmb-{}", kind.word()),
        What::Isb => write!(out, " isb"),
        What::Tlbi { op, .. } => write!(out, " tlbi-{op}"),
        What::Switch { to } => write!(out, " switch-to-{to}"),
        What::IrqEnter => write!(out, " irq("),
        What::IrqExit => write!(out, " )irq"),
        What::Free { .. } => write!(out, " free"),
        What::Alloc { .. } => write!(out, " alloc"),
        What::Call(Call::Enable) => write!(out, " enable"),
        What::Call(Call::Disable) => write!(out, " disable"),
        What::Call(Call::Pause) => write!(out, " pause"),
        What::Call(Call::Resume) => write!(out, " resume"),
        What::Hook(Hook::Enter) => write!(out, " arch_enter"),
        What::Hook(Hook::Leave) => write!(out, " arch_leave"),
        What::Hook(Hook::Flush) => write!(out, " arch_flush"),
        What::Owe => write!(out, " owes"),
        What::Done { .. } => write!(out, " done"),
        What::TaskEnd => write!(out, " end"),
        What::Access { kind, expect, .. } => {
            let kind = match kind {
                AccessKind::Read => "read",
                AccessKind::Write => "write",
                AccessKind::Execute => "execute",
            };
            let faults = if expect == Expect::Faults {
                "-must-fault"
            } else {
                ""
            };
            write!(out, " {kind}{faults}")
        }
        _ => Ok(()),
    }
}
