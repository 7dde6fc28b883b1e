//! What each policy owes for the calls that were made: a second opinion on the counts.
//!
//! While a workload is measured, every call of the mode and every store that owes is recorded. The
//! recording is consumed as it is made, by one small automaton per policy, written from the
//! policy's table and not from `lazy-mmu`'s code; so it has no length, and a run of any size can be
//! replayed. Afterwards the automaton's pairs are compared with the pairs that were counted where
//! the barrier is executed, and with the closed form where one holds.
//!
//! All calls are the workload's and the allocator's own: they are the same under every policy,
//! which a hash over them checks.

use lazy_mmu::Policy;
use mmu_check::What;
use mmu_check::event::Call;

use super::Listening;
use crate::base::Lock;

/// One recorded call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// One of the four calls.
    Call(Call),
    /// A store that owes a pair.
    Owe,
    /// The allocator begins work of its own, which opens sections.
    ReenterBegin,
    /// That work has ended.
    ReenterEnd,
}

/// The table of one policy, as an automaton.
///
/// Written for balanced, unpaused sections of one task out of interrupt context: what the workloads
/// make. It panics on anything else rather than predict it wrongly.
#[derive(Clone, Copy, Debug)]
struct Table {
    policy: Policy,
    depth: u32,
    deferring: bool,
    pending: bool,
    pairs: u64,
}

impl Table {
    const fn new(policy: Policy) -> Self {
        Self {
            policy,
            depth: 0,
            deferring: false,
            pending: false,
            pairs: 0,
        }
    }

    fn pay(&mut self) {
        if self.pending {
            self.pending = false;
            self.pairs += 1;
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Owe if self.deferring => self.pending = true,
            Step::Owe => self.pairs += 1,
            Step::Call(Call::Enable) => {
                self.depth += 1;
                match self.policy {
                    Policy::Eager => {}
                    Policy::Flat => self.deferring = true,
                    Policy::Reenter | Policy::V3 | Policy::Linux7 => {
                        self.deferring |= self.depth == 1
                    }
                }
            }
            Step::Call(Call::Disable) => {
                self.depth = one_less(self.depth);
                match self.policy {
                    Policy::Eager => {}
                    Policy::Flat => {
                        self.pay();
                        self.deferring = false;
                    }
                    Policy::Reenter if self.depth > 0 => {}
                    Policy::Reenter => {
                        self.pay();
                        self.deferring = false;
                    }
                    Policy::V3 | Policy::Linux7 => {
                        self.pay();
                        self.deferring = self.depth > 0;
                    }
                }
            }
            Step::ReenterBegin if self.policy == Policy::Reenter => {
                self.pay();
                self.deferring = false;
            }
            Step::ReenterEnd if self.policy == Policy::Reenter => self.deferring = self.depth > 0,
            Step::ReenterBegin | Step::ReenterEnd => {}
            Step::Call(Call::Pause | Call::Resume) => unreachable!("no workload pauses the mode"),
        }
    }
}

/// # Panics
/// At 0: a recording that is not balanced would be predicted wrongly.
fn one_less(depth: u32) -> u32 {
    match depth.checked_sub(1) {
        Some(depth) => depth,
        None => panic!("a recording ends a section that it did not begin"),
    }
}

/// What the closed form is made of, gathered over the outer sections of a recording.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Shape {
    /// S: calls that owe, made in the outer section itself.
    pub outer: u64,
    /// R: inner sections with a call that owes.
    pub reentries: u64,
    /// Inner sections that owed nothing but found something pending, and paid it under a nesting
    /// policy.
    pub idle: u64,
    /// Outer sections whose first inner section was such a one: `flat` pays there as well.
    pub idle_first: u64,
    /// F: calls that owe before the first inner section.
    pub before_first: u64,
    /// G: groups of outer calls that owe, each ended by an inner section or by the end.
    pub groups: u64,
    /// T: outer sections that end with such a group.
    pub tails: u64,
    /// Those of them that had no inner section at all: `flat` deferred to their end.
    pub unbroken: u64,
    /// Calls that owe outside of any section: paid at once by every policy.
    pub outside: u64,
    /// The deepest nesting.
    pub depth: u32,
}

