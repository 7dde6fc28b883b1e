//! Fetching an instruction from data ends the boot with status 4 and says so.
//!
//! @boot verdict=4 expect="instruction abort" expect="permission fault, level 3" expect="rodata, which is not executable"
#![no_std]
#![no_main]

use core::hint::black_box;

use lazy_mmu_kernel::Boot;
use lazy_mmu_kernel::arch::probe;
use lazy_mmu_kernel::base::Verdict;

lazy_mmu_kernel::entry!(main);

static CODE: [u32; 2] = [probe::RET; 2];

fn main(_: &Boot) -> Verdict {
    let code = black_box(&CODE) as *const [u32; 2];
    // SAFETY: none: this is the test. The words are a function's (`ret`), but lie in rodata.
    let function = unsafe { core::mem::transmute::<*const [u32; 2], extern "C" fn()>(code) };
    function();
    Verdict::Good
}
