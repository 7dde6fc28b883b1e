//! The rows of a report, as data: which run, under which policy, of which size, and what was counted.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use lazy_mmu::Policy;
use mmu_check::replay::Replay;

use crate::task::{Figures, Tally};

/// Something to run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Run {
    /// The patch's own trace of the four calls: no pages.
    Nesting,
    /// Scattered frames are mapped in a kernel range, entry by entry.
    Vmap,
    /// A mapped kernel range is moved to another place.
    RemapKernel,
    /// The same in a task's half of the address space.
    RemapTask,
    /// A range is unmapped and its frames are freed.
    Zap,
    /// A range is made read-only, and writable again.
    Protect,
    /// All workloads above but the first, at the same time on many tasks.
    Mixed,
    /// The scenario of nested sections on many tasks, preempted at short intervals.
    Preempt,
    /// The same scenario, preempted at every instruction of the mode.
    Forced,
    /// One of the hazards of `docs/hazards.md`, by its number.
    Hazard(u8),
}

impl Run {
    /// Those of one task, in the order in which `run=all` runs them.
    pub const ALL: [Run; 6] = [
        Run::Nesting,
        Run::Vmap,
        Run::RemapKernel,
        Run::RemapTask,
        Run::Zap,
        Run::Protect,
    ];

    /// Those that stress the kernel with many tasks. `all` has none of them; each is named.
    pub const STRESS: [Run; 3] = [Run::Mixed, Run::Preempt, Run::Forced];

    /// What went wrong in Linux, or was feared. `all` has none of them; each is named, and `hazards` stands for all.
    pub const HAZARDS: [Run; 20] = {
        let mut hazards = [Run::Hazard(1); 20];
        let mut index = 1;
        while index < hazards.len() {
            hazards[index] = Run::Hazard(index as u8 + 1);
            index += 1;
        }
        hazards
    };

    /// Whether it is one of [`Run::HAZARDS`].
    pub fn is_hazard(self) -> bool {
        matches!(self, Run::Hazard(_))
    }

    /// Whether it is one of [`Run::STRESS`].
    pub fn is_stress(self) -> bool {
        Self::STRESS.contains(&self)
    }

    /// A number for the tag of its windows: below 16.
    pub const fn number(self) -> u8 {
        match self {
            Run::Nesting => 0,
            Run::Vmap => 1,
            Run::RemapKernel => 2,
            Run::RemapTask => 3,
            Run::Zap => 4,
            Run::Protect => 5,
            Run::Mixed => 6,
            Run::Preempt => 7,
            Run::Forced => 8,
            Run::Hazard(_) => 9,
        }
    }

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        const HAZARDS: [&str; 20] = [
            "H1", "H2", "H3", "H4", "H5", "H6", "H7", "H8", "H9", "H10", "H11", "H12", "H13",
            "H14", "H15", "H16", "H17", "H18", "H19", "H20",
        ];
        match self {
            Run::Nesting => "nesting",
            Run::Vmap => "vmap",
            Run::RemapKernel => "remap-kernel",
            Run::RemapTask => "remap-task",
            Run::Zap => "zap",
            Run::Protect => "protect",
            Run::Mixed => "mixed",
            Run::Preempt => "preempt",
            Run::Forced => "forced",
            Run::Hazard(number @ 1..=20) => HAZARDS[number as usize - 1],
            Run::Hazard(_) => "no hazard",
        }
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The size of a workload.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Pages worked on.
    pub pages: usize,
    /// The frame allocator is called after this many entries.
    pub k: usize,
    /// Seed of the order of frames.
    pub seed: u64,
}

/// One row of the table: a run under a policy.
#[derive(Clone, Debug)]
pub struct Row {
    /// The run.
    pub run: Run,
    /// The policy.
    pub policy: Policy,
    /// Its size.
    pub size: Size,
    /// What was counted inside its windows.
    pub tally: Tally,
    /// What its calls owe under every policy; a stress run has none.
    pub replay: Option<Replay>,
    /// The deepest nesting, where there is no replay.
    pub deepest: u32,
    /// The tasks of a stress run.
    pub tasks: Vec<OfTask>,
    /// Who else has executed what such a run counts, by name.
    pub others: Vec<(&'static str, Tally)>,
}

/// What one task of a stress run has done.
#[derive(Clone, Debug)]
pub struct OfTask {
    /// Its number.
    pub id: u16,
    /// The name of its work.
    pub does: &'static str,
    /// How often it has done that.
    pub rounds: u64,
    /// What happened to it.
    pub figures: Figures,
    /// What it made the machine do.
    pub tally: Tally,
}

impl Row {
    /// A row of which nothing is counted yet.
    pub fn new(run: Run, policy: Policy, size: Size) -> Self {
        Self {
            run,
            policy,
            size,
            tally: Tally::default(),
            replay: None,
            deepest: 0,
            tasks: Vec::new(),
            others: Vec::new(),
        }
    }

    /// The deepest nesting of sections.
    pub fn depth(&self) -> u32 {
        self.replay
            .as_ref()
            .map_or(self.deepest, |replay| replay.shape().depth)
    }

    /// How many translations the invalidations dropped at most, as text; `everything` when one dropped a whole ASID or
    /// all.
    pub fn reach_or(&self, everything: &str) -> String {
        if self.tally.full == 0 {
            self.tally.reach.to_string()
        } else {
            everything.to_owned()
        }
    }
}
