//! The performance counter of executed instructions, read at the very edges of a window.
//!
//! Event 0x08, INST_RETIRED (Arm ARM, "PMU events and event numbers"). QEMU has it under `-icount` only, and there it is exact.

use core::arch::asm;

/// Event 0x08, counted at EL1.
const INST_RETIRED: u64 = 0x08;

/// Starts counter 0 counting instructions. Says whether this core can: PMCEID0_EL0 lists the event.
pub fn start() -> bool {
    let (dfr0, events): (u64, u64);
    // SAFETY: reads an ID register.
    unsafe {
        asm!("mrs {}, id_aa64dfr0_el1", out(reg) dfr0, options(nomem, nostack, preserves_flags))
    };
    // PMUVer: 0 is no PMU, and 15 one that is not Arm's.
    if matches!(dfr0 >> 8 & 0xF, 0 | 0xF) {
        return false;
    }
    // SAFETY: there is a PMU, as just read; this reads one of its registers.
    unsafe {
        asm!("mrs {}, pmceid0_el0", out(reg) events, options(nomem, nostack, preserves_flags))
    };
    if events >> INST_RETIRED & 1 == 0 {
        return false;
    }
    // SAFETY: 1. There is a PMU, and nothing else in this image uses its registers. 2. Counter 0 exists: who lists INST_RETIRED has
    // it. 3. No interrupt of the PMU is enabled. The ISB makes the writes count before the first window.
    unsafe {
        asm!(
            "msr pmevtyper0_el0, {event}",
            "msr pmcntenset_el0, {one}",
            "msr pmcr_el0, {one}",
            "isb",
            event = in(reg) INST_RETIRED,
            one = in(reg) 1_u64,
            options(nostack, preserves_flags)
        );
    }
    true
}

/// Starts window 1 and reads the counter, with nothing in between.
///
/// No ISB, which would be one more in every window: where instructions are counted at all (QEMU under `-icount`), the read is exact
/// without.
#[inline(always)]
pub fn open() -> u32 {
    let count: u64;
    // SAFETY: an unallocated HINT is a NOP, and the counter may be read whether or not it counts; not `nomem`, so that no access
    // moves across.
    unsafe {
        asm!("hint #0x51", "mrs {}, pmevcntr0_el0", out(reg) count, options(nostack, preserves_flags));
    }
    // Its upper half is zero, or with FEAT_PMUv3p5 there: differences are of 32 bits.
    count as u32
}

/// Reads the counter and ends window 1, with nothing in between.
#[inline(always)]
pub fn close() -> u32 {
    let count: u64;
    // SAFETY: as in [`open`].
    unsafe {
        asm!("mrs {}, pmevcntr0_el0", "hint #0x59", out(reg) count, options(nostack, preserves_flags));
    }
    count as u32
}