impl Shape {
    /// The pairs that the closed form gives for a policy; each inner section owes at most once.
    pub fn pairs(&self, policy: Policy) -> u64 {
        self.outside
            + match policy {
                Policy::Eager => self.outer + self.reentries,
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

/// Gathers a [`Shape`] from the calls as they come.
#[derive(Clone, Copy, Default, Debug)]
struct Gathering {
    shape: Shape,
    depth: u32,
    in_group: bool,
    broken: bool,
    inner_owed: bool,
}

impl Gathering {
    fn step(&mut self, step: Step) {
        match step {
            Step::Call(Call::Enable) => {
                self.depth += 1;
                self.shape.depth = self.shape.depth.max(self.depth);
            }
            Step::Call(Call::Disable) => {
                self.depth = one_less(self.depth);
                match self.depth {
                    0 => self.outer_ends(),
                    1 => self.inner_ends(),
                    _ => {}
                }
            }
            Step::Owe => match self.depth {
                0 => self.shape.outside += 1,
                1 => {
                    self.shape.outer += 1;
                    self.shape.before_first += u64::from(!self.broken);
                    self.in_group = true;
                }
                _ => self.inner_owed = true,
            },
            _ => {}
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

/// The recording being consumed.
struct Recorder {
    tables: [Table; Policy::ALL.len()],
    gathering: Gathering,
    calls: u64,
    hash: u64,
}

/// What came out of a recording.
#[derive(Clone, Debug)]
pub struct Replay {
    pairs: [(Policy, u64); Policy::ALL.len()],
    /// The shape of the calls.
    pub shape: Shape,
    /// How many calls were recorded.
    pub calls: u64,
    /// A hash over the calls in their order (FNV-1a): equal work has equal hashes.
    pub hash: u64,
}

impl Replay {
    /// The pairs that a policy's table gives for these calls.
    pub fn pairs(&self, policy: Policy) -> u64 {
        self.pairs
            .iter()
            .find(|(of, _)| *of == policy)
            .map_or(0, |(_, pairs)| *pairs)
    }
}

static RECORDER: Lock<Option<Recorder>> = Lock::new(None);

/// Starts a recording, which [`set_active`] turns on.
pub fn start() {
    *RECORDER.lock() = Some(Recorder {
        tables: Policy::ALL.map(Table::new),
        gathering: Gathering::default(),
        calls: 0,
        hash: 0xCBF2_9CE4_8422_2325,
    });
}

/// Goes on recording, or pauses it: only what is measured belongs in it.
pub fn set_active(on: bool) {
    Listening::Replay.set(on);
}

/// Ends the recording and returns what it gave; nothing if there was none.
pub fn finish() -> Option<Replay> {
    set_active(false);
    let recorder = RECORDER.lock().take()?;
    Some(Replay {
        pairs: recorder.tables.map(|table| (table.policy, table.pairs)),
        shape: recorder.gathering.shape,
        calls: recorder.calls,
        hash: recorder.hash,
    })
}

impl Step {
    /// What the event is to a policy's table; most are nothing to it.
    fn of(what: &What) -> Option<Self> {
        match *what {
            What::Call(call) => Some(Step::Call(call)),
            What::Owe => Some(Step::Owe),
            What::Reenter { begin: true } => Some(Step::ReenterBegin),
            What::Reenter { begin: false } => Some(Step::ReenterEnd),
            _ => None,
        }
    }
}

/// Records a call, while a recording is being made.
pub(super) fn hear(what: &What) {
    // Before the lock: most events are no step, and need not wait for it.
    let Some(step) = Step::of(what) else {
        return;
    };
    let mut recorder = RECORDER.lock();
    let Some(recorder) = recorder.as_mut() else {
        return;
    };
    for table in &mut recorder.tables {
        table.step(step);
    }
    recorder.gathering.step(step);
    recorder.calls += 1;
    let code = match step {
        Step::Call(Call::Enable) => 1,
        Step::Call(Call::Disable) => 2,
        Step::Call(Call::Pause) => 3,
        Step::Call(Call::Resume) => 4,
        Step::Owe => 5,
        Step::ReenterBegin => 6,
        Step::ReenterEnd => 7,
    };
    recorder.hash = (recorder.hash ^ code).wrapping_mul(0x0100_0000_01B3);
}
