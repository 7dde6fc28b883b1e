//! `AT S1E1R` and `AT S1E1W`: what the MMU itself says of an address.
//!
//! A walk by software believes its own decoding; this asks the unit that decides. It may answer from
//! its TLB or walk again, as it likes (QEMU walks), so it is no proof that a stale entry is gone: that
//! takes a real access.

use core::arch::asm;

use aarch64_cpu::registers::PAR_EL1;
use stage1_hw::{Instructions, Op, Why};
use stage1_paging::{Pa, Va};
use tock_registers::interfaces::Readable;

use super::probe::fixup_entry;
use super::registers;
use super::{Esr, Fault, FaultKind};

/// Where a load from `va` would go. `machine` executes the ISB that the answer waits for.
///
/// # Errors
/// The fault that the load would take.
pub fn read(machine: impl Instructions, va: Va) -> Result<Pa, Fault> {
    translate(machine, va, false)
}

/// Where a store to `va` would go. As [`read`].
///
/// # Errors
/// The fault that the store would take.
pub fn write(machine: impl Instructions, va: Va) -> Result<Pa, Fault> {
    translate(machine, va, true)
}

fn translate(machine: impl Instructions, va: Va, write: bool) -> Result<Pa, Fault> {
    // An interrupt handler that translates, or a move to another core, would leave another PAR_EL1.
    let (syndrome, par) = registers::without_interrupts(|| {
        let syndrome = if write { at_s1e1w(va) } else { at_s1e1r(va) };
        machine.execute(Op::Isb, Why::Translate);
        (syndrome, PAR_EL1.get())
    });
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
