//! `AT S1E1R` and `AT S1E1W`: what the MMU itself says of an address.
//!
//! A walk by software believes its own decoding; this has the answer of the unit that decides. It may answer from
//! its TLB or walk again, as it likes (QEMU walks), so it is no proof that a stale entry is gone: that
//! takes a real access.

use aarch64_cpu::registers::PAR_EL1;
use stage1_hw::{Instructions, Op, Why};
use stage1_paging::{Pa, Va};
use tock_registers::interfaces::Readable;

use super::probe::may_fault;
use super::registers;
use super::{Esr, Fault, FaultKind};

/// Where a load from `va` would go. `machine` executes the ISB that the answer waits for.
///
/// # Errors
/// The fault that the load would take.
pub fn read(machine: impl Instructions, va: Va) -> Result<Pa, Fault> {
    access(machine, va, false)
}

/// Where a store to `va` would go. As [`read`].
///
/// # Errors
/// The fault that the store would take.
pub fn write(machine: impl Instructions, va: Va) -> Result<Pa, Fault> {
    access(machine, va, true)
}

/// As [`read`] or [`write()`].
pub(crate) fn access(machine: impl Instructions, va: Va, write: bool) -> Result<Pa, Fault> {
    // An interrupt handler that translates, or a move to another core, would leave another PAR_EL1.
    let (syndrome, par) = registers::without_interrupts(|| {
        let syndrome = if write {
            // SAFETY: the instruction changes PAR_EL1 only, which nobody expects to keep.
            unsafe { may_fault!("at s1e1w, {va}", va = in(reg) va.raw(),) }
        } else {
            // SAFETY: as above.
            unsafe { may_fault!("at s1e1r, {va}", va = in(reg) va.raw(),) }
        };
        machine.execute(Op::Isb, Why::Translate);
        (syndrome, PAR_EL1.get())
    });
    // PAR_EL1 has two formats (Arm ARM, PAR_EL1): F clear, and PA in bits 47..12 (4 KiB pages without
    // FEAT_LPA2); or F set, and the fault status in FST, bits 6..1. An external abort on the walk is taken as an
    // exception and not reported there.
    let pa = Pa::new(par & 0x0000_FFFF_FFFF_F000 | va.raw() & 0xFFF);
    let status = match (syndrome, par & 1, pa) {
        (0, 0, Some(pa)) => return Ok(pa),
        (0, ..) => (par >> 1 & 0x3F) as u8,
        _ => Esr(syndrome).fault_status(),
    };
    let kind = FaultKind::from_status(status);
    Err(Fault { va, write, kind })
}
