//! Everything observable, from one source.
//!
//! The arch primitives and the mode record what they do as [`Event`]s: into a ring per core, for
//! the exception report and the trace. Counting is separate and always on
//! ([`crate::task::Counts`]); recording costs one load and a test when it is off.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::arch::registers;
use crate::{println, task};

/// What happened. The comment gives the meaning of the words `a`, `b` and `c`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
#[allow(missing_docs)] // the table in the comments is the documentation
pub enum Kind {
    DsbIshst = 1, // –
    DsbIsh,       // –
    Isb,          // –
    DmbIshst,     // –
    Tlbi,         // a: first operand, b: how many, c: operation << 56 | step of the operand
    Store,        /* a: first virtual address, b: first slot's physical address, c: number of
                   * descriptors stored */
    Link,        // a: virtual address, b: slot's physical address, c: the new table's
    Call,        // a: 0 enable, 1 disable, 2 pause, 3 resume
    Hook,        // a: 0 enter, 1 leave, 2 flush
    Owe,         // –
    FrameAlloc,  // a: physical address
    FrameFree,   // a: physical address
    Ttbr0,       // a: the new value
    WindowStart, // a: tag
    WindowEnd,   // a: tag
    Switch,      // a: the task that goes on; this event is the last of the one that leaves
    Interrupt,   // a: 1 a handler begins on top of the task, 0 it ends
}

impl Kind {
    fn from_u8(value: u8) -> Option<Self> {
        const ALL: [Kind; 17] = [
            Kind::DsbIshst,
            Kind::DsbIsh,
            Kind::Isb,
            Kind::DmbIshst,
            Kind::Tlbi,
            Kind::Store,
            Kind::Link,
            Kind::Call,
            Kind::Hook,
            Kind::Owe,
            Kind::FrameAlloc,
            Kind::FrameFree,
            Kind::Ttbr0,
            Kind::WindowStart,
            Kind::WindowEnd,
            Kind::Switch,
            Kind::Interrupt,
        ];
        ALL.into_iter().find(|&kind| kind as u8 == value)
    }
}

/// One event: 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Event {
    /// Position in the order of all cores; wraps.
    pub sequence: u32,
    /// What happened.
    pub kind: Kind,
    /// On which core.
    pub core: u8,
    /// In which task.
    pub task: u16,
    /// See [`Kind`].
    pub a: u64,
    /// See [`Kind`].
    pub b: u64,
    /// See [`Kind`].
    pub c: u64,
}

const _: () = assert!(size_of::<Event>() == 32);

/// How many events a ring holds: enough to see what led to a fault.
const RING_LEN: usize = 256;

/// The last events of one core. Written by that core alone, task or interrupt handler.
pub struct Ring {
    next: AtomicU32,
    slots: [[AtomicU64; 4]; RING_LEN],
}

impl Ring {
    /// An empty ring.
    pub const fn new() -> Self {
        Self {
            next: AtomicU32::new(0),
            slots: [const { [const { AtomicU64::new(0) }; 4] }; RING_LEN],
        }
    }

    fn push(&self, event: Event) {
        // Claiming the slot before it is filled keeps an interrupt's event from landing in the same
        // one.
        let slot = &self.slots[self.next.fetch_add(1, Relaxed) as usize % RING_LEN];
        let head = u64::from(event.sequence)
            | u64::from(event.kind as u8) << 32
            | u64::from(event.core) << 40
            | u64::from(event.task) << 48;
        for (word, value) in slot.iter().zip([head, event.a, event.b, event.c]) {
            word.store(value, Relaxed);
        }
    }

    /// The last `count` events, oldest first.
    pub fn last(&self, count: usize) -> impl Iterator<Item = Event> + '_ {
        let next = self.next.load(Relaxed) as usize;
        let count = count.min(RING_LEN).min(next);
        (next - count..next).filter_map(|index| {
            let [head, a, b, c] =
                [0, 1, 2, 3].map(|word: usize| self.slots[index % RING_LEN][word].load(Relaxed));
            let [s0, s1, s2, s3, kind, core, t0, t1] = head.to_le_bytes();
            Some(Event {
                sequence: u32::from_le_bytes([s0, s1, s2, s3]),
                kind: Kind::from_u8(kind)?,
                core,
                task: u16::from_le_bytes([t0, t1]),
                a,
                b,
                c,
            })
        })
    }
}

impl Ring {
    /// Prints the last events of this core, for a check that failed.
    pub fn print_last(&self) {
        println!("the last events of core {}:", task::core().index);
        for Event {
            sequence,
            kind,
            task,
            a,
            b,
            c,
            ..
        } in self.last(32)
        {
            println!("  {sequence:>8} task {task}: {kind:?} {a:#x} {b:#x} {c:#x}");
        }
    }
}

impl Default for Ring {
    fn default() -> Self {
        Self::new()
    }
}

static RECORDING: AtomicBool = AtomicBool::new(false);
static SEQUENCE: AtomicU32 = AtomicU32::new(0);

/// Turns recording on or off, for all cores.
pub fn set_recording(on: bool) {
    RECORDING.store(on, Relaxed);
}

/// Records an event of the current task on this core, when recording is on.
#[inline]
pub fn record(kind: Kind, a: u64, b: u64, c: u64) {
    if RECORDING.load(Relaxed) {
        record_slow(kind, a, b, c);
    }
}

#[cold]
fn record_slow(kind: Kind, a: u64, b: u64, c: u64) {
    // The core's number and its ring belong together: no move to another core in between.
    let mask = registers::mask_interrupts();
    let core = task::core();
    let event = Event {
        sequence: SEQUENCE.fetch_add(1, Relaxed),
        kind,
        core: core.index,
        task: task::current().id,
        a,
        b,
        c,
    };
    core.events.push(event);
    registers::restore_interrupts(mask);
}
