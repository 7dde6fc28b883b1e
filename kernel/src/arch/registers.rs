//! System registers that the rest of the kernel reads and writes by name.

use core::arch::asm;

use aarch64_cpu::registers::{MPIDR_EL1, SCTLR_EL1, TPIDR_EL1};
use tock_registers::interfaces::{ReadWriteable, Readable, Writeable};

/// The current task's address: SP_EL0, which nothing at EL1 uses as a stack.
///
/// Declared `pure`: for the code of one task the value never changes, however often it is preempted
/// or moved.
#[inline(always)]
pub fn current_task() -> u64 {
    let task;
    // SAFETY: reads a register.
    unsafe {
        asm!("mrs {}, sp_el0", out(reg) task, options(pure, nomem, nostack, preserves_flags))
    };
    task
}

/// Makes `task` the current one.
///
/// # Safety
/// 1. `task` is the address of a task that lives for as long as it is
///    current.
/// 2. The caller is the switch, or the start of a core: code that keeps nothing derived from the
///    task before.
#[inline(always)]
pub(crate) unsafe fn set_current_task(task: u64) {
    // SAFETY: the caller keeps both points; the stack in use is SP_EL1.
    unsafe { asm!("msr sp_el0, {}", in(reg) task, options(nostack, preserves_flags)) };
}

/// This core's record: TPIDR_EL1.
///
/// Not `pure`: a task that moves reads another core's.
#[inline(always)]
pub fn core_record() -> u64 {
    TPIDR_EL1.get()
}

/// Sets this core's record.
///
/// # Safety
/// `record` is the address of a core's record that lives for ever and is no other
/// core's.
#[inline(always)]
pub(crate) unsafe fn set_core_record(record: u64) {
    TPIDR_EL1.set(record);
}

/// Affinity of this core: MPIDR_EL1 without its flag bits.
pub fn affinity() -> u64 {
    MPIDR_EL1.get() & 0xFF_00FF_FFFF
}

/// Lets interrupts in, debug exceptions, and SErrors, which an exception's entry and the boot code mask as well: this task can be
/// preempted from here on.
#[inline(always)]
pub(crate) fn unmask_interrupts() {
    // SAFETY: what an interrupt may meet in a state of its own is behind locks that mask. Not `nomem`: as below.
    unsafe { asm!("msr daifclr, #0xF", options(nostack, preserves_flags)) };
}

/// Sleeps until there is an interrupt, masked or not.
///
/// No DSB before it: nothing here is powered down, and what others wait for was made visible by the
/// lock it was stored under.
pub(crate) fn wait_for_interrupt() {
    // SAFETY: a hint.
    unsafe { asm!("wfi", options(nomem, nostack, preserves_flags)) };
}

/// Lets SErrors in: an external abort that a store took earlier is to be reported, not kept pending
/// for ever.
pub(crate) fn unmask_errors() {
    // SAFETY: the vector table is in place; what is taken is reported and ends the boot.
    unsafe { asm!("msr daifclr, #4", options(nostack, preserves_flags)) };
}

/// Whether writable memory is never executable, whatever its descriptor says (SCTLR_EL1.WXN).
pub fn is_wxn() -> bool {
    SCTLR_EL1.is_set(SCTLR_EL1::WXN)
}

/// Masks interrupts and returns what was masked before.
#[inline(always)]
pub(crate) fn mask_interrupts() -> u64 {
    let daif;
    // SAFETY: masking can only postpone an interrupt. Not `nomem`: what a lock protects must not
    // move across.
    unsafe {
        asm!("mrs {}, daif", "msr daifset, #3", out(reg) daif, options(nostack, preserves_flags))
    };
    daif
}

/// Whether this core takes no interrupt now (PSTATE.I is set): what holds of the core and of the task that it runs stays so.
#[inline(always)]
pub fn interrupts_masked() -> bool {
    let daif: u64;
    // SAFETY: it reads a register. Not `nomem`: its place among the accesses matters.
    unsafe { asm!("mrs {}, daif", out(reg) daif, options(nostack, preserves_flags)) };
    daif >> 7 & 1 != 0
}

/// Puts the mask back to what [`mask_interrupts`] returned.
#[inline(always)]
pub(crate) fn restore_interrupts(daif: u64) {
    // SAFETY: the value came from the same register on this path.
    unsafe { asm!("msr daif, {}", in(reg) daif, options(nostack, preserves_flags)) };
}

/// Runs `f` with interrupts masked: on one core, and with nothing of this core in between.
#[inline(always)]
pub fn without_interrupts<R>(f: impl FnOnce() -> R) -> R {
    let mask = mask_interrupts();
    let result = f();
    restore_interrupts(mask);
    result
}

/// Gives the other hardware thread, or QEMU's other core, a turn while waiting.
///
/// `core::hint::spin_loop` is an ISB on AArch64: it would count as a barrier without a reason, and
/// could stand in for one that is missing.
#[inline(always)]
pub fn yield_now() {
    // SAFETY: a hint.
    unsafe { asm!("yield", options(nomem, nostack, preserves_flags)) };
}

/// Makes writable memory non-executable, whatever its descriptor says (SCTLR_EL1.WXN). The caller owes
/// an ISB, and the invalidation of what TLBs hold from before.
pub(crate) fn set_wxn() {
    SCTLR_EL1.modify(SCTLR_EL1::WXN::Enable);
}
