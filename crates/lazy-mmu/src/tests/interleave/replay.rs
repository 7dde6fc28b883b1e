//! One step of one call.
//!
//! The four calls are plain functions; a model checker wants them cut at every access. So a step is made by
//! running the call from its start: the accesses made in earlier steps are answered from what they read then
//! and have no effect again, the next one is made, and what would follow is let run into the void (the calls
//! have no loops). What a call does depends on what it has read alone, so this is exact.

use crate::{Contract, Cpu, Hook, Misuse, Slot, TaskMmu};
use core::cell::Cell;

/// The bytes of a task.
pub(super) type Bytes = [u8; 4];

/// Reads of an operation, at most.
const READS: usize = 12;

/// Where a flow of control is: in which operation of its program, and how far in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct Frame {
    pub op: u8,
    /// Steps made in the operation.
    pub step: u8,
    /// What they have read, in order.
    reads: [u8; READS],
    read_count: u8,
}

/// What a step does besides an access to the task's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Entry `.0` of a page table is written.
    Store(u8),
    /// The mapping of entry `.0` is used.
    Use(u8),
    Dsb,
    Isb,
    Hook(Hook),
    Misuse(Misuse),
    /// Only in the policy that ignores a second enter: noted, and taken back.
    Ignore,
    Unignore,
}

/// A call under way.
pub(super) struct Replay {
    bytes: [Cell<u8>; 4],
    target: u8,
    at: Cell<u8>,
    reads: Cell<[u8; READS]>,
    read_count: Cell<u8>,
    read_at: Cell<u8>,
    effect: Cell<Option<Effect>>,
}

pub(super) struct Byte<'r>(&'r Replay, usize);

/// A task, as a step sees it.
pub(super) type Tested<'r, K> = TaskMmu<K, &'r Replay, Byte<'r>>;

impl Slot for Byte<'_> {
    fn new(_: u8) -> Self {
        unreachable!("a byte of a replay that exists")
    }

    fn get(&self) -> u8 {
        let Byte(replay, i) = *self;
        let now = replay.bytes[i].get();
        match replay.tick() {
            When::Before => {
                let at = replay.read_at.get();
                replay.read_at.set(at + 1);
                replay.reads.get()[usize::from(at)]
            }
            When::Now => {
                let count = replay.read_count.get();
                let mut reads = replay.reads.get();
                reads[usize::from(count)] = now;
                replay.reads.set(reads);
                replay.read_count.set(count + 1);
                now
            }
            When::After => now,
        }
    }

    fn set(&self, v: u8) {
        if self.0.tick() == When::Now {
            self.0.bytes[self.1].set(v);
        }
    }
}

#[derive(PartialEq)]
enum When {
    Before,
    Now,
    After,
}

impl Replay {
    fn tick(&self) -> When {
        let at = self.at.get();
        self.at.set(at + 1);
        match at.cmp(&self.target) {
            core::cmp::Ordering::Less => When::Before,
            core::cmp::Ordering::Equal => When::Now,
            core::cmp::Ordering::Greater => When::After,
        }
    }

    pub(super) fn effect(&self, effect: Effect) {
        if self.tick() == When::Now {
            self.effect.set(Some(effect));
        }
    }
}

impl Cpu for Replay {
    /// Two instructions: a task can be moved to another core between them.
    fn publish(&self) {
        self.effect(Effect::Dsb);
        self.effect(Effect::Isb);
    }

    fn misuse(&self, misuse: Misuse) {
        self.effect(Effect::Misuse(misuse));
    }

    fn hook(&self, hook: Hook) {
        self.effect(Effect::Hook(hook));
    }
}

/// Makes the next step of `run` on `bytes`. Says what it did besides, and whether the operation is over;
/// `frame` then stands before the next one.
pub(super) fn step<K: Contract>(
    frame: &mut Frame,
    bytes: &mut Bytes,
    contract: K,
    run: impl FnOnce(&Tested<'_, K>, &Replay),
) -> (Option<Effect>, bool) {
    let replay = Replay {
        bytes: bytes.map(Cell::new),
        target: frame.step,
        at: Cell::new(0),
        reads: Cell::new(frame.reads),
        read_count: Cell::new(frame.read_count),
        read_at: Cell::new(0),
        effect: Cell::new(None),
    };
    let slots = core::array::from_fn(|i| Byte(&replay, i));
    run(&TaskMmu::over(contract, &replay, slots), &replay);
    *bytes = replay.bytes.each_ref().map(Cell::get);
    let over = replay.at.get() <= frame.step + 1;
    *frame = if over {
        Frame {
            op: frame.op + 1,
            ..Frame::default()
        }
    } else {
        Frame {
            op: frame.op,
            step: frame.step + 1,
            reads: replay.reads.get(),
            read_count: replay.read_count.get(),
        }
    };
    (replay.effect.get(), over)
}
