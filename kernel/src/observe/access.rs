//! Uses of addresses: each is reported, and then made, so that the rules check the use of a mapping and not only its maintenance.
//!
//! Whoever shows that a mapping is there, or gone, uses it by these functions. The bare [`probe`] is for what the rules have nothing
//! to say about.

use mmu_check::What;
use mmu_check::event::AccessKind;
use stage1_paging::{Frame, Va};

pub use mmu_check::event::Expect;

use super::report;
use crate::arch::{Fault, probe};
use crate::base::layout;

/// Loads 8 bytes from `va`. `expect` is what the caller relies on.
///
/// # Errors
/// The fault that the load took.
#[inline]
pub fn read(va: Va, expect: Expect) -> Result<u64, Fault> {
    report_use(va, AccessKind::Read, expect);
    probe::read_u64(va)
}

/// Stores 8 bytes to `va`. `expect` is what the caller relies on.
///
/// # Errors
/// The fault that the store took; memory is unchanged then.
///
/// # Safety
/// As [`probe::write_u64`].
#[inline]
pub unsafe fn write(va: Va, value: u64, expect: Expect) -> Result<(), Fault> {
    report_use(va, AccessKind::Write, expect);
    // SAFETY: the caller's promise.
    unsafe { probe::write_u64(va, value) }
}

/// Calls `va`, where a [`probe::RET`] is. `expect` is what the caller relies on.
///
/// # Errors
/// The fault that the fetch took.
///
/// # Safety
/// As [`probe::execute`].
#[inline]
pub unsafe fn execute(va: Va, expect: Expect) -> Result<(), Fault> {
    report_use(va, AccessKind::Execute, expect);
    // SAFETY: the caller's promise.
    unsafe { probe::execute(va) }
}

/// Reports that a whole frame is about to be written through the linear map.
#[inline]
pub fn fill(frame: Frame) {
    report_use(layout::linear(frame.pa()), AccessKind::Write, Expect::Works);
}

/// Reports that a whole frame is about to be read through the linear map.
#[inline]
pub fn inspect(frame: Frame) {
    report_use(layout::linear(frame.pa()), AccessKind::Read, Expect::Works);
}

#[inline]
fn report_use(va: Va, kind: AccessKind, expect: Expect) {
    report(|| What::Access {
        va: va.raw(),
        kind,
        expect,
    });
}
