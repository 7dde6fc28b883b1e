//! Workloads: page-table work inside sections, and the checks of what it did.
//!
//! # What a workload does
//! It maps, moves, protects or unmaps pages in the order that a kernel would. After every `k` entries it
//! allocates a frame inside its section, and uses the frame at once. It opens no section but its own. The
//! nesting comes from the allocator: with `debug=on` it maps the frame in the linear map, in a section
//! inside the workload's. With `debug=off` it does no page-table work, and the same row shows no
//! nesting.
//!
//! Every page is loaded from or stored to *before* a change, so that its translation is in the TLB, and
//! probed *after* the change: a missing invalidation shows as an access that still works. TTBR0 is not
//! written in between, because QEMU drops its whole TLB then. Whether a page is mapped is checked three
//! times: by walking the tables, by `AT S1E1`, and by real loads and stores.
//!
//! # Words
//! | word | what it is |
//! |---|---|
//! | section | what lies between `lazy_mmu_mode_enable` and its `lazy_mmu_mode_disable` |
//! | debt | what a store to a page table obliges the kernel to execute before the change may be relied on |
//! | pair | `dsb ishst; isb`, which pays the debt of all valid descriptors stored before it |
//! | pending | the task's flag that it owes a pair and has deferred it to the end of a section |
//! | policy | the rules by which calls of the mode defer or pay: two contracts of Linux, and three to compare with |
//! | window | a measured region, marked by HINTs; the counts of a row are those of its windows |
//! | witness | the QEMU plugin, which counts executed instructions in windows without the kernel's help |
//! | reach | how many translations the invalidations dropped at most, in pages |
//! | scenario | a short fixed sequence of nested sections, which a task can repeat |
//! | stress | a run of many tasks on all cores, with preemption and interrupt handlers |
//!
//! # Files
//! | files | what |
//! |---|---|
//! | `vmap`, `remap`, `zap`, `protect` | workloads of one task: a row of the table each |
//! | `nesting` | the patch's own trace of the four calls |
//! | `stress/` with `mixed`, `preempt` | the stress runs, their stop, their sums and their printed table |
//! | `forced/` | a preemption at every instruction of the mode and of the switch |
//! | `scenario`, `trace` | what `preempt` and `forced` repeat, and how they compare it |
//! | `linux/` | what Linux itself does, whole ranges at a time: a row each, beside Linux's own figures |
//! | `hazards/` | what went wrong in Linux, each as a scenario |
//! | `pages`, `memory`, `check`, `reentry`, `handler` | what workloads have in common: pages, frames, checks of a page, allocations inside a section, page-table work in an interrupt |
//! | `fit` | whether a run can fit the machine's memory |
//! | `measure`, `look`, `counts` | a row in the making, recorded or not, and the checks of its counts |
//! | `failure`, `progress` | what they report on the way |

mod check;
mod counts;
mod failure;
mod fit;
mod forced;
mod handler;
pub mod hazards;
mod linux;
mod look;
mod measure;
mod memory;
mod nesting;
mod pages;
pub mod progress;
mod protect;
mod reentry;
mod remap;
mod scenario;
mod stress;
mod trace;
mod vmap;
mod zap;

use lazy_mmu::Policy;

use crate::mode;
use crate::report::{Row, Run, Size};
use crate::task;

pub use counts::check_same_work;
pub use failure::Failure;
pub(crate) use failure::failure;
pub use fit::refused;
use look::Look;
pub use look::Meter;
use measure::Measured;
pub use memory::{Memory, check_frames};
pub use pages::{shuffle, two_ranges};
pub use stress::Stress;
use stress::demand::Demands;

/// Runs one workload under one policy, on the current task, and returns its row once all checks
/// have passed. `nesting` has no row.
///
/// # Errors
/// The first check that failed.
pub fn run(run: Run, policy: Policy, size: Size) -> Result<Option<Row>, Failure> {
    if run == Run::Nesting {
        mode::set_policy(policy)?;
        return nesting::run().map(|()| None);
    }
    once(run, policy, size, Look::Row).map(Some)
}

/// Runs one workload twice under one policy: recorded, for the replay and the rules, and then with nothing recorded, so that `meter`
/// counts the operation alone. Returns the row of the second run.
///
/// # Errors
/// The first check that failed in one of them; or the two executed different barriers.
pub fn measure(
    run: Run,
    policy: Policy,
    size: Size,
    meter: &mut dyn Meter,
) -> Result<Row, Failure> {
    let recorded = once(run, policy, size, Look::Recorded)?;
    let bare = once(run, policy, size, Look::Bare(meter))?;
    counts::check_both(recorded.tally, bare.tally)?;
    Ok(bare)
}

fn once(run: Run, policy: Policy, size: Size, look: Look<'_>) -> Result<Row, Failure> {
    mode::set_policy(policy)?;
    let before = Memory::now();
    let mut row = Measured::new(run, policy, size, look);
    run_workload(&mut row)?;
    row.finish()?;
    check_frames(before)?;
    Ok(row.into_row())
}

/// Runs one of the workloads that make a row.
fn run_workload(row: &mut Measured) -> Result<(), Failure> {
    match row.run {
        Run::Vmap => vmap::run(row),
        Run::RemapKernel => remap::run_kernel(row),
        Run::RemapTask => remap::run_task(row),
        Run::Zap => zap::run(row),
        Run::Protect => protect::run(row),
        Run::Munmap => linux::munmap::run(row),
        Run::VmapRange => linux::vmap::run_map(row),
        Run::Vunmap => linux::vmap::run_unmap(row),
        Run::MremapKernel => linux::mremap::run_kernel(row),
        Run::MremapTask => linux::mremap::run_task(row),
        Run::Mprotect => linux::mprotect::run(row),
        Run::ProtectAlias => linux::alias::run(row),
        Run::Kasan => linux::kasan::run(row),
        Run::Entries => linux::entries::run(row),
        other => Err(failure!("{other} is not a workload of one task")),
    }
}

/// Runs one of [`Run::STRESS`] under one policy, on many tasks and all cores, and returns the row
/// of the machine once all checks have passed.
///
/// # Errors
/// The first check that failed, or that something did not happen which the run has to show.
pub fn run_stress(run: Run, policy: Policy, size: Size, stress: Stress) -> Result<Row, Failure> {
    match run {
        Run::Mixed => stress::mixed::run(policy, size, stress),
        Run::Preempt => stress::preempt::run(policy, size, stress),
        Run::Forced => forced::run(policy, size),
        other => Err(failure!("{other} is not a run of many tasks")),
    }
}

/// Whether a run of many tasks carries a debt across a switch for sure. Only then may the checker demand to have seen one.
pub fn carries_for_sure(run: Run, policy: Policy, stress: Stress) -> bool {
    let tasks = match run {
        Run::Mixed | Run::Preempt => stress.tasks,
        Run::Forced => forced::tasks(),
        _ => return false,
    };
    Demands::of(policy, tasks, task::online_count()).carries()
}
