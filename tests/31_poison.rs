//! A store to a free frame, through a mapping that should have gone, is found when the frame is allocated.
//!
//! @boot args="debug=on poison=on word=0" verdict=3 expect="poison: word 0 of free frame" expect="was overwritten with 0xbad; it was freed by task 0 at tests/31_poison.rs:"
//! @boot args="debug=on poison=on word=256" verdict=3 expect="poison: word 256 of free frame"
//! @boot args="debug=off poison=on word=511" verdict=3 expect="poison: word 511 of free frame" expect="was overwritten with 0xbad; it was freed by task 0 at tests/31_poison.rs:"
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
use stage1_paging::{Prot, Va};

lazy_mmu_kernel::entry!(main, keys = ["word"]);

fn main(boot: &Boot) -> Verdict {
    let word = boot
        .arguments
        .own("word")
        .and_then(|word| word.parse::<u64>().ok());
    let Some(word) = word.filter(|word| *word < stage1_paging::ENTRIES as u64) else {
        return Verdict::BadArguments;
    };
    let (Some(frame), Some(area)) = (frames::alloc(), Area::take(1)) else {
        return Verdict::Failed;
    };
    let va = area.pages().start();
    let mapped = area.range().map_page(va, frame.frame(), Prot::RW);
    ensure!(mapped.is_ok(), "{mapped:?}");
    // The fault: it is freed while it is still mapped.
    frames::free(frame);
    // SAFETY: the frame is nobody's, which is what the test is about.
    let stored = unsafe { probe::write_u64(Va::new(va.raw() + 8 * word), 0xBAD) };
    ensure!(stored.is_ok(), "{stored:?}");
    let _all: Vec<_> = core::iter::from_fn(frames::alloc).collect();
    Verdict::Failed
}
