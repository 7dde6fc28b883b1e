//! Workloads: page-table work inside sections, checked by everything that can be asked.
//!
//! A workload maps, moves, changes or unmaps pages in the order that a kernel would, calls the
//! frame allocator after every `k` entries inside its section, and uses the frame at once. It opens
//! no section but its own: the nesting comes from the allocator. With `debug=off` the allocator
//! does no page-table work, and the same row shows no re-entry.
//!
//! Every page is loaded from or stored to *before* a change, so that a translation of it is in the
//! TLB, and probed *after* it, with no change of TTBR0 between (which would empty QEMU's whole
//! TLB): a missing invalidation shows. What was mapped is checked three times: by walking the
//! tables, by `AT S1E1`, and by real loads and stores.

mod check;
mod crowd;
mod demand;
mod forced;
mod handler;
mod measure;
mod mixed;
mod nesting;
mod preempt;
pub mod progress;
mod protect;
mod remap;
mod scenario;
mod staging;
mod vmap;
mod zap;

use core::fmt;

use alloc::string::String;
use alloc::vec::Vec;
use lazy_mmu::Policy;
use stage1_paging::{Frame, Pages, Prot, Space};

use crate::mem::Hardware;
use crate::mem::frames;
use crate::task::Tally;
use crate::{cores, mode};

pub use crowd::Crowd;
pub(crate) use forced::stopped;
pub use measure::{Row, check_same_work};

/// Something to run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Run {
    /// The seed's own trace: no pages.
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

/// A check that failed: what, where, what was found.
#[derive(Clone, Debug)]
pub struct Failure(String);

impl Failure {
    /// With the text as it is.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Says where it happened.
    pub fn within(self, run: Run, policy: Policy) -> Self {
        failure!("{run} under {policy}: {}", self.0)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A [`Failure`] from a format string.
macro_rules! failure {
    ($($argument:tt)*) => { $crate::workloads::Failure(alloc::format!($($argument)*)) };
}
pub(crate) use failure;

/// Runs one workload under one policy, on the current task, and returns its row once all checks
/// have passed.
///
/// # Errors
/// The first check that failed.
pub fn run(run: Run, policy: Policy, size: Size) -> Result<Option<Row>, Failure> {
    mode::set_policy(policy).map_err(|error| failure!("{error}"))?;
    if run == Run::Nesting {
        return nesting::run().map(|()| None);
    }
    let free_before = frames::free_count();
    let mut row = Row::new(run, policy, size);
    run_workload(&mut row)?;
    row.finish()?;
    let lost = free_before.saturating_sub(frames::free_count());
    // Tables of the kernel's half stay for ever: the first run of a size links them.
    let tables = row.tables_linked();
    if lost != tables {
        return Err(failure!(
            "{lost} frames were taken and not given back, {tables} tables account for them"
        ));
    }
    Ok(Some(row))
}

/// Runs one of the workloads that make a row.
fn run_workload(row: &mut Row) -> Result<(), Failure> {
    match row.run {
        Run::Vmap => vmap::run(row),
        Run::RemapKernel => remap::run_kernel(row),
        Run::RemapTask => remap::run_task(row),
        Run::Zap => zap::run(row),
        Run::Protect => protect::run(row),
        other => Err(failure!("{other} is not a workload of one task")),
    }
}

/// Runs one of [`Run::OF_TASKS`] under one policy, on many tasks and all cores, and returns the row
/// of the machine once all checks have passed.
///
/// # Errors
/// The first check that failed; or that something which is to be shown has not happened.
pub fn run_tasks(run: Run, policy: Policy, size: Size, crowd: Crowd) -> Result<Row, Failure> {
    match run {
        Run::Mixed => mixed::run(policy, size, crowd),
        Run::Preempt => preempt::run(policy, size, crowd),
        Run::Forced => forced::run(policy, size),
        other => Err(failure!("{other} is not a run of many tasks")),
    }
}

/// Whether a run of many tasks has them carry debts across switches for sure: only then may somebody ask for having seen it.
pub fn carries_for_sure(run: Run, policy: Policy, crowd: Crowd) -> bool {
    let tasks = match run {
        Run::Mixed | Run::Preempt => crowd.tasks,
        Run::Forced => forced::tasks(),
        _ => return false,
    };
    demand::Demands::of(policy, tasks, cores::count()).carries()
}

/// Maps a range, writable, to frames that its mappings own from here on, and stores every page's first
/// signature through it: so each has been used, and its translation is in the TLB.
fn mapped_range(
    space: &Space<'_, Hardware>,
    pages: Pages,
    size: Size,
) -> Result<Vec<Frame>, Failure> {
    let frames = scattered_frames(size.pages, size.seed)?;
    space
        .map_frames(pages, frames.iter().copied(), Prot::RW)
        .map_err(|error| failure!("{error}"))?;
    for (index, page) in pages.chunks(1).enumerate() {
        check::store(page.start(), signature(index, 1)).map_err(|fault| failure!("{fault}"))?;
    }
    Ok(frames)
}

/// Unmaps a range whose mappings own their frames, checks that every page is gone, and frees them.
///
/// # Safety
/// What is mapped in `pages` came from [`scattered_frames`] or [`mapped_range`], and is mapped nowhere else.
unsafe fn release(space: &Space<'_, Hardware>, pages: Pages) -> Result<(), Failure> {
    // SAFETY: the caller's promise.
    let parked = unsafe { frames::Zapped::with_capacity(pages.count() as usize) };
    let mut gather = space.gather(parked);
    space
        .unmap(pages, &mut gather)
        .map_err(|error| failure!("{error}"))?;
    let (parked, invalidated) = gather.finish();
    for page in pages.chunks(1) {
        check::unmapped(space, page.start())?;
    }
    parked.free(&invalidated);
    Ok(())
}

/// Frames in an order that the seed decides: what a range of a machine that has run for a while
/// would get. They belong to the mappings that the caller makes, and come back by [`release`].
fn scattered_frames(count: usize, seed: u64) -> Result<Vec<Frame>, Failure> {
    let mut taken = Vec::with_capacity(count);
    for _ in 0..count {
        let frame = frames::alloc()
            .ok_or_else(|| failure!("no frame left for the workload's {count} pages"))?;
        taken.push(frame.into_frame());
    }
    // Fisher-Yates, fed by xorshift64* (Vigna 2016): no order that matters can depend on its
    // quality.
    let mut state = seed.max(1);
    for index in (1..count).rev() {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let random = state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        taken.swap(index, random as usize % (index + 1));
    }
    Ok(taken)
}

/// What a page of a workload holds: different for every page, and for every use of it.
fn signature(page: usize, generation: u64) -> u64 {
    (page as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ generation.rotate_left(48)
}

/// Sums of rows, for the closing line. Runs of many tasks go on for a time, not for a number of
/// calls: they are not to be compared.
pub fn sum(rows: &[Row], policy: Policy) -> Tally {
    rows.iter()
        .filter(|row| row.policy == policy && !row.run.is_of_tasks())
        .fold(Tally::default(), |sum, row| sum + row.tally)
}
