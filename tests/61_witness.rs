//! A kernel whose count is one too low, in a window that is otherwise right: only the plugin can know, and the runner must fail the boot.
//!
//! @boot verdict=1 expect="witness: DIFFERS" expect="counted dsb-ishst 1," expect="executed dsb-ishst 2"
#![no_std]
#![no_main]

use lazy_mmu_kernel::Boot;
use lazy_mmu_kernel::arch::window::{self, Window};
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::observe::seam::HW;
use lazy_mmu_kernel::{report, task};

lazy_mmu_kernel::entry!(main);

fn main(_: &Boot) -> Verdict {
    let counts = &task::current().counts;
    let tag = [0xF];
    window::start(Window::Test, &tag);
    let before = counts.tally();
    stage1_hw::publish(HW);
    stage1_hw::publish(HW);
    let mut counted = counts.tally() - before;
    window::end(Window::Test);
    counted.executed[1] -= 1;
    report::note_window(&tag, Window::Test, counted);
    Verdict::Good
}
