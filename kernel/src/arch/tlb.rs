//! TLB invalidation: the instructions, and the barriers that belong to them.
//!
//! Operands come ready from `stage1-paging`, which composes them in one place. All operations
//! broadcast within the inner shareable domain: another core may have walked the same tables.

use core::arch::asm;

use stage1_paging::{Batch, Debt, Done, Features, Half, Tlbi};

use mmu_check::{Op, What};

use super::barrier;
use crate::event::{self, Kind};
use crate::{check, task};

/// Carries out what `debt` asks for, and returns the proof.
///
/// `dsb ishst; tlbi…; dsb ish; isb`. The first DSB: the descriptors that were cleared or changed
/// must be visible to every walker before a TLB entry is dropped, or a walker refills it from the
/// old one. The second: see [`barrier::dsb_ish`]. The ISB: this core may have fetched, or
/// translated ahead, under the old entry; unlike a return to EL0, nothing else follows here that
/// would discard it.
pub fn invalidate(debt: Debt, features: Features) -> Done {
    barrier::dsb_ishst();
    for batch in debt.batches(features) {
        execute(batch);
    }
    barrier::dsb_ish();
    barrier::isb();
    if check::is_on() {
        let asid = match debt.half() {
            Half::Lower(asid) => asid.0,
            Half::Upper => 0,
        };
        debt.pages()
            .for_each(|pages| check::tell_done(pages, asid, debt.frees_tables()));
    }
    debt.done()
}

macro_rules! tlbi {
    ($name:literal, $batch:expr, $operand:expr) => {
        for index in 0..$batch.count {
            let operand = $operand.wrapping_add(index * $batch.step);
            // SAFETY: dropping translations makes later accesses walk the tables again, which is
            // always allowed. Not `nomem`: no store to a table moves behind it.
            unsafe {
                asm!(
                    // The range operations; executed only where the ID register has them.
                    ".arch armv8.4-a",
                    concat!("tlbi ", $name, ", {0}"),
                    in(reg) operand,
                    options(nostack, preserves_flags)
                )
            }
        }
    };
}

fn execute(batch: Batch) {
    match batch.first {
        Tlbi::Vae1is(operand) => tlbi!("vae1is", batch, operand),
        Tlbi::Vale1is(operand) => tlbi!("vale1is", batch, operand),
        Tlbi::Vaae1is(operand) => tlbi!("vaae1is", batch, operand),
        Tlbi::Vaale1is(operand) => tlbi!("vaale1is", batch, operand),
        Tlbi::Rvae1is(operand) => tlbi!("rvae1is", batch, operand),
        Tlbi::Rvale1is(operand) => tlbi!("rvale1is", batch, operand),
        Tlbi::Rvaae1is(operand) => tlbi!("rvaae1is", batch, operand),
        Tlbi::Rvaale1is(operand) => tlbi!("rvaale1is", batch, operand),
        Tlbi::Aside1is(operand) => tlbi!("aside1is", batch, operand),
        // SAFETY: as above.
        Tlbi::Vmalle1is => unsafe { asm!("tlbi vmalle1is", options(nostack, preserves_flags)) },
    }
    let counts = task::counts();
    counts.tlbi.add(batch.count);
    match batch.first.reach() {
        Some(pages) => counts.reach.add(pages * batch.count),
        None => counts.full.add(1),
    }
    event::record(
        Kind::Tlbi,
        parts(batch.first).1,
        batch.count,
        batch.first.reach().unwrap_or(u64::MAX),
    );
    if check::is_on() {
        tell(batch);
    }
}

/// The instruction's name, and its operand; one without an operand gets 0.
fn parts(operation: Tlbi) -> (&'static str, u64) {
    match operation {
        Tlbi::Vae1is(operand) => ("vae1is", operand),
        Tlbi::Vale1is(operand) => ("vale1is", operand),
        Tlbi::Vaae1is(operand) => ("vaae1is", operand),
        Tlbi::Vaale1is(operand) => ("vaale1is", operand),
        Tlbi::Rvae1is(operand) => ("rvae1is", operand),
        Tlbi::Rvale1is(operand) => ("rvale1is", operand),
        Tlbi::Rvaae1is(operand) => ("rvaae1is", operand),
        Tlbi::Rvaale1is(operand) => ("rvaale1is", operand),
        Tlbi::Aside1is(operand) => ("aside1is", operand),
        Tlbi::Vmalle1is => ("vmalle1is", 0),
    }
}

/// Tells the rules each instruction of a batch that was executed.
#[cold]
fn tell(batch: Batch) {
    for operation in batch.ops() {
        let (name, operand) = parts(operation);
        // Every name above is one of theirs.
        if let Some(op) = Op::named(name) {
            check::tell(What::Tlbi { op, operand });
        }
    }
}
