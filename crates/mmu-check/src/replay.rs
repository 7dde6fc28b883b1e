//! What each policy of the lazy MMU mode owes for the calls that were made: a second opinion on counted
//! barriers.
//!
//! A [`Replay`] is given the events of one task, and takes from them the calls of the mode, the stores that
//! owe a pair (`dsb ishst; isb`), an allocator's re-entry, and invalidations, which settle what is pending unless
//! the kernel pays both, as Linux does. It runs them through one automaton per policy,
//! written from the policy's table and not from `lazy-mmu`'s code. It keeps none of them, so a run of any
//! length can be replayed. Afterwards the automaton's pairs are compared with those that were counted where
//! the barrier is executed, and with the closed form of the [`Shape`] where one holds.
//!
//! The calls are those of a workload and of the allocator that it uses. They are the same under every
//! policy, which [`Replay::hash`] checks.

use alloc::vec::Vec;
use core::fmt;

use crate::event::{Call, Policy, What};

/// One step of a recording, and its code in the hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Step {
    Enable = 1,
    Disable = 2,
    Pause = 3,
    Resume = 4,
    Owe = 5,
    ReenterBegin = 6,
    ReenterEnd = 7,
    /// A TLBI, or several, and the DSB that completes them.
    Invalidate = 8,
}

/// Why an event cannot be recorded: what follows would be predicted wrongly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplayError {
    /// It ends a section that was not begun, or not since the re-entry or the pause that is open.
    Section,
    /// It ends a re-entry that was not begun, or that has left a section or a pause open.
    Reentry,
    /// It pauses the mode outside of a section or a second time, or resumes what was not paused, or too early.
    Pause,
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReplayError::Section => "a recording ends a section that it did not begin",
            ReplayError::Reentry => {
                "a recording ends a re-entry that it did not begin, or too early"
            }
            ReplayError::Pause => "a recording pauses or resumes the mode where it cannot",
        })
    }
}

impl core::error::Error for ReplayError {}

/// The state of one policy's automaton.
#[derive(Clone, Copy, Debug)]
struct Automaton {
    deferring: bool,
    pending: bool,
    pairs: u64,
}

impl Automaton {
    const NEW: Self = Self {
        deferring: false,
        pending: false,
        pairs: 0,
    };

    fn pay(&mut self) {
        self.pairs += u64::from(self.pending);
        self.pending = false;
    }

    /// `sections` are open after the step, and may defer unless `paused`: under `reenter` those that were begun since the last re-entry,
    /// which has hidden the others and their pause.
    fn step(&mut self, policy: Policy, step: Step, sections: u32, paused: bool) {
        match (step, policy) {
            (Step::Owe, _) if self.deferring => self.pending = true,
            (Step::Owe, _) => self.pairs += 1,
            (Step::Invalidate, _) => self.pending = false,
            (_, Policy::Eager) => {}
            (Step::Enable | Step::Resume, Policy::Flat) => self.deferring = true,
            (Step::Disable | Step::Pause, Policy::Flat) => {
                self.pay();
                self.deferring = false;
            }
            (Step::ReenterBegin | Step::ReenterEnd, Policy::Flat | Policy::V3 | Policy::Linux7) => {
            }
            (Step::Disable, Policy::Reenter) if sections > 0 => {}
            (Step::Disable | Step::Pause | Step::ReenterBegin, _) => {
                self.pay();
                self.deferring = sections > 0 && !paused;
            }
            (Step::Enable | Step::Resume | Step::ReenterEnd, _) => {
                self.deferring = sections > 0 && !paused;
            }
        }
    }
}

/// What the closed form is made of, gathered over the outer sections of a recording.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Shape {
    /// S: calls that owe, made in the outer section itself.
    pub outer: u64,
    /// R: inner sections with a call that owes, and that no invalidation in them has settled.
    pub reentries: u64,
    /// Inner sections with one that was settled so: only `eager` pays there.
    pub settled: u64,
    /// Inner sections that owed nothing but found something pending, and paid it under a nesting
    /// policy.
    pub idle: u64,
    /// Outer sections whose first inner section was such a one: `flat` pays there as well.
    pub idle_first: u64,
    /// F: calls that owe before the first inner section.
    pub before_first: u64,
    /// G: groups of outer calls that owe, each ended by an inner section or by the end. One that is ended by an invalidation
    /// in the outer section is none.
    pub groups: u64,
    /// T: outer sections that end with such a group.
    pub tails: u64,
    /// Those of them that had no inner section at all: `flat` deferred to their end.
    pub unbroken: u64,
    /// Calls that owe outside of any section, or inside a pause: paid at once by every policy.
    pub outside: u64,
    /// The deepest nesting.
    pub depth: u32,
}

impl Shape {
    const NEW: Self = Self {
        outer: 0,
        reentries: 0,
        settled: 0,
        idle: 0,
        idle_first: 0,
        before_first: 0,
        groups: 0,
        tails: 0,
        unbroken: 0,
        outside: 0,
        depth: 0,
    };

