//! A task that overflows its stack is reported, on whatever core it runs, and ends the boot.
//!
//! @boot smp=1,4 verdict=4 expect="kernel stack overflow" expect="task 1,"
#![no_std]
#![no_main]

use lazy_mmu::Policy;
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::sched::{self, Join};
use lazy_mmu_kernel::{Boot, println};

lazy_mmu_kernel::entry!(main);

#[expect(unconditional_recursion, reason = "it is what this test is about")]
fn deeper(depth: u64) -> u64 {
    let room = [depth; 64];
    core::hint::black_box(&room);
    deeper(depth + 1) + room[depth as usize % 64]
}

fn main(_: &Boot) -> Verdict {
    let depth = sched::spawn(Policy::V3, || deeper(0)).map(Join::join);
    println!("a stack has no end: {depth:?}");
    Verdict::Failed
}
