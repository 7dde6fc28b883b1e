//! The automaton: asks every rule, then lets the event take effect.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use crate::coverage::Coverage;
use crate::desc::Desc;
use crate::event::{Call, Contract, Event, Expect, What};
use crate::ledger::{Invalidation, Key, Ledger, MAX_CORES, Missed, Owner, Progress};
use crate::rules::{Finding, Rule};
use crate::shadow::Shadow;
use crate::tlbi::{Cover, Decoded};
use crate::violation::{SHOWN, Violation};

/// Events kept to show those of one core or task among them.
const KEPT: usize = 64;
/// TLBIs kept that covered nothing.
const USELESS: usize = 16;

#[derive(Clone, Copy)]
struct Task {
    contract: Contract,
    depth: u32,
    irqs: u32,
    /// On which core it last reported anything, and when.
    heard: Option<(usize, u64)>,
}

const NEW_TASK: Task = Task {
    contract: Contract::EveryExit,
    depth: 0,
    irqs: 0,
    heard: None,
};

/// What the rules ask.
#[derive(Default)]
pub(crate) struct State {
    now: u64,
    pub ledger: Ledger,
    pub shadow: Shadow,
    tasks: BTreeMap<u16, Task>,
    /// When each core last reported anything.
    heard: [u64; MAX_CORES],
    /// TLBIs of everything, or of an ASID, since the core's last DSB, and when they were.
    flushes: [Vec<(Option<u16>, u64)>; MAX_CORES],
    /// Whose TLBIs covered nothing that was owed: perhaps they came before their store.
    useless: VecDeque<(u16, Decoded)>,
    /// How many others there were.
    useful: u64,
}

/// The rules as an automaton over [`Event`]s.
#[derive(Default)]
pub struct Checker {
    state: State,
    without: Vec<Rule>,
    last: VecDeque<Event>,
    coverage: Coverage,
}

impl Checker {
    /// An automaton that knows nothing: no table, no core, nothing owed.
    pub fn new() -> Self {
        Self::default()
    }

    /// An automaton that does not ask `rule`: to see what would go unnoticed without it.
    pub fn without(rule: Rule) -> Self {
        Self {
            without: [rule].into(),
            ..Self::default()
        }
    }

    /// Takes the next event.
    ///
    /// It takes effect whether or not it breaks a rule, so the caller may go on. Of
    /// [`What::Stores`] each store is taken as an event.
    ///
    /// # Errors
    /// The first rule that it breaks, in the order of their numbers; of several stores, what the first
    /// of them breaks. To see what each of them breaks, give its [`singles`](Event::singles).
    ///
    /// # Panics
    /// If the event's core is not below [`MAX_CORES`].
    pub fn step(&mut self, event: &Event) -> Result<(), Box<Violation>> {
        let core = usize::from(event.core);
        assert!(core < MAX_CORES, "core {core} of at most {MAX_CORES}");
        let mut result = Ok(());
        for event in event.singles() {
            result = result.and(self.step_one(&event));
        }
        result
    }

    fn step_one(&mut self, event: &Event) -> Result<(), Box<Violation>> {
        let core = usize::from(event.core);
        self.state.now += 1;
        if event.what == What::CoreStart || self.state.ledger.is_offline(core) {
            self.state.ledger.start_core(core);
        }
        self.state.shadow.settle(core, self.state.now);
        self.state.arrive(event.task, core);
        let asked = Rule::ALL.into_iter().filter(|r| !self.without.contains(r));
        let found = asked
            .filter_map(|rule| Some((rule, rule.check(&self.state, event)?)))
            .next();
        let result = match found {
            Some((rule, finding)) => Err(self.violation(rule, finding, event)),
            None => Ok(()),
        };
        self.cover(event);
        self.state.apply(event);
        self.state.heard[core] = self.state.now;
        self.coverage.invalidations = self.state.useful;
        // A run of stores is one event in a report.
        let known = self.last.back_mut().is_some_and(|run| run.extend(event));
        if !known {
            if self.last.len() == KEPT {
                self.last.pop_front();
            }
            self.last.push_back(*event);
        }
        result
    }