    /// The pairs that the closed form gives for a policy. It holds where each inner section, and each in a pause, owes at most
    /// once and is an allocator's, in a re-entry.
    ///
    /// A pause ends what an outer section has deferred so far, and its resume begins another: as two outer sections would.
    /// In a pause no invalidation follows in the section of a call that owes.
    pub fn pairs(&self, policy: impl Into<Policy>) -> u64 {
        self.outside
            + match policy.into() {
                Policy::Eager => self.outer + self.reentries + self.settled,
                Policy::Flat => {
                    self.outer - self.before_first
                        + self.reentries
                        + self.idle_first
                        + self.unbroken
                }
                Policy::Reenter => self.reentries + self.groups,
                Policy::V3 | Policy::Linux7 => self.reentries + self.idle + self.tails,
            }
    }
}

/// Gathers a [`Shape`] from the steps as they come.
#[derive(Clone, Copy, Debug)]
struct Gathering {
    shape: Shape,
    /// An outer call has owed since the last inner section.
    in_group: bool,
    /// The outer section has had an inner one.
    broken: bool,
    /// A call of the inner section has owed.
    inner_owed: bool,
    paused: bool,
}

impl Gathering {
    const NEW: Self = Self {
        shape: Shape::NEW,
        in_group: false,
        broken: false,
        inner_owed: false,
        paused: false,
    };

    /// With `depth` sections open after the step, of which a re-entry `hides` some.
    fn step(&mut self, step: Step, depth: u32, hides: bool) {
        let shape = &mut self.shape;
        match (step, depth) {
            (Step::Enable, _) => shape.depth = shape.depth.max(depth),
            (Step::Pause, _) => {
                self.outer_ends();
                self.paused = true;
            }
            (Step::Resume, _) => self.paused = false,
            (Step::Owe, _) if self.paused => shape.outside += 1,
            (_, _) if self.paused => {}
            (Step::Disable, 0) => self.outer_ends(),
            (Step::Disable, 1) => self.inner_ends(),
            (Step::Owe, 0) => shape.outside += 1,
            (Step::Owe, 1) => {
                shape.outer += 1;
                shape.before_first += u64::from(!self.broken);
                self.in_group = true;
            }
            (Step::Owe, _) => self.inner_owed = true,
            (Step::Invalidate, _) => {
                // A re-entry has paid for the group before it, where it leaves the mode.
                shape.groups += u64::from(self.in_group && hides);
                shape.settled += u64::from(self.inner_owed);
                self.in_group = false;
                self.inner_owed = false;
            }
            (Step::Disable | Step::ReenterBegin | Step::ReenterEnd, _) => {}
        }
    }

    fn inner_ends(&mut self) {
        let shape = &mut self.shape;
        shape.groups += u64::from(self.in_group);
        if self.inner_owed {
            shape.reentries += 1;
        } else if self.in_group {
            shape.idle += 1;
            shape.idle_first += u64::from(!self.broken);
        }
        self.in_group = false;
        self.inner_owed = false;
        self.broken = true;
    }

    fn outer_ends(&mut self) {
        let shape = &mut self.shape;
        shape.groups += u64::from(self.in_group);
        shape.tails += u64::from(self.in_group);
        shape.unbroken += u64::from(self.in_group && !self.broken);
        self.in_group = false;
        self.broken = false;
    }
}

/// A recording, consumed as it is made, and what has come out of it so far.
///
/// For the sections of one task, out of interrupt context. The mode may be paused in one of them, and resumed there.
///
/// ```
/// use mmu_check::event::{Call, Policy, What};
/// use mmu_check::replay::Replay;
///
/// let mut replay = Replay::new(true);
/// let [begin, end] = [Call::Enable, Call::Disable].map(What::Call);
/// // A store, an inner section with another, and a third store.
/// for what in [begin, What::Owe, begin, What::Owe, end, What::Owe, end] {
///     replay.step(&what).unwrap();
/// }
/// assert_eq!(replay.pairs(Policy::Eager), 3);
/// assert_eq!(replay.pairs(Policy::V3), 2);
/// assert_eq!(replay.shape().pairs(Policy::V3), 2);
/// ```
#[derive(Clone, Debug)]
pub struct Replay {
    /// In the order of [`Policy::ALL`].
    automata: [Automaton; Policy::ALL.len()],
    gathering: Gathering,
    /// Sections that are open.
    depth: u32,
    /// How many were open when each of the re-entries began that have not ended.
    reentries: Vec<u32>,
    /// How many sections were open, and how many re-entries had not ended, when the mode was paused.
    paused: Option<(u32, usize)>,
    /// An invalidation settles what is pending.
    settles: bool,
    /// A TLBI has come, and no DSB that completes it.
    invalidating: bool,
    /// Interrupt handlers on top of the task.
    handlers: u32,
    calls: u64,
    hash: u64,
}

