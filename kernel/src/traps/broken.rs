//! Faults on pages that are being replaced: break-before-make, seen from the other cores.
//!
//! Between the break and the make the descriptor is invalid, and every access faults for real. It is marked, though
//! ([`stage1_paging::Desc::is_broken`]): the one who broke it is about to make it again, and the access waits for that instead of being
//! reported. The wait is bounded; a page that stays broken is a bug of who broke it.

use stage1_paging::Va;

use crate::arch::{Class, Esr, FaultKind as Kind, TrapFrame};
use crate::arch::{registers, time};
use crate::{mem, sched, task};

/// How long an access waits for the make, in microseconds.
const PATIENCE: u64 = 10_000_000;
/// SPSR_EL1.I: whoever faulted had interrupts masked.
const MASKED: u64 = 1 << 7;

/// What became of an access that may have met a page between its break and its make.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// The page is not broken.
    NotBroken,
    /// It was, and is made again: so is the access.
    Made,
    /// It still is.
    GaveUp,
}

/// Waits for the make, if the access or the fetch of this exception met a page in its break.
pub(super) fn wait(frame: &TrapFrame) -> Wait {
    let esr = Esr(frame.esr);
    let va = Va::new(frame.far);
    let access = matches!(
        esr.class(),
        Some(Class::DataAbortCurrentEL | Class::InstrAbortCurrentEL)
    );
    let translation = matches!(Kind::from_status(esr.fault_status()), Kind::Translation(3));
    if !access || !translation || !task::is_task(registers::current_task()) {
        return Wait::NotBroken;
    }
    // A handler cannot wait for the task that it interrupted: handlers keep off what tasks replace.
    if task::current().mmu.in_interrupt() || !is_broken(va) {
        return Wait::NotBroken;
    }
    // With interrupts masked, as under a lock, the access cannot leave its core: it waits for another core to make the page.
    // Where no other core runs, nobody would; such code must not touch what is replaced.
    let may_leave = frame.spsr & MASKED == 0;
    let made = time::wait_until(PATIENCE, || {
        if may_leave {
            sched::yield_now();
        } else {
            registers::yield_now();
        }
        !is_broken(va)
    });
    if made {
        task::current().stats.bbm_waits.add(1);
        Wait::Made
    } else {
        Wait::GaveUp
    }
}

fn is_broken(va: Va) -> bool {
    mem::lookup(va).is_some_and(|(_, desc)| desc.is_broken())
}
