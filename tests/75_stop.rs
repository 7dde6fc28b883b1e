//! The kernel ends while tasks run on other cores, one of them with interrupts of its own to wait for: all of them stop.
//!
//! @boot smp=1,4 gic=2,3
#![no_std]
#![no_main]

mod common;

use common::ensure;
use lazy_mmu::Policy;
use lazy_mmu_kernel::arch::{registers, time};
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::{Boot, cores, mode, sched, task};

lazy_mmu_kernel::entry!(main);

fn main(boot: &Boot) -> Verdict {
    let forever: fn() = || {
        mode::lazy_mmu_mode_enable();
        loop {
            registers::yield_now();
        }
    };
    for work in [
        forever,
        || loop {
            sched::sleep(100)
        },
        || loop {
            sched::yield_now()
        },
    ] {
        let spawned = sched::spawn(Policy::V3, work).map(core::mem::forget);
        ensure!(spawned.is_ok(), "{spawned:?}");
    }
    // No core but this one: the tasks are never run, and must not be in the way either.
    if boot.cores > 1 {
        // Sleeping, so that this core's timer is set when the others stop: its interrupt must not stop this one.
        sched::sleep(10_000);
    } else {
        time::wait_until(10_000, || false);
    }
    ensure!(cores::stop(), "not every core has stopped");
    let others = task::others_online();
    for core in task::cores() {
        let parked = core.parked.load(core::sync::atomic::Ordering::Relaxed);
        ensure!(
            parked == (others >> core.index & 1 != 0),
            "core {}",
            core.index
        );
    }
    Verdict::Good
}