impl Replay {
    /// A recording of nothing yet, of a kernel whose invalidations settle what is pending (`lazy_mmu`'s `settled_by`),
    /// or that pays the pair besides, as Linux does.
    pub const fn new(settles: bool) -> Self {
        Self {
            automata: [Automaton::NEW; Policy::ALL.len()],
            gathering: Gathering::NEW,
            depth: 0,
            reentries: Vec::new(),
            paused: None,
            settles,
            invalidating: false,
            handlers: 0,
            calls: 0,
            hash: 0xCBF2_9CE4_8422_2325,
        }
    }

    /// Whether [`step`](Self::step) takes the event: most are nothing to a policy's table, and who has to
    /// wait for a lock need not for those.
    pub const fn takes(what: &What) -> bool {
        matches!(
            what,
            What::Call(_)
                | What::Owe
                | What::Reenter { .. }
                | What::Tlbi { .. }
                | What::Dsb(_)
                | What::IrqEnter
                | What::IrqExit
        )
    }

    /// Records an event, if it is one of those that it takes.
    ///
    /// # Errors
    /// [`ReplayError`]. The event is not recorded.
    pub fn step(&mut self, what: &What) -> Result<(), ReplayError> {
        let step = match *what {
            What::Call(Call::Enable) => {
                self.depth += 1;
                Step::Enable
            }
            What::Call(Call::Disable) if self.depth <= self.kept() => {
                return Err(ReplayError::Section);
            }
            What::Call(Call::Disable) => {
                self.depth -= 1;
                Step::Disable
            }
            What::Call(Call::Pause) => {
                if self.paused.is_some() || self.depth == self.hidden() {
                    return Err(ReplayError::Pause);
                }
                self.paused = Some((self.depth, self.reentries.len()));
                Step::Pause
            }
            What::Call(Call::Resume) => {
                let here = (self.depth, self.reentries.len());
                self.paused
                    .take_if(|paused| *paused == here)
                    .ok_or(ReplayError::Pause)?;
                Step::Resume
            }
            What::Owe => Step::Owe,
            What::Reenter { begin: true } => {
                self.reentries.push(self.depth);
                Step::ReenterBegin
            }
            What::Reenter { begin: false } => {
                let paused_inside = self
                    .paused
                    .is_some_and(|(_, reentries)| reentries == self.reentries.len());
                self.reentries
                    .pop_if(|began| *began == self.depth && !paused_inside)
                    .ok_or(ReplayError::Reentry)?;
                Step::ReenterEnd
            }
            _ if !self.invalidates(what) => return Ok(()),
            _ => Step::Invalidate,
        };
        let hidden = self.hidden();
        let since_reentry = |(_, reentries)| reentries == self.reentries.len();
        for (&policy, automaton) in Policy::ALL.iter().zip(&mut self.automata) {
            let (hidden, paused) = match policy {
                Policy::Reenter => (hidden, self.paused.is_some_and(since_reentry)),
                _ => (0, self.paused.is_some()),
            };
            if step != Step::Invalidate || self.settles {
                automaton.step(policy, step, self.depth - hidden, paused);
            }
        }
        if step != Step::Invalidate || self.settles {
            self.gathering.step(step, self.depth, hidden > 0);
        }
        self.calls += 1;
        self.hash = (self.hash ^ u64::from(step as u8)).wrapping_mul(0x0100_0000_01B3);
        Ok(())
    }

    /// Whether the event is the DSB that completes an invalidation of the task's own, and no handler's.
    fn invalidates(&mut self, what: &What) -> bool {
        match *what {
            What::IrqEnter => self.handlers += 1,
            What::IrqExit => self.handlers = self.handlers.saturating_sub(1),
            What::Tlbi { .. } if self.handlers == 0 => self.invalidating = true,
            What::Dsb(kind) if self.handlers == 0 && kind.completes_tlbi() => {
                return core::mem::take(&mut self.invalidating);
            }
            _ => {}
        }
        false
    }

    /// How many of the open sections were begun before the last re-entry or the pause: nothing may end those first.
    fn kept(&self) -> u32 {
        let before_pause = self.paused.map_or(0, |(depth, _)| depth);
        before_pause.max(self.hidden())
    }

    /// How many of the open sections were begun before the last re-entry.
    fn hidden(&self) -> u32 {
        self.reentries.last().copied().unwrap_or(0)
    }

    /// The pairs that the policy's table gives for these calls.
    pub fn pairs(&self, policy: impl Into<Policy>) -> u64 {
        self.automata[policy.into() as usize].pairs
    }

    /// The shape of the calls, which has the closed form.
    pub const fn shape(&self) -> &Shape {
        &self.gathering.shape
    }

    /// How many calls were recorded: stores that owe, both ends of a re-entry and invalidations are counted too.
    pub const fn calls(&self) -> u64 {
        self.calls
    }

    /// A hash over the calls in their order (FNV-1a): the same calls have the same hash.
    pub const fn hash(&self) -> u64 {
        self.hash
    }
}
