//! What `v3` warns about is said, and the kernel goes on.
//!
//! @boot expect="warning: lazy_mmu_mode_enable" expect="warning: lazy_mmu_mode_disable" expect="warning: lazy_mmu_mode_pause" expect="warning: lazy_mmu_mode_resume" expect="allocated while paused"
#![no_std]
#![no_main]

mod common;

use common::ensure;
use lazy_mmu::Policy;
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::mem::frames;
use lazy_mmu_kernel::{Boot, mode, println, task};

lazy_mmu_kernel::entry!(main);

fn main(_: &Boot) -> Verdict {
    let task = task::current();
    mode::lazy_mmu_mode_pause(); // outside
    mode::lazy_mmu_mode_resume(); // outside: the mode is on at depth 0 now, as `v3` has it
    mode::lazy_mmu_mode_enable();
    mode::lazy_mmu_mode_disable();
    ensure!(
        !task.mmu.in_lazy_mmu_mode(),
        "the disable has put that right"
    );

    // H2: the allocator's section inside a paused stretch. The exclusive contract reports it, and loses no barrier.
    mode::lazy_mmu_mode_enable();
    mode::lazy_mmu_mode_pause();
    let Some(frame) = frames::alloc() else {
        return Verdict::Failed;
    };
    ensure!(!task.mmu.is_pending(), "H2: {:?}", frame.frame());
    println!("allocated while paused");
    frames::free(frame);
    mode::lazy_mmu_mode_resume();
    mode::lazy_mmu_mode_disable();
    ensure!(task.mmu.state().count == 0, "{}", task.mmu.state());

    // The nesting contract does not.
    ensure!(task.mmu.set_policy(Policy::Linux7).is_ok(), "idle");
    println!("silent from here");
    let said = mode::warnings();
    ensure!(said >= 4, "{said} warnings under the exclusive contract");
    mode::lazy_mmu_mode_enable();
    mode::lazy_mmu_mode_pause();
    let Some(frame) = frames::alloc() else {
        return Verdict::Failed;
    };
    ensure!(!task.mmu.is_pending(), "H2: {:?}", frame.frame());
    frames::free(frame);
    mode::lazy_mmu_mode_resume();
    mode::lazy_mmu_mode_disable();
    ensure!(task.mmu.state().count == 0, "{}", task.mmu.state());
    ensure!(
        mode::warnings() == said,
        "the nesting contract warns of what it allows"
    );
    Verdict::Good
}
