//! The kernel's services to its tables.

use core::panic::Location;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use stage1_hw::Page;
use stage1_paging::{Debt, Frame, Pages};

use crate::image::{self, Moment};
use crate::{Fault, is};

/// The services of `S`, with the [`Fault`] that is injected.
#[derive(Clone, Copy, Debug)]
pub struct Services<S>(pub S);

/// Allocations up to the one that fails, itself among them.
static LEFT: AtomicU64 = AtomicU64::new(1);

/// Which allocation of a table's frame fails from here on, under [`Fault::NoFrame`]: the first is 1,
/// and 0 is none.
pub fn fail_at(nth: u64) {
    LEFT.store(nth, Relaxed);
}

/// Whether the allocation of a frame for a caller at this place fails.
#[must_use]
pub fn refuses_frame(site: &'static Location<'static>) -> bool {
    is(Fault::AllocFails) && !image::reach(Moment::Alloc(site))
}

impl<S: stage1_hw::Services> stage1_hw::Services for Services<S> {
    type Instructions = S::Instructions;

    fn alloc(&self) -> Option<Frame> {
        if is(Fault::NoFrame) {
            let left = LEFT.load(Relaxed);
            LEFT.store(left.saturating_sub(1), Relaxed);
            if left == 1 {
                return None;
            }
        }
        self.0.alloc()
    }

    unsafe fn free(&self, frame: Frame) {
        // SAFETY: the caller's promise is this one's.
        unsafe { self.0.free(frame) }
    }

    fn page(&self, frame: Frame) -> NonNull<Page> {
        self.0.page(frame)
    }

    fn frame(&self, page: NonNull<Page>) -> Frame {
        self.0.frame(page)
    }

    fn alone<R>(&self, f: impl FnOnce() -> R) -> R {
        self.0.alone(f)
    }

    fn owe(&self) {
        image::reach(Moment::Owe);
        self.0.owe();
        image::reach(Moment::Owed);
    }

    fn invalidation_settles(&self) -> bool {
        self.0.invalidation_settles()
    }

    fn settled_by(&self, barriers: impl FnOnce()) {
        if is(Fault::SettledLate) {
            barriers();
            self.0.settled_by(|| ());
        } else if is(Fault::SettledNot) {
            barriers();
        } else {
            self.0.settled_by(barriers);
        }
    }

    fn may_break(&self, pages: Pages) -> bool {
        self.0.may_break(pages)
    }

    /// Not reported under [`Fault::FreeBeforeInvalidation`]: it is not, and whoever believes the
    /// report would say so before the frame is freed.
    fn done(&self, debt: &Debt) {
        if !is(Fault::FreeBeforeInvalidation) {
            self.0.done(debt);
        }
    }
}
