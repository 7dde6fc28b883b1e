//! `AT S1E1R` and `AT S1E1W`: what the MMU itself says of an address.
//!
//! A walk by software believes its own decoding; this asks the unit that decides. It may answer from
//! its TLB or walk again, as it likes (QEMU walks), so it is no proof that a stale entry is gone: that
//! takes a real access.

use core::arch::asm;

use aarch64_cpu::registers::PAR_EL1;
use stage1_paging::{Pa, Va};
use tock_registers::interfaces::Readable;

use super::{barrier, registers};
use crate::arch::probe::fixup_entry;
use crate::traps::{Esr, Fault, FaultKind};

/// Where a load from `va` would go.
///
/// # Errors
/// The fault that the load would take.
pub fn read(va: Va) -> Result<Pa, Fault> {
    // The result is only guaranteed to be in PAR_EL1 after a context synchronization event (Arm
    // ARM, "Address translation instructions"). Counted like every ISB: it also synchronises
    // whatever a store before it still owed.
    translate(va, false, barrier::isb)
}

/// Where a store to `va` would go.
///
/// # Errors
/// The fault that the store would take.
pub fn write(va: Va) -> Result<Pa, Fault> {
    // As in `read`.
    translate(va, true, barrier::isb)
}

/// [`read`] for the exception report: neither counted nor recorded, as the task that it would be
/// counted for may be what is broken, and the events are about to be printed.
pub(crate) fn read_uncounted(va: Va) -> Result<Pa, Fault> {
    translate(va, false, || {
        aarch64_cpu::asm::barrier::isb(aarch64_cpu::asm::barrier::SY)
    })
}

fn translate(va: Va, write: bool, synchronise: impl Fn()) -> Result<Pa, Fault> {
    // An interrupt handler that translates, or a move to another core, would leave another PAR_EL1.
    let mask = registers::mask_interrupts();
    let syndrome = if write { at_s1e1w(va) } else { at_s1e1r(va) };
    synchronise();
    let par = PAR_EL1.get();
    registers::restore_interrupts(mask);
    if syndrome != 0 {
        return Err(Fault {
            write,
            ..Fault::from_syndrome(Esr(syndrome), va)
        });
    }
    decode(par, va, write)
}

/// PAR_EL1 in its two formats (Arm ARM, PAR_EL1): F clear, and PA in bits 47..12 (4 KiB pages
/// without FEAT_LPA2); or F set, and the fault status in FST, bits 6..1.
fn decode(par: u64, va: Va, write: bool) -> Result<Pa, Fault> {
    if par & 1 != 0 {
        return Err(Fault {
            va,
            write,
            kind: FaultKind::from_status((par >> 1 & 0x3F) as u8),
        });
    }
    match Pa::new(par & 0x0000_FFFF_FFFF_F000 | va.raw() & 0xFFF) {
        Some(pa) => Ok(pa),
        None => unreachable!("the mask leaves 48 bits"),
    }
}

/// Defines a translation. It returns 0, or the syndrome of an exception: an external abort on the
/// walk is taken as one and not reported in PAR_EL1 (Arm ARM, the same section).
macro_rules! at {
    ($name:ident, $operation:literal) => {
        fn $name(va: Va) -> u64 {
            let syndrome;
            // SAFETY: 1. The instruction changes PAR_EL1 only, which nobody expects to keep.
            // 2. If it faults, the fix-up goes on behind it and changes x0 and x1 only, both outputs.
            unsafe {
                asm!(
                    concat!("2: at ", $operation, ", {va}"),
                    "3:",
                    fixup_entry!(),
                    va = in(reg) va.raw(),
                    inout("x0") 0_u64 => syndrome,
                    out("x1") _,
                    options(nostack, preserves_flags)
                );
            }
            syndrome
        }
    };
}

at!(at_s1e1r, "s1e1r");
at!(at_s1e1w, "s1e1w");
