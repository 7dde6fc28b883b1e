//! Freeing what is not one's own stops the kernel where it happens, and names who freed it before: a frame that is freed twice, in one
//! batch or by two tasks, and one that the allocator never gave out.
//!
//! @boot args="debug=on how=twice" verdict=3 expect="is freed twice: it was freed by task 0 at tests/32_double_free.rs:" expect="and now by task 0 at tests/32_double_free.rs:"
//! @boot args="debug=on how=tasks" verdict=3 expect="is freed twice: it was freed by task 1 at tests/32_double_free.rs:" expect="and now by task 0"
//! @boot args="debug=on how=batch" verdict=3 expect="is freed twice: it was freed by task 0 at tests/32_double_free.rs:"
//! @boot args="debug=on how=among" verdict=3 expect="is freed twice: it was freed by task 0 at tests/32_double_free.rs:"
//! @boot args="debug=off poison=on how=twice" verdict=3 expect="is freed twice: it was freed by task 0"
//! @boot args="debug=on how=heap" verdict=3 expect="is not the allocator's to free"
//! @boot args="debug=on how=device" verdict=3 expect="is not the allocator's to free"
//! @boot args="debug=off poison=on how=heap" verdict=3 expect="is not the allocator's to free"
#![no_std]
#![no_main]

use lazy_mmu::Policy;
use lazy_mmu_kernel::Boot;
use lazy_mmu_kernel::base::{Verdict, layout};
use lazy_mmu_kernel::mem::frames::{self, Owned};
use lazy_mmu_kernel::sched;
use stage1_paging::{Frame, Pa};

lazy_mmu_kernel::entry!(main, keys = ["how"]);

fn main(boot: &Boot) -> Verdict {
    let Some(frame) = frames::alloc() else {
        return Verdict::Failed;
    };
    let twin = owned(frame.frame());
    match boot.arguments.own("how") {
        Some("twice") => {
            frames::free(frame);
            frames::free(twin);
        }
        Some("tasks") => {
            let other = sched::spawn(Policy::V3, move || frames::free(frame));
            let Ok(other) = other else {
                return Verdict::Failed;
            };
            other.join();
            frames::free(twin);
        }
        Some("batch") => frames::free_all([frame, twin]),
        // In a run of neighbours that are allocated.
        Some("among") => {
            let (Some(next), Some(last)) = (frames::alloc(), frames::alloc()) else {
                return Verdict::Failed;
            };
            let twin_of_next = owned(next.frame());
            frames::free(next);
            frames::free_all([last, twin_of_next, frame]);
        }
        Some("heap") => frames::free(owned(Frame::containing(layout::image_to_physical(
            layout::image().end,
        )))),
        Some("device") => frames::free(owned(Frame::containing(
            boot.machine
                .uart
                .map_or(Pa::new(0).unwrap_or_default(), |uart| uart.start),
        ))),
        _ => return Verdict::BadArguments,
    }
    Verdict::Good
}

/// A second owner, or one of what has none.
fn owned(frame: Frame) -> Owned {
    // SAFETY: none: that it is somebody else's is the fault under test.
    unsafe { Owned::from_frame(frame) }
}
