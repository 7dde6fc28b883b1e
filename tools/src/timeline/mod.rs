//! The debt time line: what the policies do with the same calls, from the events of a run.
//!
//! One lane per policy, from that policy's measured window. The axis is the order of events and no time: every lane has the same
//! *steps*, which are the calls of the mode, the stores, and the allocator's re-entries. What the policy adds, the barriers, stands
//! between two steps. So what is above each other in two lanes is the same point of the same work.
//!
//! [`svg`] draws it.

pub mod svg;

use std::path::Path;

use mmu_check::What;
use mmu_check::event::{Call, Policy};

use crate::events::{self, Debt, Effect, NoPicture, Windowed};

/// What is the same under every policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// A call of the mode.
    Call(Call),
    /// The allocator's work on page tables beneath the section begins (`true`) or ends.
    Reenter(bool),
    /// A descriptor is stored.
    Store,
}

/// What a policy adds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bar {
    /// `dsb ishst; isb`.
    Pair,
    /// A TLB invalidation.
    Tlbi,
    /// The barriers of an invalidation, which have paid for stores as well.
    Invalidated,
}

/// One policy's window.
#[derive(Clone, PartialEq, Debug)]
pub struct Lane {
    /// The policy.
    pub policy: Policy,
    /// The steps.
    pub steps: Vec<Step>,
    /// How many sections are open after each.
    pub depths: Vec<u32>,
    /// The bars: each behind as many steps.
    pub bars: Vec<(usize, Bar)>,
    /// When stores were owed for: from the store, a step's number, to the bar that paid, a bar's; `None` where none did.
    pub pending: Vec<(usize, Option<usize>)>,
}

impl Lane {
    /// Of a window's events.
    ///
    /// # Errors
    /// The window has no policy.
    pub fn of(window: &Windowed) -> Result<Self, NoPicture> {
        let policy = window.tag.policy().ok_or_else(|| {
            NoPicture::Missing(format!("window {}: it names no policy", window.tag))
        })?;
        let mut lane = Lane {
            policy,
            steps: Vec::new(),
            depths: Vec::new(),
            bars: Vec::new(),
            pending: Vec::new(),
        };
        let (mut debt, mut depth) = (Debt::default(), 0_u32);
        for what in &window.what {
            lane.add(what, &mut depth);
            let effect = debt.step(what);
            lane.effect(effect, debt.owed());
        }
        Ok(lane)
    }

    fn add(&mut self, what: &What, depth: &mut u32) {
        let (step, times) = match *what {
            What::Call(call) => {
                match call {
                    Call::Enable => *depth += 1,
                    Call::Disable => *depth = depth.saturating_sub(1),
                    Call::Pause | Call::Resume => {}
                }
                (Step::Call(call), 1)
            }
            What::Reenter { begin } => (Step::Reenter(begin), 1),
            What::Store { .. } => (Step::Store, 1),
            What::Stores { count, .. } => (Step::Store, count.into()),
            What::Tlbi { .. } => return self.bars.push((self.steps.len(), Bar::Tlbi)),
            _ => return,
        };
        for _ in 0..times {
            self.steps.push(step);
            self.depths.push(*depth);
        }
    }

    fn effect(&mut self, effect: Effect, owed: u64) {
        let bar = match effect {
            Effect::None => return,
            Effect::Owes if owed == 1 => {
                let store = self.steps.len().saturating_sub(1);
                return self.pending.push((store, None));
            }
            Effect::Owes => return,
            Effect::Pair(_) => Bar::Pair,
            Effect::Invalidated(_) => Bar::Invalidated,
        };
        if let Some((_, until @ None)) = self.pending.last_mut().filter(|_| owed == 0) {
            *until = Some(self.bars.len());
        }
        self.bars.push((self.steps.len(), bar));
    }

    /// How many pairs were executed.
    #[must_use]
    pub fn pairs(&self) -> usize {
        self.bars
            .iter()
            .filter(|(_, bar)| *bar == Bar::Pair)
            .count()
    }

