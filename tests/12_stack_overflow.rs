//! Recursion without end meets the guard, and is reported from another stack.
//!
//! @boot verdict=4 expect="kernel stack overflow"
//! @boot cpu=cortex-a53 el2=on verdict=4 expect="kernel stack overflow"
#![no_std]
#![no_main]

use core::hint::black_box;

use lazy_mmu_kernel::Boot;
use lazy_mmu_kernel::base::Verdict;

lazy_mmu_kernel::entry!(main);

fn main(_: &Boot) -> Verdict {
    if descend(0) == 0 {
        Verdict::Failed
    } else {
        Verdict::Good
    }
}

#[allow(unconditional_recursion)]
fn descend(depth: u64) -> u64 {
    let frame = black_box([depth; 32]);
    // Not in tail position: each call keeps its frame.
    descend(depth + 1) + frame[depth as usize % 32]
}