    /// What there was to check so far.
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    #[cold]
    fn violation(&self, rule: Rule, finding: Finding, at: &Event) -> Box<Violation> {
        let mut last = [None; SHOWN];
        let same = |e: &&Event| e.core == at.core || e.task == at.task;
        let newest = self.last.iter().rev().filter(same);
        for (place, event) in last.iter_mut().rev().zip(newest) {
            *place = Some(*event);
        }
        Box::new(Violation {
            rule,
            why: finding.why,
            address: finding.address,
            at: *at,
            owes: finding.owes,
            last,
        })
    }

    fn cover(&mut self, event: &Event) {
        let (counts, state) = (&mut self.coverage, &mut self.state);
        let core = usize::from(event.core);
        let owes = |state: &State| {
            let owner = state.owner(event.task);
            state.ledger.unpublished(owner).is_some()
                || state.ledger.unsynchronised(owner, core).is_some()
        };
        counts.events += u64::from(event.what.is_judged());
        match event.what {
            What::Store {
                level, old, new, ..
            } => {
                let (old, new) = (Desc { bits: old, level }, Desc { bits: new, level });
                counts.mappings += u64::from(new.is_leaf() && !old.is_leaf());
                counts.links += u64::from(new.is_table() && !old.is_table());
                counts.withdrawn += u64::from(old.is_cacheable() && new.bits != old.bits);
            }
            What::Access {
                expect: Expect::Faults,
                ..
            } => counts.probes += 1,
            What::Access { va, .. } => {
                counts.accesses += 1;
                counts.used_mappings += u64::from(state.shadow.touch(va, core) == Some(true));
            }
            What::Done { .. } => counts.dones += 1,
            What::Free { .. } => counts.frees += 1,
            What::Call(Call::Disable) => {
                counts.sections += 1;
                counts.nested += u64::from(state.depth(event.task) > 1);
            }
            What::Switch { .. } => {
                counts.switches += 1;
                counts.switches_in_debt += u64::from(owes(state));
            }
            What::IrqEnter => counts.interrupts_in_debt += u64::from(owes(state)),
            What::IrqExit => counts.interrupts += 1,
            What::TaskEnd => counts.task_ends += 1,
            _ => {}
        }
    }
}

impl State {
    fn task(&mut self, task: u16) -> &mut Task {
        self.tasks.entry(task).or_insert(NEW_TASK)
    }

    /// The task is heard of on `core`. Where that is another core than before, it has left that one: what it
    /// was about to do there, by its last report, is done. (If others have reported there since, their last
    /// report is not its own, and what it was about to do has been settled.)
    fn arrive(&mut self, task: u16, core: usize) {
        let now = self.now;
        let before = self.task(task).heard.replace((core, now));
        if let Some((other, at)) = before
            && other != core
            && self.heard[other] == at
        {
            self.shadow.settle(other, now);
        }
    }

    /// Whether an interrupt handler runs on top of the task.
    pub fn in_irq(&self, task: u16) -> bool {
        self.tasks.get(&task).is_some_and(|t| t.irqs > 0)
    }

    pub fn owner(&self, task: u16) -> Owner {
        Owner {
            task,
            irq: self.in_irq(task),
        }
    }

    /// How many sections of the task are open, by its calls.
    pub fn depth(&self, task: u16) -> u32 {
        self.tasks.get(&task).map_or(0, |t| t.depth)
    }

    pub fn contract(&self, task: u16) -> Contract {
        self.tasks.get(&task).unwrap_or(&NEW_TASK).contract
    }

