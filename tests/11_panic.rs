//! A panic says where, and ends the boot with status 3.
//!
//! @boot verdict=3 expect="11_panic.rs:" expect="on purpose: 42"
#![no_std]
#![no_main]

use lazy_mmu_kernel::Boot;
use lazy_mmu_kernel::base::Verdict;

lazy_mmu_kernel::entry!(main);

fn main(boot: &Boot) -> Verdict {
    let number = 41 + boot.machine.core_count;
    panic!("on purpose: {number}");
}
