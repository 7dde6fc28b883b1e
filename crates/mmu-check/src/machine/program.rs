//! Small programs of several cores, in every schedule: what stands above the cores, memory, walks and TLBs.
//!
//! A core executes its instructions in order, but for loads: a load may be overtaken by what comes behind it,
//! unless a barrier or a dependency is between them. A program waits for a flag in a loop ([`Do::Await`]), so
//! stores, TLBIs and context synchronisation events behind that depend on it.
//!
//! Whatever may happen by itself may happen between any two of them. [`Program::reaches`] looks at every state
//! that there is, each once; of walks ahead of time there are two in a run, one that keeps the old
//! state and one that brings it back.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};

use super::system::{Fault, Happening, System, Watch, Way};
use crate::event::{AccessKind, Barrier, Event, Expect, What};
use crate::tlbi::Op;

/// Walks ahead of time in one run: one that keeps the old state and one that brings it back.
const WALKS: u8 = 2;

/// An instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Do {
    /// A descriptor is stored: its physical address, the first address it translates, the table's level, what it is.
    Store(u64, u64, u8, u64),
    /// A frame is filled with zeroes, to become a table.
    Zero(u64),
    /// A frame is given back; its next owner's stores follow as [`Do::Data`].
    Free(u64),
    /// A word of ordinary memory is stored, by its physical address.
    Data(u64, u64),
    /// A word of ordinary memory is loaded.
    Load(u64),
    /// A word of ordinary memory is loaded until it has this value.
    Await(u64, u64),
    /// A DMB.
    Dmb(Barrier),
    /// A DSB.
    Dsb(Barrier),
    /// An ISB, exception return or exception entry.
    Synchronise(What),
    /// A TLB invalidation.
    Tlbi(Op, u64),
    /// TTBR0 is written: root and ASID.
    Ttbr0(u64, u16),
    /// A mapped address is used; a store stores 1. What the program relies on, if on anything. Who retries makes
    /// the access again after the exception.
    Access(u64, AccessKind, Option<Expect>),
}

/// What an instruction has seen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Seen {
    /// Nothing: it was no load and no access, or has not been executed.
    Nothing,
    /// A value: what was loaded, where a fetched instruction stands in memory, 0 for a store.
    Value(u64),
    /// A fault.
    Fault(Fault),
}

/// What a run has ended with: for each core what its instructions have seen.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Outcome {
    /// By core and instruction.
    pub seen: Vec<Vec<Seen>>,
    /// A core has held two translations that it must not hold at once.
    pub conflict: bool,
}

/// A program for several cores.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program {
    /// What core 0 does before, alone; all of it has settled then. The other cores begin with its TTBR0.
    pub start: Vec<Do>,
    /// What each core does.
    pub cores: Vec<Vec<Do>>,
}

/// There are more states than were to be looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooMany;

/// A hash of a state in a hurry: states are distinguished by it. Of a million, two are taken for one with a chance
/// of one in tens of millions.
struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 29;
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(byte.into());
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(word.into());
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    system: System,
    outcome: Outcome,
    /// A bit per instruction that was executed.
    done: Vec<u32>,
    walks_left: u8,
}

impl Program {
    /// Whether some schedule ends with an outcome that is `bad`, where the upper half is translated from `ttbr1`.
    ///
    /// # Errors
    /// If that takes looking at more than `most` states.
    pub fn reaches(
        &self,
        ttbr1: u64,
        most: usize,
        bad: impl Fn(&Outcome) -> bool,
    ) -> Result<bool, TooMany> {
        let watch = self.watch();
        let mut known = HashSet::new();
        let mut open = Vec::from([self.first(ttbr1, &watch)]);
        while let Some(state) = open.pop() {
            let finished = self.is_finished(&state);
            if finished && bad(&state.outcome) {
                return Ok(true);
            }
            self.next(&state, &watch, |next| {
                let mut mixer = Mixer(0);
                next.hash(&mut mixer);
                if known.insert(mixer.finish()) {
                    open.push(next);
                }
            });
            if known.len() > most {
                return Err(TooMany);
            }
        }
        Ok(false)
    }