    /// How many descriptors were stored in the outer section, and how many by the allocator beneath it.
    #[must_use]
    pub fn stores(&self) -> (usize, usize) {
        let mut inside = false;
        let mut counts = (0, 0);
        for step in &self.steps {
            match step {
                Step::Reenter(begin) => inside = *begin,
                Step::Store if inside => counts.1 += 1,
                Step::Store => counts.0 += 1,
                Step::Call(_) => {}
            }
        }
        counts
    }
}

/// The lanes of a run: its first window under each policy.
#[derive(Clone, PartialEq, Debug)]
pub struct TimeLine {
    /// The run.
    pub run: &'static str,
    /// A lane for each policy that the trace has, all with the same steps.
    pub lanes: Vec<Lane>,
}

impl TimeLine {
    /// Reads the lanes of `run` from a trace.
    ///
    /// # Errors
    /// The trace cannot be read, has no window of that run, or the policies did not do the same work.
    pub fn read(trace: &Path, run: &str) -> Result<Self, NoPicture> {
        let Some(run) = events::RUNS.into_iter().find(|name| *name == run) else {
            return Err(NoPicture::Missing(format!(
                "there is no run {run}; there are {}",
                events::RUNS.join(", ")
            )));
        };
        let windows = events::windows(trace, |tag| tag.run() == Some(run) && tag.index() == 0)?;
        Self::of(run, &windows)
    }

    /// The lanes of these windows.
    ///
    /// # Errors
    /// There is none, or they are not of the same work.
    pub fn of(run: &'static str, windows: &[Windowed]) -> Result<Self, NoPicture> {
        let lanes = windows
            .iter()
            .map(Lane::of)
            .collect::<Result<Vec<_>, _>>()?;
        let Some(first) = lanes.first() else {
            return Err(NoPicture::Missing(format!(
                "the trace has no window of {run}: was it run?"
            )));
        };
        if let Some(other) = lanes.iter().find(|lane| lane.steps != first.steps) {
            return Err(NoPicture::Missing(format!(
                "{run}: {} and {} did not do the same work, so their lanes cannot be compared",
                first.policy.word(),
                other.policy.word()
            )));
        }
        Ok(Self { run, lanes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Tag;

    fn window(tag: u64, events: &[&str]) -> Windowed {
        let what = events.iter().map(|text| {
            let event = format!("0 core=0 task=0 {text}").parse::<mmu_check::Event>();
            event.unwrap().what
        });
        Windowed {
            tag: Tag(tag),
            what: what.collect(),
        }
    }

    const STORE: &str = "store slot=0x3000 va=0x0 level=3 old=0x0 new=0x40000707";
    const NESTED: [&str; 10] = [
        "call enable",
        STORE,
        "owe",
        "reenter begin=1",
        "call enable",
        "dsb ishst",
        "isb",
        "call disable",
        "reenter begin=0",
        "call disable",
    ];

    #[test]
    fn a_lane_is_what_the_events_say() {
        let lane = Lane::of(&window(0x130, &NESTED)).unwrap();
        assert_eq!(lane.policy, Policy::V3);
        assert_eq!(lane.depths, [1, 1, 1, 2, 1, 1, 0]);
        assert_eq!(lane.bars, [(4, Bar::Pair)]);
        // From the store, the second step, to the first bar.
        assert_eq!(lane.pending, [(1, Some(0))]);
        assert_eq!((lane.pairs(), lane.stores()), (1, (1, 0)));
    }

    #[test]
    fn what_is_never_paid_stays_pending() {
        let lane = Lane::of(&window(
            0x130,
            &["call enable", STORE, "owe", "call disable"],
        ));
        assert_eq!(lane.unwrap().pending, [(1, None)]);
    }

    #[test]
    fn lanes_of_different_work_are_refused() {
        let (v3, less) = (window(0x130, &NESTED), window(0x140, &NESTED[..8]));
        let same = TimeLine::of("vmap", &[v3.clone(), window(0x140, &NESTED)]);
        assert_eq!(same.unwrap().lanes.len(), 2);
        let why = TimeLine::of("vmap", &[v3, less]).unwrap_err().to_string();
        assert!(
            why.contains("v3 and linux7 did not do the same work"),
            "{why}"
        );
        assert!(TimeLine::of("vmap", &[]).is_err());
    }
}
