//! The automaton: has every rule look at the event, then lets it take effect.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::coverage::Coverage;
use crate::desc::Desc;
use crate::event::{Call, Event, Expect, What};
use crate::ledger::MAX_CORES;
use crate::recent::Recent;
use crate::rules::{self, Finding, Rule};
use crate::snapshot;
use crate::state::State;
use crate::violation::Violation;

/// The rules as an automaton over [`Event`]s.
#[derive(Default)]
pub struct Checker {
    state: State,
    without: Vec<Rule>,
    recent: Recent,
    coverage: Coverage,
}

impl Checker {
    /// An automaton that knows nothing: no table, no core, nothing owed.
    pub fn new() -> Self {
        Self::default()
    }

    /// An automaton that does not check `rule`: to see what would go unnoticed without it.
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
        self.state.arrive(event);
        let result = match rules::first(&self.state, event, &self.without) {
            Some((rule, finding)) => Err(self.violation(rule, &finding, event)),
            None => Ok(()),
        };
        self.cover(event);
        self.state.apply(event);
        self.coverage.invalidations = self.state.useful();
        self.recent.note(event);
        result
    }

    /// Takes an event for granted: it takes effect, and is neither judged nor counted. This is how a trace
    /// begins that leaves out what was before ([`trace`](crate::trace)).
    ///
    /// # Panics
    /// If the event's core is not below [`MAX_CORES`].
    pub fn assume(&mut self, event: &Event) {
        for event in event.singles() {
            self.state.arrive(&event);
            self.state.apply(&event);
        }
    }

    /// What is still owed, in words: a trace cannot begin here ([`trace`](crate::trace)). `None` where every store is
    /// visible to the walkers and every invalidation is complete. Cores may have to synchronise their context
    /// with what is published.
    pub fn owed(&self) -> Option<&'static str> {
        snapshot::owed(&self.state)
    }

    /// What it knows, as events that leave a new automaton knowing the same by [`assume`](Self::assume): what is behind them is
    /// judged alike. They are numbered from 0 and given to `say`.
    ///
    /// # Errors
    /// What is still owed, in words.
    pub fn describe(&self, say: &mut dyn FnMut(Event)) -> Result<(), &'static str> {
        match self.owed() {
            Some(owed) => Err(owed),
            None => {
                snapshot::describe(&self.state, say);
                Ok(())
            }
        }
    }

    /// About how many bytes it takes for what it remembers: tables, frames in use, debts.
    pub fn memory(&self) -> usize {
        self.state.memory()
    }

    /// What there was to check so far.
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    #[cold]
    fn violation(&self, rule: Rule, finding: &Finding, at: &Event) -> Box<Violation> {
        Box::new(Violation::new(rule, finding, at, &self.recent.all()))
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
                let lower = state.spaces.current(core).map(|(root, _)| root);
                let first = state.tables.touch(va, lower) == Some(true);
                counts.used_mappings += u64::from(first);
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