    fn apply(&mut self, event: &Event) {
        let (core, now) = (usize::from(event.core), self.now);
        match event.what {
            What::Store {
                slot,
                va,
                level,
                old,
                new,
            } => {
                let key = Shadow::key(slot, va, level);
                let (old, new) = (Desc { bits: old, level }, Desc { bits: new, level });
                self.store(event, key, old, new);
            }
            What::Zero { frame } => self.shadow.zero(frame, core),
            What::Dmb(kind) if kind.orders_stores() => self.shadow.order(core, false),
            What::Dsb(kind) => {
                let far_enough = !kind.is_local() || self.ledger.is_alone(core);
                if kind.orders_stores() && far_enough {
                    self.shadow.order(core, true);
                    self.ledger.order(core, now);
                }
                if kind.completes_tlbi() && far_enough {
                    self.ledger.complete(core, now);
                    for (asid, at) in self.flushes[core].drain(..) {
                        self.shadow.flush(asid, at);
                    }
                }
            }
            What::Isb | What::ExceptionReturn => {
                let owner = self.owner(event.task);
                self.ledger.synchronise(core, owner, now);
                self.shadow.synchronise(core);
            }
            What::ExceptionEntry => {
                // It happened at some time after this core's report before. What others have settled
                // since may have come too late for it.
                let owner = self.owner(event.task);
                self.ledger.synchronise(core, owner, self.heard[core] + 1);
                self.shadow.synchronise(core);
            }
            What::Tlbi { op, operand } => self.invalidate(event, &op.decode(operand)),
            What::Ttbr0 { root, asid } => self.shadow.activate(root, asid, core, now),
            What::IrqEnter => self.task(event.task).irqs += 1,
            What::IrqExit => {
                let irqs = &mut self.task(event.task).irqs;
                *irqs = irqs.saturating_sub(1);
            }
            What::Free { frame } => self.shadow.forget(frame),
            What::Contract(contract) => self.task(event.task).contract = contract,
            What::Call(call) => {
                let depth = &mut self.task(event.task).depth;
                match call {
                    Call::Enable => *depth += 1,
                    Call::Disable => *depth = depth.saturating_sub(1),
                    Call::Pause | Call::Resume => {}
                }
            }
            What::TaskEnd => {
                self.tasks.remove(&event.task);
                self.ledger.end_task(event.task);
            }
            // `step` has taken it apart.
            What::Stores { .. } => {}
            What::Policy(_)
            | What::Hook(_)
            | What::Owe
            | What::Reenter { .. }
            | What::Window { .. }
            | What::Dmb(_)
            | What::Switch { .. }
            | What::CoreStart
            | What::Alloc { .. }
            | What::Done { .. }
            | What::Access { .. } => {}
        }
    }

    fn store(&mut self, event: &Event, key: Key, old: Desc, new: Desc) {
        let core = usize::from(event.core);
        // Who stores behind a link has read it.
        let mut link = self.shadow.parent(key.slot);
        while let Some(key) = link {
            self.ledger.observe(key, core);
            link = self.shadow.parent(key.slot);
        }
        let kept = new.is_cacheable() && new.translates_like(old);
        if old.is_cacheable() && !kept {
            self.withdraw(event, key, old, new);
        } else if new.is_cacheable() && !old.is_cacheable() {
            let before = self.ledger.get(key).and_then(|d| d.invalidation);
            if before.is_some_and(|i| i.old.translates_like(new)) {
                self.ledger.drop_invalidation(key);
            }
            self.ledger.owe_publish(key, self.owner(event.task), *event);
        }
        self.shadow.store(key, new, core);
    }

    /// A descriptor that a TLB may hold is changed, and a table's everything below.
    fn withdraw(&mut self, event: &Event, key: Key, old: Desc, new: Desc) {
        let owed = Invalidation {
            owner: self.owner(event.task),
            store: *event,
            old,
            older: None,
            asid: self.shadow.asid(key.slot),
            progress: Progress::Stored,
            missed: None,
        };
        if !new.is_cacheable() {
            self.ledger.drop_publish(key);
        }
        let mut gone = Vec::from([(key, old)]);
        if old.is_table() {
            self.shadow
                .unlink(old.frame(), &mut |key, desc| gone.push((key, desc)));
        }
        for (key, old) in gone {
            let mut owed = Invalidation { old, ..owed };
            let target = owed.target(key);
            let early = |(task, tlbi): &(u16, Decoded)| {
                *task == event.task && tlbi.covers(&target) == Cover::Yes
            };
            owed.missed = self.useless.iter().any(early).then_some(Missed::Early);
            self.ledger.owe_invalidation(key, owed);
        }
    }

    fn invalidate(&mut self, event: &Event, decoded: &Decoded) {
        let core = usize::from(event.core);
        let alone = self.ledger.is_alone(core);
        let whole = decoded.is_everything() || decoded.whole_asid().is_some();
        if whole && (decoded.is_broadcast() || alone) {
            self.flushes[core].push((decoded.whole_asid(), self.now));
        }
        if self.ledger.invalidate(decoded, core, alone) {
            self.useful += 1;
        } else {
            if self.useless.len() == USELESS {
                self.useless.pop_front();
            }
            self.useless.push_back((event.task, *decoded));
        }
    }
}