    fn watch(&self) -> Watch {
        let all = || self.cores.iter().flatten();
        let accessed = all().filter_map(|step| match *step {
            Do::Access(va, ..) => Some(va & !0xfff),
            _ => None,
        });
        let changing = all().filter_map(|step| match *step {
            Do::Store(pa, ..) | Do::Data(pa, _) => Some(pa & !0xfff),
            Do::Zero(frame) => Some(frame),
            _ => None,
        });
        let addresses: BTreeSet<u64> = accessed.collect();
        Watch {
            addresses: addresses.into_iter().collect(),
            changing: Some(changing.collect()),
        }
    }

    fn first(&self, ttbr1: u64, watch: &Watch) -> State {
        let cores = self.cores.len();
        let mut state = State {
            system: System::new(cores, ttbr1),
            outcome: Outcome {
                seen: self
                    .cores
                    .iter()
                    .map(|c| alloc::vec![Seen::Nothing; c.len()])
                    .collect(),
                conflict: false,
            },
            done: alloc::vec![0; cores],
            walks_left: WALKS,
        };
        for step in &self.start {
            if let Do::Access(va, kind, _) = *step {
                // It leaves its translation in the TLB.
                let way = state.system.ways(0, va, kind, watch)[0];
                let _ = state.system.translate(0, va, kind, way, watch);
            }
            self.execute(&mut state.system, 0, *step);
            state.system.memory.arrive_all(0);
        }
        let ttbr0 = state.system.cores[0].ttbr0;
        for core in &mut state.system.cores {
            core.synchronise();
            core.ttbr0 = ttbr0;
        }
        state
    }

    fn is_finished(&self, state: &State) -> bool {
        let mut all = self.cores.iter().zip(&state.done);
        all.all(|(steps, done)| done.count_ones() as usize == steps.len())
    }

    /// Every state that comes next. Where an instruction may as well execute at once, that alone.
    fn next(&self, state: &State, watch: &Watch, mut f: impl FnMut(State)) {
        if let Some(prompt) = self.prompt(state) {
            return self.step(state, prompt, watch, &mut f);
        }
        for (core, steps) in self.cores.iter().enumerate() {
            for at in 0..steps.len() {
                if self.may_execute(state, core, at) {
                    self.step(state, (core, at), watch, &mut f);
                }
            }
        }
        let mut happen = |happening, walks| {
            let mut next = state.clone();
            next.walks_left -= walks;
            next.system.happen(happening, watch);
            if next.system == state.system {
                return;
            }
            next.outcome.conflict |= next.system.conflict.is_some();
            f(next);
        };
        for happening in state.system.happenings(watch) {
            happen(happening, 0);
        }
        if state.walks_left > 0 {
            for core in 0..self.cores.len() {
                // Nobody uses what a core finds that has no access left.
                for va in self.to_come(state, core) {
                    for walk in state.system.beginnings(core, va, watch) {
                        happen(Happening::Begin(core, walk), 1);
                    }
                }
            }
        }
    }

    /// An instruction that nothing is lost by executing at once, whatever else may happen: what could come before it can come
    /// behind it just as well, and leads to no less.
    ///
    /// - A store, a TLBI and a DMB only begin something: when a store arrives and a TLBI is carried out stays open, and what a
    ///   DMB orders behind itself is not there yet.
    /// - A context synchronisation ends what its core has found ahead of time, and what comes behind it could not use that in
    ///   any case. Where TTBR0 was written before, walks from the old root may still come first.
    /// - A wait for a flag and a DSB do nothing more where nothing of their core is on its way.
    fn prompt(&self, state: &State) -> Option<(usize, usize)> {
        let all = self.cores.iter().enumerate();
        let mut steps = all.flat_map(|(core, steps)| (0..steps.len()).map(move |at| (core, at)));
        steps.find(|&(core, at)| {
            let (system, own) = (&state.system, &state.system.cores[core]);
            let settled = || system.memory.is_settled(core);
            let prompt = match self.cores[core][at] {
                Do::Store(..) | Do::Zero(_) | Do::Data(..) | Do::Free(_) => true,
                Do::Dmb(_) | Do::Tlbi(..) | Do::Ttbr0(..) => true,
                Do::Synchronise(_) => own.ttbr0_before.is_empty(),
                Do::Await(..) => settled(),
                Do::Dsb(_) => settled() && own.issued.is_empty(),
                Do::Load(_) | Do::Access(..) => false,
            };
            prompt && self.may_execute(state, core, at)
        })
    }

