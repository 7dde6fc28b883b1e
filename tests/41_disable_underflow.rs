//! A disable without an enable is a bug of the contract: it stops the kernel.
//!
//! @boot verdict=3 expect="lazy_mmu_mode_disable"
#![no_std]
#![no_main]

use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::{Boot, mode};

lazy_mmu_kernel::entry!(main);

fn main(_: &Boot) -> Verdict {
    mode::section(|| {});
    mode::lazy_mmu_mode_disable();
    Verdict::Good
}
