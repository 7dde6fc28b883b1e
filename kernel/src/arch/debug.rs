//! Hardware breakpoints: one per core, on one instruction, for the forced schedules.
//!
//! Not single-step: the monitor of an exclusive pair does not survive the exception in between, so a
//! stepped `ldxr`/`stxr` loop never ends. A breakpoint stops before one instruction and is taken
//! away before it is executed.

use core::arch::asm;

use aarch64_cpu::registers::{MDSCR_EL1, OSLAR_EL1};
use stage1_hw::{Instructions, Op, Why};
use tock_registers::interfaces::{ReadWriteable, Writeable};

/// DBGBCR: enabled, for EL1 only (PMC = 0b01), all four bytes of the instruction (BAS).
const CONTROL: u64 = 1 | 0b01 << 1 | 0b1111 << 5;

/// Lets this core take breakpoint exceptions from EL1: the OS lock is open, and MDSCR_EL1 allows
/// them in the kernel (KDE) and at all (MDE). PSTATE.D is [`super::registers::unmask_interrupts`]'s.
pub fn enable(machine: impl Instructions) {
    OSLAR_EL1.write(OSLAR_EL1::OSLK::Unlocked);
    MDSCR_EL1.modify(MDSCR_EL1::MDE::SET + MDSCR_EL1::KDE::SET);
    machine.execute(Op::Isb, Why::Register);
}

/// Stops this core before the instruction at `address`, once: [`clear`] in the handler.
///
/// The ISB makes it count for the next instruction.
pub fn stop_at(machine: impl Instructions, address: u64) {
    set_address(address);
    set_control(CONTROL);
    machine.execute(Op::Isb, Why::Register);
}

/// Takes this core's breakpoint away. The exception return that follows in a handler makes it
/// count; so there is no ISB here.
pub fn clear() {
    set_control(0);
}

fn set_address(address: u64) {
    // SAFETY: a breakpoint that stops where nothing expects it is reported; it changes nothing.
    unsafe {
        asm!("msr dbgbvr0_el1, {}", in(reg) address, options(nomem, nostack, preserves_flags))
    };
}

fn set_control(control: u64) {
    // SAFETY: as above.
    unsafe {
        asm!("msr dbgbcr0_el1, {}", in(reg) control, options(nomem, nostack, preserves_flags))
    };
}
