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
    /// Ranges of a task with holes and shared frames are unmapped, and their frames freed in batches (Linux: `munmap`).
    Munmap,
    /// Several areas are mapped, a call each (`vmap`).
    VmapRange,
    /// Several areas are unmapped, with one invalidation for all (`vunmap`, and its purge).
    Vunmap,
    /// A kernel range is moved, in few calls, to where there are no tables yet.
    MremapKernel,
    /// The same in a task's half (`mremap`).
    MremapTask,
    /// A task's range is made read-only, and writable again, a call each (`mprotect`).
    Mprotect,
    /// A kernel range and its linear aliases are made read-only, and writable again (`set_memory_ro`).
    ProtectAlias,
    /// Entries are mapped in a section that is paused to allocate and free (KASAN's shadow).
    Kasan,
    /// Eight loops of stores to kernel entries, with nested sections and allocations.
    Entries,
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

    /// What Linux itself does. `all` has none of them; each is named, and `linux` stands for all.
    pub const LINUX: [Run; 9] = [
        Run::Munmap,
        Run::VmapRange,
        Run::Vunmap,
        Run::MremapKernel,
        Run::MremapTask,
        Run::Mprotect,
        Run::ProtectAlias,
        Run::Kasan,
        Run::Entries,
    ];

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

    /// A number for the tag of its windows, of two nibbles.
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
            Run::Munmap => 9,
            Run::VmapRange => 10,
            Run::Vunmap => 11,
            Run::MremapKernel => 12,
            Run::MremapTask => 13,
            Run::Mprotect => 14,
            Run::ProtectAlias => 15,
            Run::Kasan => 16,
            Run::Entries => 17,
            Run::Hazard(_) => 18,
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
            Run::Munmap => "munmap",
            Run::VmapRange => "vmap-range",
            Run::Vunmap => "vunmap",
            Run::MremapKernel => "mremap-kernel",
            Run::MremapTask => "mremap-task",
            Run::Mprotect => "mprotect",
            Run::ProtectAlias => "protect-alias",
            Run::Kasan => "kasan",
            Run::Entries => "entries",
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
    /// What only Linux's own work takes.
    pub detail: Detail,
}

/// What the runs of [`Run::LINUX`] take besides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Detail {
    /// `munmap`: a hole after so many pages; 0 for none.
    pub holes: usize,
    /// `munmap`: mappings that a batch holds, up to [`Detail::BATCH_MAX`].
    pub batch: usize,
    /// `vmap-range`, `vunmap`: areas that the pages are divided among, at most as many as pages.
    pub areas: usize,
    /// `mremap-kernel`, `mremap-task`, `mprotect`: pages of one call; 0 for all.
    pub step: usize,
    /// The frames are in the allocator's order, and not scattered.
    pub contiguous: bool,
}

impl Detail {
    /// What Linux's `struct mmu_gather_batch` holds in its page: 4096 bytes less its head, 8 for each.
    pub const BATCH_MAX: usize = 510;
}

impl Default for Detail {
    fn default() -> Self {
        Self {
            holes: 16,
            batch: Self::BATCH_MAX,
            areas: 4,
            step: 0,
            contiguous: false,
        }
    }
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