    /// The pages that the core has still to access.
    fn to_come(&self, state: &State, core: usize) -> BTreeSet<u64> {
        let steps = self.cores[core].iter().enumerate();
        let left = steps.filter(|(at, _)| state.done[core] >> at & 1 == 0);
        left.filter_map(|(_, step)| match *step {
            Do::Access(va, ..) => Some(va & !0xfff),
            _ => None,
        })
        .collect()
    }

    /// Whether nothing that is not executed yet holds it up.
    fn may_execute(&self, state: &State, core: usize, at: usize) -> bool {
        let (steps, done) = (&self.cores[core], state.done[core]);
        let awaited = match steps[at] {
            Do::Await(pa, value) => state.system.memory.forwarded(core, pa) == value,
            _ => true,
        };
        let open = |i: &usize| done >> i & 1 == 0;
        awaited && open(&at) && !(0..at).filter(open).any(|i| holds_up(steps[i], steps[at]))
    }

    /// It executes, in each way that there is.
    fn step(
        &self,
        state: &State,
        (core, at): (usize, usize),
        watch: &Watch,
        f: &mut impl FnMut(State),
    ) {
        let step = self.cores[core][at];
        let done = |mut next: State, seen| {
            next.done[core] |= 1 << at;
            next.outcome.seen[core][at] = seen;
            next.outcome.conflict |= next.system.conflict.is_some();
            next
        };
        let Do::Access(va, kind, expect) = step else {
            let mut next = state.clone();
            let seen = self.execute(&mut next.system, core, step);
            return f(done(next, seen));
        };
        for way in state.system.ways(core, va, kind, watch) {
            let mut next = state.clone();
            let seen = access(&mut next.system, core, (va, kind), way, watch);
            let faults = matches!(seen, Seen::Fault(_));
            // An exception is taken in its place: when all that stands before has executed.
            if faults && state.done[core].trailing_ones() as usize != at {
                continue;
            }
            if !faults || expect != Some(Expect::Retries) {
                f(done(next, seen));
                continue;
            }
            next.system.cores[core].synchronise();
            for way in next.system.ways(core, va, kind, watch) {
                let mut again = next.clone();
                let seen = access(&mut again.system, core, (va, kind), way, watch);
                f(done(again, seen));
            }
        }
    }

    /// Executes what can be executed in one way alone.
    fn execute(&self, system: &mut System, core: usize, step: Do) -> Seen {
        match step {
            Do::Store(pa, _, _, value) | Do::Data(pa, value) => {
                system.memory.store(core, pa, value, None);
            }
            Do::Zero(frame) => system.memory.zero(core, frame),
            Do::Load(pa) | Do::Await(pa, _) => return Seen::Value(system.memory.load(core, pa)),
            Do::Dmb(kind) => system.dmb(core, kind),
            Do::Dsb(kind) => system.dsb(core, kind),
            Do::Synchronise(_) => system.cores[core].synchronise(),
            Do::Tlbi(op, operand) => system.tlbi(core, op.decode(operand)),
            Do::Ttbr0(root, asid) => system.set_ttbr0(core, root, asid),
            Do::Free(_) | Do::Access(..) => {}
        }
        Seen::Nothing
    }

