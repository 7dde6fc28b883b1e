//! With `check=on` a store to a table is made under the lock that the rules stand behind. One that faults there is reported like
//! any other: its exception does not wait for that lock.
//!
//! @boot args="check=on" verdict=4 expect="data abort" expect="translation fault, level"
//! @boot args="check=on trace=on" cpu=cortex-a72 verdict=4 expect="translation fault, level"
#![no_std]
#![no_main]

use core::sync::atomic::AtomicU64;

use lazy_mmu_kernel::Boot;
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::base::layout;
use lazy_mmu_kernel::observe::seam::HW;
use stage1_hw::{Instructions, Slot, Why};
use stage1_paging::{Desc, Frame, Level, Va};

lazy_mmu_kernel::entry!(main);

fn main(_: &Boot) -> Verdict {
    let nowhere = layout::VMAP_BASE as *const AtomicU64;
    // SAFETY: none: this is the test. Nothing is mapped there, so an access has no effect but the exception.
    let word = unsafe { &*nowhere };
    let slot = Slot {
        word,
        pa: Frame::ZERO.pa(),
        level: Level::L3,
        va: Va::new(layout::VMAP_BASE),
    };
    HW.store(slot, Desc::INVALID, Why::Link);
    Verdict::Good
}
