//! Memory: where things are, who owns frames, and the kernel's own tables.

pub mod areas;
mod bring_up;
pub mod frames;
mod heap;
mod lists;
pub mod services;
pub mod spaces;
pub mod stacks;
pub(crate) mod ttbr0;

pub use bring_up::{MemoryError, RAM_MIN};
pub(crate) use bring_up::{enter_kernel_tables, leave_identity_map, start_heap};
pub use heap::free as heap_free;
pub use stage1_hw::Table;

use core::sync::atomic::AtomicBool;

use spin::once::Once;
use stage1_paging::{Desc, Error, Half, Level, Mapping, Pa, Pages, Part, Space, Va, Walk};

use crate::base::Yield;
use crate::observe::seam;

/// The MMU of this machine.
pub type Hardware = stage1_hw::Hardware<seam::Services<services::KernelServices>>;

/// The right to change page tables: pages of one space, and every operation on them.
///
/// It is lent out by who has the right: an [`Area`](areas::Area) of the kernel's half, a
/// [`TaskSpace`](spaces::TaskSpace) of a lower half. No safe function changes a descriptor outside of the range, so
/// none takes away, moves or exchanges the memory that a live Rust object occupies: none lies in the vmap area or in a
/// lower half.
///
/// What may be mapped is *any* frame, also one that is somebody else's. A mapping reads and writes nothing: who stores
/// through one does so in `unsafe` code ([`probe::write_u64`](crate::arch::probe::write_u64)), and answers there for whose
/// memory it is.
pub type PageRange<'s> = Part<'s, Hardware>;

/// What operations on a range owe to the TLBs.
///
/// It borrows what the range is lent from. So the pages go back, and can be somebody else's, only after the gather has paid or
/// was dropped, which pays too.
pub type Gather<'s, S> = stage1_paging::Gather<'s, Hardware, S>;

/// `settle=`: an invalidation pays for the pair of the same stores, too. If not, both are paid, as in Linux.
pub(crate) static SETTLES: AtomicBool = AtomicBool::new(true);

static HARDWARE: Once<Hardware, Yield> = Once::new();
static KERNEL: Once<Space<'static, Hardware>, Yield> = Once::new();

/// The upper half. It lives for ever, and all tasks and cores work on it at once: each where it has the right to, which is
/// [`PageRange`]'s business outside of this folder.
///
/// # Panics
/// Before [`enter_kernel_tables`].
#[inline]
fn kernel_space() -> &'static Space<'static, Hardware> {
    KERNEL.get().expect("the kernel's tables are not there yet")
}

/// Where the root of the kernel's tables lies, for the TTBR1_EL1 of another core.
///
/// # Panics
/// Before [`enter_kernel_tables`].
pub(crate) fn root_address() -> Pa {
    kernel_space().mmu().address(kernel_space().root())
}

/// The descriptors that this core's walker meets for `va`, whoever's it is: in the kernel's tables, or in those that TTBR0
/// has. `None` for an address of neither half, and before the kernel's tables are there.
///
/// A snapshot, for fault handlers and checks: another core may store one of these descriptors before this returns. It
/// gives no right to anything. ([`PageRange::walk`] gives a firm answer to who has one.)
pub fn walk(va: Va) -> Option<Walk> {
    look(va, |space| space.walk(va))
}

/// The last of the descriptors that [`walk`] gives and its level, without the way there: for who needs it often.
pub(crate) fn lookup(va: Va) -> Option<(Level, Desc)> {
    look(va, |space| space.lookup(va))
}

/// Looks at the tables that this core's walker reads for `va`.
fn look<T>(va: Va, f: impl FnOnce(&Space<Hardware>) -> Result<T, Error>) -> Option<T> {
    let kernel = KERNEL.get()?;
    if va.in_upper_half()? {
        f(kernel).ok()
    } else {
        f(&ttbr0::space()?).ok()
    }
}

/// Every mapping that has a page in `pages`, of the kernel's half: [`Space::mappings`]. A snapshot of each, as [`walk`].
///
/// # Errors
/// [`What::OtherHalf`](stage1_paging::What::OtherHalf).
///
/// # Panics
/// Before the kernel's tables are there.
pub fn mappings(pages: Pages) -> Result<impl Iterator<Item = Mapping>, Error> {
    kernel_space().mappings(pages)
}

/// The right to all of the kernel's half, which nobody can have: for tests of what the tables refuse by themselves, and for the linear
/// mappings of frames that are the caller's.
///
/// # Safety
/// 1. What is changed through it is in nobody's use: no Rust object, code, stack or table lies there, and it is nobody's
///    [`Area`](areas::Area).
/// 2. No other task works on these pages.
pub unsafe fn upper_half() -> PageRange<'static> {
    kernel_space().part(Pages::whole(Half::Upper))
}
