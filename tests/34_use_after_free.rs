//! A use of a freed frame faults at once, and the report says who freed it and where.
//!
//! @boot args="debug=on how=load" verdict=4 expect="translation fault, level 3" expect="its frame was freed by task 0 at tests/34_use_after_free.rs:"
//! @boot args="debug=on how=store" verdict=4 expect="its frame was freed by task 0 at tests/34_use_after_free.rs:"
//! @boot args="debug=on poison=on how=task" verdict=4 expect="its frame was freed by task 1 at tests/34_use_after_free.rs:"
//! @boot args="debug=on how=batch" verdict=4 expect="its frame was freed by task 0 at tests/34_use_after_free.rs:"
//! @boot args="debug=on how=section" verdict=4 expect="its frame was freed by task 0 at tests/34_use_after_free.rs:"
//! @boot args="debug=on check=on how=load" verdict=4 expect="its frame was freed by task 0"
#![no_std]
#![no_main]

use core::sync::atomic::Ordering::Relaxed;

use lazy_mmu::Policy;
use lazy_mmu_kernel::Boot;
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::mem::frames::{self, Owned};
use lazy_mmu_kernel::{mode, sched};

lazy_mmu_kernel::entry!(main, keys = ["how"]);

fn main(boot: &Boot) -> Verdict {
    let (Some(frame), Some(other)) = (frames::alloc(), frames::alloc()) else {
        return Verdict::Failed;
    };
    // SAFETY: none: that it is used when its other owner has freed it is the fault under test.
    let late = unsafe { Owned::from_frame(frame.frame()) };
    // Its translation is in the TLB.
    late.words()[7].store(1, Relaxed);
    match boot.arguments.own("how") {
        Some("load") => {
            frames::free(frame);
            let _ = late.words()[7].load(Relaxed);
        }
        Some("store") => {
            frames::free(frame);
            late.words()[7].store(2, Relaxed);
        }
        Some("task") => {
            let Ok(task) = sched::spawn(Policy::V3, move || frames::free(frame)) else {
                return Verdict::Failed;
            };
            task.join();
            late.words()[7].store(2, Relaxed);
        }
        Some("batch") => {
            frames::free_all([frame, other]);
            late.words()[7].store(2, Relaxed);
        }
        // At once also where somebody's section defers.
        Some("section") => mode::section(|| {
            mode::owe();
            frames::free(frame);
            late.words()[7].store(2, Relaxed);
        }),
        _ => return Verdict::BadArguments,
    }
    Verdict::Failed
}
