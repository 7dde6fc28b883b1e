//! A store to a free frame, through a mapping that should have gone, is found when the frame is allocated.
//!
//! @boot args="debug=on poison=on" verdict=3 expect="was overwritten with 0xbad"
//! @boot args="debug=off poison=on" verdict=3 expect="was overwritten with 0xbad"
#![no_std]
#![no_main]

extern crate alloc;
mod common;

use alloc::vec::Vec;

use common::ensure;
use lazy_mmu_kernel::Boot;
use lazy_mmu_kernel::arch::probe;
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::mem::areas::Area;
use lazy_mmu_kernel::mem::frames;
use stage1_paging::Prot;

lazy_mmu_kernel::entry!(main);

fn main(_: &Boot) -> Verdict {
    let (Some(frame), Some(area)) = (frames::alloc(), Area::take(1)) else {
        return Verdict::Failed;
    };
    let va = area.pages().start();
    let mapped = area.range().map_page(va, frame.frame(), Prot::RW);
    ensure!(mapped.is_ok(), "{mapped:?}");
    // The fault: it is freed while it is still mapped.
    frames::free(frame);
    // SAFETY: the frame is nobody's, which is what the test is about.
    let stored = unsafe { probe::write_u64(va, 0xBAD) };
    ensure!(stored.is_ok(), "{stored:?}");
    let _all: Vec<_> = core::iter::from_fn(frames::alloc).collect();
    Verdict::Failed
}
