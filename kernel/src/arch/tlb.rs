//! TLB invalidation: the instructions, and the barriers that belong to them.
//!
//! Operands come ready from `stage1-paging`, which composes them in one place. All operations
//! broadcast within the inner shareable domain: another core may have walked the same tables.

use core::arch::asm;

use stage1_paging::{Debt, Done, Features, Tlbi};

use super::barrier;
use crate::event::{self, Kind};
use crate::task;

/// Carries out what `debt` asks for, and returns the proof.
///
/// `dsb ishst; tlbi…; dsb ish; isb`. The first DSB: the descriptors that were cleared or changed
/// must be visible to every walker before a TLB entry is dropped, or a walker refills it from the
/// old one. The second: see [`barrier::dsb_ish`]. The ISB: this core may have fetched, or
/// translated ahead, under the old entry; unlike a return to EL0, nothing else follows here that
/// would discard it.
pub fn invalidate(debt: Debt, features: Features) -> Done {
    barrier::dsb_ishst();
    for operation in debt.ops(features) {
        execute(operation);
    }
    barrier::dsb_ish();
    barrier::isb();
    debt.done()
}

macro_rules! tlbi {
    ($name:literal, $operand:expr) => {
        // SAFETY: dropping translations makes later accesses walk the tables again, which is always allowed. Not `nomem`: no store
        // to a table moves behind it.
        unsafe {
            asm!(
                ".arch armv8.4-a", // the range operations; executed only where the ID register has them
                concat!("tlbi ", $name, ", {0}"),
                in(reg) $operand,
                options(nostack, preserves_flags)
            )
        }
    };
}

fn execute(operation: Tlbi) {
    let (code, operand) = match operation {
        Tlbi::Vae1is(operand) => (0, operand),
        Tlbi::Vale1is(operand) => (1, operand),
        Tlbi::Vaae1is(operand) => (2, operand),
        Tlbi::Vaale1is(operand) => (3, operand),
        Tlbi::Rvae1is(operand) => (4, operand),
        Tlbi::Rvale1is(operand) => (5, operand),
        Tlbi::Rvaae1is(operand) => (6, operand),
        Tlbi::Rvaale1is(operand) => (7, operand),
        Tlbi::Aside1is(operand) => (8, operand),
        Tlbi::Vmalle1is => (9, 0),
    };
    match operation {
        Tlbi::Vae1is(_) => tlbi!("vae1is", operand),
        Tlbi::Vale1is(_) => tlbi!("vale1is", operand),
        Tlbi::Vaae1is(_) => tlbi!("vaae1is", operand),
        Tlbi::Vaale1is(_) => tlbi!("vaale1is", operand),
        Tlbi::Rvae1is(_) => tlbi!("rvae1is", operand),
        Tlbi::Rvale1is(_) => tlbi!("rvale1is", operand),
        Tlbi::Rvaae1is(_) => tlbi!("rvaae1is", operand),
        Tlbi::Rvaale1is(_) => tlbi!("rvaale1is", operand),
        Tlbi::Aside1is(_) => tlbi!("aside1is", operand),
        // SAFETY: as above.
        Tlbi::Vmalle1is => unsafe { asm!("tlbi vmalle1is", options(nostack, preserves_flags)) },
    }
    let counts = task::counts();
    counts.tlbi.add(1);
    match operation.reach() {
        Some(pages) => counts.reach.add(pages),
        None => counts.full.add(1),
    }
    event::record(
        Kind::Tlbi,
        operand,
        code,
        operation.reach().unwrap_or(u64::MAX),
    );
}
