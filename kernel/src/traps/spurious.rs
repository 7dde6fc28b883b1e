//! Faults that AT finds to be over.
//!
//! A pair `dsb ishst; isb` makes a mapping usable on the core that executes it. Another core did no
//! ISB: it may have translated ahead, before the store, and take the fault now. Such a fault is
//! distinguished from a real one by AT S1E1R or AT S1E1W, and the access is made again; the
//! exception that came in between has synchronised this core. On QEMU, which never translates ahead,
//! it is a plain race: the mapping is stored between the fault and the question.

use stage1_paging::Va;

use crate::arch::{Class, Esr, FaultKind as Kind, TrapFrame};
use crate::arch::{registers, time, translate};
use crate::observe::seam::HW;
use crate::task;

/// Whether the access of this exception is to be made again: the MMU says that it would succeed, and
/// has not said so too often already ([`LastFault`](task::LastFault) has the bounds).
///
/// Called before the fix-up table: a probe must not take for the truth what is over. AT says nothing
/// of execution, so of an instruction fetch only a translation fault can be over.
pub(super) fn is_over(frame: &TrapFrame) -> bool {
    let esr = Esr(frame.esr);
    let va = Va::new(frame.far);
    let may_be_over = match (esr.class(), Kind::from_status(esr.fault_status())) {
        (Some(Class::DataAbortCurrentEL), kind) => matches!(
            kind,
            Kind::Translation(_) | Kind::AccessFlag(_) | Kind::Permission(_)
        ),
        (Some(Class::InstrAbortCurrentEL), kind) => matches!(kind, Kind::Translation(_)),
        _ => false,
    };
    // The questions below are counted, for a task that must be one: the failure may be that it is not.
    if !may_be_over || !task::is_task(registers::current_task()) {
        return false;
    }
    if translate::access(HW, va, esr.is_store()).is_err() {
        return false;
    }
    let task = task::current();
    task.stats.spurious.add(1);
    task.last_fault.note(frame, time::now())
}
