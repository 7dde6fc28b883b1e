//! Every core that the machine has takes part, up to eight; the rest is said and not ignored.
//!
//! A task per core waits until all have come: they can only come on as many cores.
//!
//! @boot smp=1,2,4,8 gic=2,3 timeout=180
//! @boot smp=4 cpu=cortex-a53,cortex-a72,neoverse-n1 timeout=180
//! @boot smp=4 gic=2,3 el2=on timeout=180
//! @boot smp=4 gic=2,3 icount=on timeout=180
//! @boot smp=12 gic=3 timeout=180
//! @boot smp=2 mem=64M args="debug=off" timeout=180
#![no_std]
#![no_main]

extern crate alloc;

mod common;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

use common::ensure;
use lazy_mmu::Policy;
use lazy_mmu_kernel::arch::{registers, time};
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::{Boot, sched, task};

lazy_mmu_kernel::entry!(main);

static HERE: AtomicU32 = AtomicU32::new(0);

/// Waits for all others on a core of its own, and returns the core's number and affinity.
fn meet(all: u32) -> (u8, u64) {
    HERE.fetch_add(1, SeqCst);
    // No preemption and no yield: the task keeps its core.
    time::wait_until(60_000_000, || HERE.load(SeqCst) == all);
    (task::core().index, registers::affinity())
}

fn main(boot: &Boot) -> Verdict {
    let machine = &boot.machine;
    ensure!(boot.cores == machine.core_count, "{} take part", boot.cores);
    ensure!(
        boot.cores == machine.cores_in_tree.min(8),
        "{}",
        machine.cores_in_tree
    );
    ensure!(
        task::online_count() == boot.cores,
        "{}",
        task::online_count()
    );
    ensure!(sched::quiesce(), "an idle core is not idle");

    // The task that boots has this core: one task less.
    let others = boot.cores as u32 - 1;
    let joins: Result<Vec<_>, _> = (0..others)
        .map(|_| sched::spawn(Policy::V3, move || meet(others + 1)))
        .collect();
    let Ok(joins) = joins else {
        ensure!(false, "no task for each core");
        return Verdict::Failed;
    };
    let (index, affinity) = meet(others + 1);
    ensure!(
        HERE.load(SeqCst) == others + 1,
        "{} cores came",
        HERE.load(SeqCst)
    );
    let mut seen: Vec<_> = joins.into_iter().map(|join| join.join().value).collect();
    seen.push((index, affinity));
    seen.sort_unstable();
    ensure!(
        seen.iter()
            .enumerate()
            .all(|(index, core)| usize::from(core.0) == index),
        "{seen:x?}"
    );
    for (_, affinity) in seen {
        ensure!(
            machine.cores[..machine.core_count].contains(&affinity),
            "{affinity:#x}"
        );
    }
    Verdict::Good
}
