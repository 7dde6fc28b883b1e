//! TLB invalidation: the instructions, and the barriers that belong to them.
//!
//! Operands come ready from `stage1-paging`, which composes them in one place. All operations
//! broadcast within the inner shareable domain: another core may have walked the same tables.

use core::arch::asm;

use stage1_paging::{Batch, Debt, Done, Features, Half, Tlbi};

use mmu_check::{Op, What};

use super::barrier;
use crate::check::{self, Turn};
use crate::event::{self, Kind};
use crate::planted::{self, Bug};
use crate::task;

/// Carries out what `debt` asks for, and returns the proof.
///
/// `dsb ishst; tlbi…; dsb ish; isb`. The first DSB: the descriptors that were cleared or changed
/// must be visible to every walker before a TLB entry is dropped, or a walker refills it from the
/// old one. The second: see [`barrier::dsb_ish`]. The ISB: this core may have fetched, or
/// translated ahead, under the old entry; unlike a return to EL0, nothing else follows here that
/// would discard it.
pub fn invalidate(debt: Debt, features: Features) -> Done {
    if planted::is(Bug::TlbiFirst) {
        debt.batches(features).for_each(execute);
    }
    if !planted::is(Bug::TlbiNoDsbBefore) {
        barrier::dsb_ishst();
    }
    if !planted::is(Bug::TlbiFirst) {
        debt.batches(features).for_each(execute);
    }
    if !planted::is(Bug::TlbiNoDsbAfter) {
        barrier::dsb_ish();
    }
    if !planted::is(Bug::TlbiNoIsb) {
        barrier::isb();
    }
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
    if planted::is(Bug::TlbiNone) {
        return;
    }
    if planted::is(Bug::TlbiLocal) {
        return execute_local();
    }
    let turn = check::turn();
    if !planted::is(Bug::TlbiOnlyRecorded) {
        issue(batch);
    }
    let counts = task::counts();
    counts
        .tlbi
        .add(batch.count * u64::from(!planted::is(Bug::TlbiNotCounted)));
    match batch.first.reach() {
        Some(pages) => counts.reach.add(pages * batch.count),
        None => counts.full.add(1),
    }
    let (_, number, operand) = parts(batch.first);
    event::record(
        Kind::Tlbi,
        operand,
        batch.count,
        u64::from(number) << 56 | batch.step,
    );
    if turn.is_told() {
        tell(&turn, batch);
    }
}

fn issue(batch: Batch) {
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
}

/// The mistake of other page-table crates: everything goes, but on this core alone.
#[cold]
fn execute_local() {
    let turn = check::turn();
    // SAFETY: as in `tlbi!`.
    unsafe { asm!("tlbi vmalle1", options(nostack, preserves_flags)) };
    task::counts().tlbi.add(1);
    task::counts().full.add(1);
    if let Some(op) = Op::named("vmalle1") {
        turn.tell(What::Tlbi { op, operand: 0 });
    }
}

/// The instruction's name, its number in events, and its operand; one without an operand gets 0.
fn parts(operation: Tlbi) -> (&'static str, u8, u64) {
    match operation {
        Tlbi::Vae1is(operand) => ("vae1is", 0, operand),
        Tlbi::Vale1is(operand) => ("vale1is", 1, operand),
        Tlbi::Vaae1is(operand) => ("vaae1is", 2, operand),
        Tlbi::Vaale1is(operand) => ("vaale1is", 3, operand),
        Tlbi::Rvae1is(operand) => ("rvae1is", 4, operand),
        Tlbi::Rvale1is(operand) => ("rvale1is", 5, operand),
        Tlbi::Rvaae1is(operand) => ("rvaae1is", 6, operand),
        Tlbi::Rvaale1is(operand) => ("rvaale1is", 7, operand),
        Tlbi::Aside1is(operand) => ("aside1is", 8, operand),
        Tlbi::Vmalle1is => ("vmalle1is", 9, 0),
    }
}

/// Tells the rules each instruction of a batch that was executed.
#[cold]
fn tell(turn: &Turn, batch: Batch) {
    for operation in batch.ops() {
        let (name, _, operand) = parts(operation);
        // Every name above is one of theirs.
        if let Some(op) = Op::named(name) {
            turn.tell(What::Tlbi { op, operand });
        }
    }
}
