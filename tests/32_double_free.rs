//! Freeing a frame twice stops the kernel where it happens, under `debug=on`: alone, in a batch among neighbours that are allocated,
//! and twice in one batch.
//!
//! @boot args="debug=on how=alone" verdict=3 expect="a run of 1 from" expect="is freed twice"
//! @boot args="debug=on how=among" verdict=3 expect="a run of 3 from" expect="is freed twice"
//! @boot args="debug=on how=both" verdict=3 expect="is freed twice"
#![no_std]
#![no_main]

mod common;

use common::ensure;
use lazy_mmu_kernel::Boot;
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::mem::frames::{self, Owned};

lazy_mmu_kernel::entry!(main, keys = ["how"]);

fn main(boot: &Boot) -> Verdict {
    let (Some(low), Some(frame), Some(high)) = (frames::alloc(), frames::alloc(), frames::alloc())
    else {
        return Verdict::Failed;
    };
    let pa = frame.frame().pa().raw();
    let around = [
        low.frame().pa().raw() + 4096,
        high.frame().pa().raw() - 4096,
    ];
    ensure!(around == [pa; 2], "no neighbours: {around:x?} and {pa:x}");
    // SAFETY: none: two owners are the fault under test.
    let twin = unsafe { Owned::from_frame(frame.frame()) };
    match boot.arguments.own("how") {
        Some("alone") => {
            frames::free(frame);
            frames::free(twin);
        }
        Some("among") => {
            frames::free(frame);
            frames::free_all([high, twin, low]);
        }
        Some("both") => frames::free_all([frame, high, twin, low]),
        _ => return Verdict::BadArguments,
    }
    Verdict::Good
}
