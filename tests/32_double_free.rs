//! Freeing a frame twice stops the kernel where it happens, under `debug=on`.
//!
//! @boot args="debug=on" verdict=3 expect="is freed twice"
#![no_std]
#![no_main]

use lazy_mmu_kernel::Boot;
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::mem::frames::{self, Owned};

lazy_mmu_kernel::entry!(main);

fn main(_: &Boot) -> Verdict {
    let Some(frame) = frames::alloc() else {
        return Verdict::Failed;
    };
    // SAFETY: none: two owners are the fault under test.
    let twin = unsafe { Owned::from_frame(frame.frame()) };
    frames::free(frame);
    frames::free(twin);
    Verdict::Good
}
