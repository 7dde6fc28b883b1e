//! A store to nowhere ends the boot with status 4 and a full report.
//!
//! @boot verdict=4 expect="data abort" expect="translation fault, level" expect="FAR" expect="ELR" expect="0000dead00001000"
//! @boot el2=on cpu=cortex-a72 verdict=4 expect="translation fault, level"
//! @boot cpu=max args="trace=on" verdict=4 expect="translation fault, level"
#![no_std]
#![no_main]

use lazy_mmu_kernel::Boot;
use lazy_mmu_kernel::base::Verdict;

lazy_mmu_kernel::entry!(main);

fn main(_: &Boot) -> Verdict {
    let nowhere = 0x0000_DEAD_0000_1000 as *mut u64;
    // SAFETY: none: this is the test. Nothing is mapped there, so the store has no effect but the exception.
    unsafe { nowhere.write_volatile(1) };
    Verdict::Good
}
