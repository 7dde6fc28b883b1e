//! What the kernel provides to its tables: the hardware behind [`stage1_paging::Mmu`].

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use mmu_check::dones;
use stage1_hw::Page;
use stage1_paging::{Debt, Frame, Half, Pages, Va};

use super::frames;
use crate::base::{Lock, layout};
use crate::observe::{self, seam};
use crate::{mode, task};

/// Frames from the allocator, the linear map, one lock for all tables, the current task's mode.
#[derive(Clone, Copy, Debug)]
pub struct KernelServices;

/// Serialises the linking of tables. Held for one load and one store; nothing is allocated under it.
static LINK: Lock<()> = Lock::new(());

/// How many tables there are.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// How many frames are tables: roots, and what was linked and not freed.
pub fn table_count() -> u64 {
    COUNT.load(Relaxed)
}

impl stage1_hw::Services for KernelServices {
    type Instructions = seam::Machine;

    fn alloc(&self) -> Option<Frame> {
        let frame = frames::alloc()?.into_frame();
        COUNT.fetch_add(1, Relaxed);
        Some(frame)
    }

    unsafe fn free(&self, frame: Frame) {
        COUNT.fetch_sub(1, Relaxed);
        // SAFETY: from `into_frame` in `alloc`; the caller says that nothing leads to it.
        frames::free(unsafe { frames::Owned::from_frame(frame) });
    }

    #[inline(always)]
    fn page(&self, frame: Frame) -> NonNull<Page> {
        let address = layout::linear(frame.pa()).raw() as *mut Page;
        // SAFETY: the linear map is in the upper half, far from 0.
        unsafe { NonNull::new_unchecked(address) }
    }

    #[inline(always)]
    fn frame(&self, page: NonNull<Page>) -> Frame {
        Frame::containing(layout::linear_to_physical(Va::new(page.as_ptr() as u64)))
    }

    fn alone<R>(&self, f: impl FnOnce() -> R) -> R {
        let _lock = LINK.lock();
        f()
    }

    #[inline]
    fn owe(&self) {
        mode::owe();
    }

    /// Outside of a section. Inside one the pair is pending until an invalidation or the section's end, whichever is first.
    fn invalidation_settles(&self) -> bool {
        task::current().mmu.state().count == 0 && super::SETTLES.load(Relaxed)
    }

    fn settled_by(&self, barriers: impl FnOnce()) {
        if super::SETTLES.load(Relaxed) {
            task::current().mmu.settled_by(barriers);
        } else {
            barriers();
        }
    }

    /// The vmap area and the tasks' half: the rest of the upper half holds text, stacks, tables and all that a fault touches. An
    /// access or a fetch there waits for the make (`traps/broken.rs`), but for an interrupt handler's.
    fn may_break(&self, pages: Pages) -> bool {
        let vmap = Pages::new(Va::new(layout::VMAP_BASE), layout::VMAP_PAGES);
        vmap.is_ok_and(|vmap| vmap.covers(pages)) || !Half::Upper.holds(pages)
    }

    fn done(&self, debt: &Debt) {
        if observe::is_watched() {
            dones(debt).for_each(|done| observe::report(|| done));
        }
    }
}
