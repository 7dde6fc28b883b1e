//! The 256th open section is a bug of the contract: it stops the kernel. The 255th is not.
//!
//! @boot verdict=3 expect="255 are open" expect="lazy_mmu_mode_enable"
#![no_std]
#![no_main]

use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::{Boot, mode, println, task};

lazy_mmu_kernel::entry!(main);

fn main(_: &Boot) -> Verdict {
    for _ in 0..255 {
        mode::lazy_mmu_mode_enable();
    }
    println!("{} are open", task::current().mmu.state().count);
    mode::lazy_mmu_mode_enable();
    Verdict::Good
}
