//! What a run reports, as data: which run, under which policy, of which size, and what was counted.

use core::fmt;

use lazy_mmu::Policy;
use mmu_check::replay::Replay;

use crate::task::Tally;

/// Something to run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Run {
    /// The patch's own trace: no pages.
    Nesting = 0,
    /// Scattered frames into a kernel range, entry by entry.
    Vmap = 1,
    /// A mapped kernel range to another place.
    RemapKernel = 2,
    /// The same in a task's half.
    RemapTask = 3,
    /// A range unmapped and its frames freed.
    Zap = 4,
    /// A range made read-only, and writable again.
    Protect = 5,
    /// All of them but the first on many tasks at once.
    Mixed = 6,
    /// One shape of nested sections on many tasks, preempted at short intervals.
    Preempt = 7,
    /// The same shape, preempted at every instruction of the mode.
    Forced = 8,
}

impl Run {
    /// Those of one task, in the order of `run=all`.
    pub const ALL: [Run; 6] = [
        Run::Nesting,
        Run::Vmap,
        Run::RemapKernel,
        Run::RemapTask,
        Run::Zap,
        Run::Protect,
    ];

    /// Those of many tasks, each of which is run by its name only.
    pub const OF_TASKS: [Run; 3] = [Run::Mixed, Run::Preempt, Run::Forced];

    /// It is one of many tasks.
    pub fn is_of_tasks(self) -> bool {
        Self::OF_TASKS.contains(&self)
    }

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
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
    /// What its calls owe under every policy.
    pub replay: Option<Replay>,
    /// The deepest nesting, where no replay says it.
    pub deepest: u32,
}

impl Row {
    /// The deepest nesting of sections.
    pub fn depth(&self) -> u32 {
        self.replay
            .as_ref()
            .map_or(self.deepest, |replay| replay.shape().depth)
    }

    /// How many translations the invalidations dropped at most; `None` when one dropped everything.
    pub fn reach(&self) -> Option<u64> {
        (self.tally.full == 0).then_some(self.tally.reach)
    }
}

/// Sums of rows, for the closing line. Runs of many tasks go on for a time, not for a number of
/// calls: they are not to be compared.
pub fn sum(rows: &[Row], policy: Policy) -> Tally {
    rows.iter()
        .filter(|row| row.policy == policy && !row.run.is_of_tasks())
        .fold(Tally::default(), |sum, row| sum + row.tally)
}
