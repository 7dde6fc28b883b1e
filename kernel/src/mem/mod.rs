//! Memory: where things are, who owns frames, and the kernel's own tables.

pub mod areas;
mod bring_up;
pub mod frames;
mod heap;
mod range;
pub mod services;
pub mod spaces;
pub(crate) mod stacks;
pub(crate) mod ttbr0;

pub use bring_up::{MemoryError, RAM_MIN};
pub(crate) use bring_up::{Plan, enter_kernel_tables, leave_identity_map};
pub use range::{Gather, PageRange, RangeError};
pub use stage1_hw::Table;

use spin::once::Once;
use stage1_paging::{Desc, Error, Half, Mapping, Pa, Pages, Space, Va, Walk};

use crate::base::Yield;
use crate::observe::seam;

/// The MMU of this machine.
pub type Hardware = stage1_hw::Hardware<seam::Services<services::KernelServices>>;

static HARDWARE: Once<Hardware, Yield> = Once::new();
static KERNEL: Once<Space<'static, Hardware>, Yield> = Once::new();

/// The upper half. It lives for ever, and all tasks and cores work on it at once: each where it has the right to, which is
/// [`PageRange`]'s business outside of this folder.
///
/// # Panics
/// Before [`enter_kernel_tables`].
#[inline]
fn kernel_space() -> &'static Space<'static, Hardware> {
    match KERNEL.get() {
        Some(space) => space,
        None => panic!("the kernel's tables are not there yet"),
    }
}

/// The MMU behind all spaces. Who has it can make a space of any tables: it stays in this folder.
///
/// # Panics
/// Before [`enter_kernel_tables`].
fn hardware() -> &'static Hardware {
    match HARDWARE.get() {
        Some(hardware) => hardware,
        None => panic!("the kernel's tables are not there yet"),
    }
}

/// Where the root of the kernel's tables lies, for the TTBR1_EL1 of another core.
///
/// # Panics
/// Before [`enter_kernel_tables`].
pub(crate) fn root_address() -> Pa {
    hardware().address(kernel_space().root())
}

/// The descriptors that this core's walker meets for `va`, whoever's it is: in the kernel's tables, or in those that TTBR0
/// has. `None` for an address of neither half, and before the kernel's tables are there.
///
/// A snapshot, for fault handlers and checks: another core may store one of these descriptors before this returns. It
/// gives no right to anything. ([`PageRange::walk`] gives a firm answer to who has one.)
pub fn walk(va: Va) -> Option<Walk> {
    let (hardware, kernel) = (HARDWARE.get()?, KERNEL.get()?);
    if va.in_upper_half()? {
        kernel.walk(va).ok()
    } else {
        ttbr0::space(hardware)?.walk(va).ok()
    }
}

/// The last of the descriptors that [`walk`] gives, without the way there: what a fault handler asks for.
pub(crate) fn lookup(va: Va) -> Option<Desc> {
    let (hardware, kernel) = (HARDWARE.get()?, KERNEL.get()?);
    let found = if va.in_upper_half()? {
        kernel.lookup(va)
    } else {
        ttbr0::space(hardware)?.lookup(va)
    };
    found.ok().map(|(_, descriptor)| descriptor)
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

/// The right to all of the kernel's half, which nobody can have: for tests of what the tables refuse by themselves.
///
/// # Safety
/// 1. What is changed through it is in nobody's use: no Rust object, code, stack or table lies there, and it is nobody's
///    [`Area`](areas::Area).
/// 2. No other task works on these pages.
pub unsafe fn upper_half() -> PageRange<'static> {
    PageRange::new(kernel_space(), Pages::whole(Half::Upper))
}
