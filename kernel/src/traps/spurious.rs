//! H14: faults that are gone when the MMU is asked.
//!
//! A pair `dsb ishst; isb` makes a mapping usable on the core that executes it. Another core did no
//! ISB: it may have translated ahead, before the store, and take the fault now. Such a fault is
//! told from a real one by asking the MMU (AT S1E1R or W), and the access is made again; the
//! exception that came in between has synchronised this core. On QEMU, which never translates ahead,
//! it is a plain race: the mapping is stored between the fault and the question.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use stage1_paging::Va;

use super::esr::Esr;
use super::fault::Kind;
use super::frame::TrapFrame;
use crate::arch::{registers, time, translate};
use crate::observe::seam::HW;
use crate::task;

/// How often in a row one access may be made again. AT and the access may disagree for good: LDTR and STTR have EL0's
/// permissions, and AT S1E1R is asked about EL1's. These end here.
const RETRIES: u64 = 1_000;
/// Two faults with less than this between them, in microseconds, and nothing changed in the registers, are in a row. One that
/// comes round to the same instruction has got somewhere in between: a page may be replaced again and again, and be met by the
/// same load each time.
const IN_A_ROW: u64 = 1_000;

/// FNV's, for the digest.
const PRIME: u64 = 0x100_0000_01b3;

/// The last fault of a task that was retried.
pub struct LastFault {
    /// A digest of address and registers.
    state: AtomicU64,
    when: AtomicU64,
    times: AtomicU64,
}

impl LastFault {
    /// None.
    pub const fn new() -> Self {
        Self {
            state: AtomicU64::new(0),
            when: AtomicU64::new(0),
            times: AtomicU64::new(0),
        }
    }

    /// Notes a fault, and says how often it came in a row. The task's own, so no load and store of it
    /// are anybody else's.
    fn note(&self, frame: &TrapFrame) -> u64 {
        let now = time::now();
        let before = self.when.swap(now, Relaxed);
        let digest = |sum: u64, word: &u64| (sum ^ word).wrapping_mul(PRIME).rotate_left(23);
        let state = [frame.elr, frame.far, frame.sp]
            .iter()
            .chain(&frame.x)
            .fold(0, digest);
        let same = self.state.swap(state, Relaxed) == state;
        let times = match self.times.load(Relaxed) {
            _ if !same => 1,
            // Too long for an access that goes nowhere, unless this core was away: neither counted nor forgotten.
            times if now - before >= time::from_micros(IN_A_ROW) => times,
            times => times + 1,
        };
        self.times.store(times, Relaxed);
        times
    }
}

impl Default for LastFault {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether the access of this exception is to be made again: the MMU says that it would succeed, and
/// has not said so too often already.
///
/// Asked before the fix-up table: a probe must not take for the truth what is over. AT says nothing
/// of execution, so of an instruction fetch only a translation fault can be over.
pub(super) fn is_over(frame: &TrapFrame) -> bool {
    let esr = Esr(frame.esr);
    let kind = Kind::from_status(esr.fault_status());
    let va = Va::new(frame.far);
    // The questions below are counted, for a task that must be one: the failure may be that it is not.
    if !esr.has_address() || !task::is_task(registers::current_task()) {
        return false;
    }
    let succeeds = match (esr.class(), kind) {
        (Esr::DATA_ABORT, Kind::Translation(_) | Kind::AccessFlag(_) | Kind::Permission(_)) => {
            if esr.is_store() {
                translate::write(HW, va).is_ok()
            } else {
                translate::read(HW, va).is_ok()
            }
        }
        (Esr::INSTRUCTION_ABORT, Kind::Translation(_)) => translate::read(HW, va).is_ok(),
        _ => false,
    };
    if !succeeds {
        return false;
    }
    let task = task::current();
    task.stats.spurious.add(1);
    task.last_fault.note(frame) <= RETRIES
}