    /// The events of the schedule in which each core goes on until it waits for a flag, as the rules hear them:
    /// an exception entry behind it, everything else where it stands.
    pub fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        let mut memory = BTreeMap::new();
        let mut add = |core: usize, step: Do, memory: &mut BTreeMap<u64, u64>| {
            let sequence = events.len() as u32;
            let (core, task) = (core as u8, core as u16 + 1);
            events.extend(what(step, memory).map(|what| Event {
                sequence,
                time: 0,
                core,
                task,
                what,
            }));
        };
        for step in &self.start {
            add(0, *step, &mut memory);
        }
        let is_ttbr0 = |step: &&Do| matches!(step, Do::Ttbr0(..));
        let ttbr0 = self.start.iter().rfind(is_ttbr0);
        for core in 1..self.cores.len() {
            add(core, Do::Synchronise(What::CoreStart), &mut memory);
            if let Some(ttbr0) = ttbr0 {
                add(core, *ttbr0, &mut memory);
            }
            add(core, Do::Synchronise(What::Isb), &mut memory);
        }
        let mut at = alloc::vec![0; self.cores.len()];
        while let Some(core) = (0..at.len()).find(|&core| {
            let next = self.cores[core].get(at[core]);
            next.is_some_and(|step| match step {
                Do::Await(pa, value) => memory.get(pa).copied().unwrap_or(0) == *value,
                _ => true,
            })
        }) {
            add(core, self.cores[core][at[core]], &mut memory);
            at[core] += 1;
        }
        events
    }
}

fn access(
    system: &mut System,
    core: usize,
    (va, kind): (u64, AccessKind),
    way: Way,
    watch: &Watch,
) -> Seen {
    let result = match kind {
        AccessKind::Read => system.read(core, va, way, watch),
        AccessKind::Write => system.write(core, va, 1, way, watch).map(|()| 0),
        AccessKind::Execute => system
            .translate(core, va, kind, way, watch)
            .map(|(pa, _)| pa),
    };
    result.map_or_else(Seen::Fault, Seen::Value)
}

/// Whether `later` waits until `earlier`, of the same core, has executed.
fn holds_up(earlier: Do, later: Do) -> bool {
    let reads = matches!(
        later,
        Do::Load(_) | Do::Await(..) | Do::Access(_, AccessKind::Read, _)
    );
    match earlier {
        Do::Load(_) | Do::Await(..) | Do::Access(_, AccessKind::Read, _) => match later {
            Do::Dsb(kind) | Do::Dmb(kind) => {
                !matches!(kind, Barrier::Ishst | Barrier::Nshst | Barrier::St)
            }
            // One place is loaded in order.
            Do::Load(pa) | Do::Await(pa, _) => {
                matches!(earlier, Do::Load(other) | Do::Await(other, _) if other == pa)
            }
            Do::Access(va, AccessKind::Read, _) => {
                matches!(earlier, Do::Access(other, ..) if other & !0xfff == va & !0xfff)
            }
            _ => true,
        },
        // For stores alone: a load goes past it.
        Do::Dmb(Barrier::Ishst | Barrier::St | Barrier::Nshst) => !reads,
        _ => true,
    }
}

/// What the rules hear of an instruction.
fn what(step: Do, memory: &mut BTreeMap<u64, u64>) -> Option<What> {
    Some(match step {
        Do::Store(slot, va, level, new) => What::Store {
            slot,
            va,
            level,
            old: memory.insert(slot, new).unwrap_or(0),
            new,
        },
        Do::Zero(frame) => {
            memory.retain(|pa, _| pa & !0xfff != frame);
            What::Zero { frame }
        }
        Do::Free(frame) => What::Free { frame },
        Do::Data(pa, value) => {
            memory.insert(pa, value);
            return None;
        }
        Do::Load(_) | Do::Await(..) => return None,
        Do::Dmb(kind) => What::Dmb(kind),
        Do::Dsb(kind) => What::Dsb(kind),
        Do::Synchronise(what) => what,
        Do::Tlbi(op, operand) => What::Tlbi { op, operand },
        Do::Ttbr0(root, asid) => What::Ttbr0 { root, asid },
        Do::Access(va, kind, expect) => What::Access {
            va,
            kind,
            expect: expect?,
        },
    })
}
