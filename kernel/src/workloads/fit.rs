//! Whether what the command line has can fit this machine's memory: estimated before anything runs.
//!
//! A run that has too little memory ends with an error, and a kernel whose heap is full can only panic. So what cannot fit is refused.

use alloc::format;
use alloc::string::String;

use super::Stress;
use crate::mem::{self, frames};
use crate::report::{Run, Size};

/// What a run takes at most, or what there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Memory {
    frames: u64,
    /// Bytes of the heap.
    heap: u64,
}

/// Heap that a workload takes for each of its pages: lists of frames and of pages, which may be twice as long while they grow.
const HEAP_PER_PAGE: u64 = 80;
/// Heap that the rules take besides: what is stored and owed, and copies of tables.
const RULES_PER_PAGE: u64 = 160;
/// Heap of a task, and of a workload of no pages.
const HEAP_PER_TASK: u64 = 8 << 10;
/// Frames of a task: its stack, and what its scenario takes.
const FRAMES_PER_TASK: u64 = 16;

impl Memory {
    /// What is free now.
    fn free() -> Self {
        Self {
            frames: frames::free_count(),
            heap: mem::heap_free() as u64,
        }
    }

    /// Of one workload of one task.
    fn of_workload(pages: u64, k: u64, checked: bool) -> Self {
        let per_page = HEAP_PER_PAGE + if checked { RULES_PER_PAGE } else { 0 };
        // Two ranges, each with holes at worst after every page, and their tables of all levels.
        let tables = 2 * (2 * pages / 512 + 5);
        Self {
            frames: pages + pages / k + tables,
            heap: HEAP_PER_TASK + per_page * pages,
        }
    }

    fn of(run: Run, pages: u64, size: Size, stress: Stress, checked: bool) -> Self {
        let k = (size.k as u64).min(pages);
        let (tasks, each) = match run {
            Run::Nesting | Run::Hazard(_) => (0, Self::of_workload(0, 1, checked)),
            Run::Preempt => (stress.tasks, Self::of_workload(0, 1, checked)),
            Run::Forced => (super::forced::tasks(), Self::of_workload(0, 1, checked)),
            Run::Mixed => (stress.tasks, Self::of_workload(pages, k, checked)),
            Run::Entries => (0, Self::of_workload(pages, 1, checked)),
            _ => (0, Self::of_workload(pages, k, checked)),
        };
        let times = tasks.max(1) as u64;
        Self {
            frames: times * each.frames + FRAMES_PER_TASK * tasks as u64,
            heap: times * each.heap,
        }
    }

    fn fits(self, there: Self) -> bool {
        self.frames <= there.frames && self.heap <= there.heap
    }
}

/// Why `run` cannot fit, and what would: `None` if it may.
pub fn refused(run: Run, size: Size, stress: Stress, checked: bool) -> Option<String> {
    let (there, pages) = (Memory::free(), size.pages as u64);
    let fits = |pages| Memory::of(run, pages, size, stress, checked).fits(there);
    if fits(pages) {
        return None;
    }
    // The least that does not fit: it grows with the pages.
    let (mut least, mut most) = (1, pages);
    while least < most {
        let middle = least.midpoint(most);
        if fits(middle) {
            least = middle + 1;
        } else {
            most = middle;
        }
    }
    let Memory { frames, heap } = Memory::of(run, pages, size, stress, checked);
    let allowed = match least {
        1 => "fewer tasks=, or more memory (MEM=)".into(),
        pages => format!(
            "pages=1 to {}, fewer tasks=, or more memory (MEM=)",
            pages - 1
        ),
    };
    Some(format!(
        "`run={run}`: it takes {frames} frames and {} KiB of heap, and there are {} and {} KiB; allowed: {allowed}",
        heap >> 10,
        there.frames,
        there.heap >> 10
    ))
}
