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
mod sum;
mod vmap;
mod zap;

use core::fmt;

use alloc::string::String;
use alloc::vec::Vec;
use lazy_mmu::Policy;
use stage1_paging::{Frame, Prot};

use crate::mem::{PageRange, frames};
use crate::report::{Row, Run, Size};
use crate::{mode, task};

pub use crowd::Crowd;
use measure::Measured;
pub use measure::check_same_work;

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
    let mut row = Measured::new(run, policy, size);
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
    Ok(Some(row.into_row()))
}

/// Runs one of the workloads that make a row.
fn run_workload(row: &mut Measured) -> Result<(), Failure> {
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
    demand::Demands::of(policy, tasks, task::online_count()).carries()
}

/// Maps a range, writable, to frames that its mappings own from here on, and stores every page's first
/// signature through it: so each has been used, and its translation is in the TLB.
fn mapped_range(range: PageRange<'_>, size: Size) -> Result<Vec<Frame>, Failure> {
    let frames = scattered_frames(size.pages, size.seed)?;
    let pages = range.pages();
    range
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
/// What is mapped in `range` came from [`scattered_frames`] or [`mapped_range`], and is mapped nowhere else.
unsafe fn release(range: PageRange<'_>) -> Result<(), Failure> {
    let pages = range.pages();
    // SAFETY: the caller's promise.
    let parked = unsafe { frames::Zapped::with_capacity(pages.count() as usize) };
    let mut gather = range.gather(parked);
    range
        .unmap(pages, &mut gather)
        .map_err(|error| failure!("{error}"))?;
    let (parked, invalidated) = gather.finish();
    for page in pages.chunks(1) {
        check::unmapped(page.start())?;
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
