//! System registers that the rest of the kernel asks for by name.

use core::arch::asm;
use core::sync::atomic::Ordering::Relaxed;

use aarch64_cpu::registers::{
    ID_AA64ISAR0_EL1, ID_AA64MMFR0_EL1, ID_AA64MMFR2_EL1, MAIR_EL1, MPIDR_EL1, SCTLR_EL1, TCR_EL1,
    TTBR0_EL1,
};
use stage1_paging::Asid;
use tock_registers::interfaces::{ReadWriteable, Readable, Writeable};

use super::barrier;
use super::tables::{Hardware, Table};
use mmu_check::What;

use crate::check;
use crate::event::{self, Kind};
use crate::task;

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
/// 1. `task` is the address of a [`Task`](crate::task::Task) that lives for as long as it is
///    current.
/// 2. The caller is the switch, or the start of a core: code that keeps nothing derived from the
///    task before.
#[inline(always)]
pub unsafe fn set_current_task(task: u64) {
    // SAFETY: the caller keeps both points; the stack in use is SP_EL1.
    unsafe { asm!("msr sp_el0, {}", in(reg) task, options(nostack, preserves_flags)) };
}

/// This core's record: TPIDR_EL1.
///
/// Not `pure`: a task that moves reads another core's.
#[inline(always)]
pub fn core_record() -> u64 {
    let record;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, tpidr_el1", out(reg) record, options(nomem, nostack, preserves_flags)) };
    record
}

/// Sets this core's record.
///
/// # Safety
/// `record` is the address of a [`Core`](crate::task::Core) that lives for ever and is no other
/// core's.
#[inline(always)]
pub unsafe fn set_core_record(record: u64) {
    // SAFETY: the caller's promise; the register has no effect on the machine.
    unsafe { asm!("msr tpidr_el1, {}", in(reg) record, options(nostack, preserves_flags)) };
}

/// Affinity of this core: MPIDR_EL1 without its flag bits.
pub fn affinity() -> u64 {
    MPIDR_EL1.get() & 0xFF_00FF_FFFF
}

/// Lets interrupts in, and debug exceptions: this task can be preempted from here on.
#[inline(always)]
pub fn unmask_interrupts() {
    // SAFETY: what an interrupt may meet in a state of its own is behind locks that mask. Not `nomem`: as below.
    unsafe { asm!("msr daifclr, #0xB", options(nostack, preserves_flags)) };
}

/// Sleeps until there is an interrupt, masked or not.
///
/// No DSB before it: nothing here is powered down, and what others wait for was made visible by the
/// lock it was stored under.
pub fn wait_for_interrupt() {
    // SAFETY: a hint.
    unsafe { asm!("wfi", options(nomem, nostack, preserves_flags)) };
}

/// Lets SErrors in: an external abort that a store took earlier is to be reported, not kept pending
/// for ever.
pub fn unmask_errors() {
    // SAFETY: the vector table is in place; what is taken is reported and ends the boot.
    unsafe { asm!("msr daifclr, #4", options(nostack, preserves_flags)) };
}

/// Whether writable memory is never executable, whatever its descriptor says (SCTLR_EL1.WXN).
pub fn is_wxn() -> bool {
    SCTLR_EL1.is_set(SCTLR_EL1::WXN)
}

/// Masks interrupts and returns what was masked before.
#[inline(always)]
pub fn mask_interrupts() -> u64 {
    let daif;
    // SAFETY: masking can only postpone an interrupt. Not `nomem`: what a lock protects must not
    // move across.
    unsafe {
        asm!("mrs {}, daif", "msr daifset, #3", out(reg) daif, options(nostack, preserves_flags))
    };
    daif
}

/// Puts the mask back to what [`mask_interrupts`] returned.
#[inline(always)]
pub fn restore_interrupts(daif: u64) {
    // SAFETY: the value came from the same register on this path.
    unsafe { asm!("msr daif, {}", in(reg) daif, options(nostack, preserves_flags)) };
}

/// Gives the other hardware thread, or QEMU's other core, a turn while waiting.
///
/// `core::hint::spin_loop` is an ISB on AArch64: it would count as a barrier nobody asked for, and
/// could stand in for one that is missing.
#[inline(always)]
pub fn yield_now() {
    // SAFETY: a hint.
    unsafe { asm!("yield", options(nomem, nostack, preserves_flags)) };
}

/// What the ID registers promise about translation.
#[derive(Clone, Copy, Debug)]
pub struct Features {
    /// What TLBI can do.
    pub tlb: stage1_paging::Features,
    /// Bits of a physical address that a descriptor may hold here (at most 48).
    pub pa_bits: u8,
}

/// Reads the features of this core.
pub fn features() -> Features {
    const PA_BITS: [u8; 6] = [32, 36, 40, 42, 44, 48];
    let mmfr0 = ID_AA64MMFR0_EL1.get();
    Features {
        tlb: stage1_paging::Features {
            range: ID_AA64ISAR0_EL1.get() >> 56 & 0xF >= 2,
            ttl: ID_AA64MMFR2_EL1.get() >> 48 & 0xF != 0,
        },
        pa_bits: PA_BITS[(mmfr0 & 0xF).min(5) as usize],
    }
}

/// Bytes that `DC ZVA` zeroes, or 0 where it is prohibited.
pub fn zva_bytes() -> usize {
    let dczid: u64;
    // SAFETY: reads a register.
    unsafe {
        asm!("mrs {}, dczid_el0", out(reg) dczid, options(pure, nomem, nostack, preserves_flags))
    };
    if dczid & 0x10 != 0 {
        0
    } else {
        4 << (dczid & 0xF)
    }
}

/// Checks that table walks are write-back and inner shareable in both halves, and the memory
/// attributes what the tables say.
///
/// This is what makes `dsb ishst` enough to publish a descriptor: with non-cacheable walks each
/// store would need a clean to the point of coherency as well.
///
/// # Errors
/// What is not so.
pub fn check_walk_attributes() -> Result<(), &'static str> {
    let tcr = TCR_EL1.get();
    // SHn = 0b11 inner shareable, ORGNn = IRGNn = 0b01 write-back write-allocate, for TTBR0 (bits
    // 8..14) and TTBR1 (24..30).
    let walks = 0b11_01_01;
    if tcr >> 8 & 0x3F != walks || tcr >> 24 & 0x3F != walks {
        return Err("TCR_EL1: table walks are not write-back, inner shareable");
    }
    if MAIR_EL1.get() & 0xFFFF != 0xFF04 {
        return Err("MAIR_EL1: index 0 is not Device-nGnRE or index 1 not Normal write-back");
    }
    Ok(())
}

/// What this core's translation depends on, besides its tables: SCTLR_EL1 (WXN among it), TCR_EL1,
/// MAIR_EL1. The same on every core, or one translates what another does not.
pub fn translation_controls() -> [u64; 3] {
    [SCTLR_EL1.get(), TCR_EL1.get(), MAIR_EL1.get()]
}

/// The address space in TTBR0_EL1: ASID and table.
pub fn ttbr0() -> u64 {
    TTBR0_EL1.get()
}

/// Gives the current task a lower half. No invalidation: the ASID keeps translations of different
/// tables apart.
///
/// # Safety
/// `root` belongs to the address space that `asid` was given to, its stores are visible to walkers,
/// and it lives until the task leaves it by [`clear_ttbr0`].
pub unsafe fn set_ttbr0(root: Table, asid: Asid) {
    change_ttbr0(Hardware::root_address(root).raw() | u64::from(asid.0) << 48);
}

/// Leaves the current task's lower half empty, with ASID 0.
pub fn clear_ttbr0() {
    change_ttbr0(0);
}

/// The task's word and this core's register, with interrupts masked: a switch in between would install
/// the one on another core, and what is told of the other would be told of the wrong core.
///
/// The ISB makes the change count for the next access.
fn change_ttbr0(of_task: u64) {
    let mask = mask_interrupts();
    task::current().ttbr0.store(of_task, Relaxed);
    install_ttbr0(of_task);
    barrier::isb();
    restore_interrupts(mask);
}

/// For the switch: makes a task's lower half this core's, where it is not. The caller owes an ISB.
///
/// A core never keeps a lower half that is not its task's: so no core has a space's tables once its
/// task has left it.
pub(super) fn install_ttbr0(of_task: u64) {
    let value = if of_task == 0 {
        lazy_mmu_boot::empty_table()
    } else {
        of_task
    };
    if TTBR0_EL1.get() == value {
        return;
    }
    TTBR0_EL1.set(value);
    event::record(Kind::Ttbr0, value, 0, 0);
    check::tell(What::Ttbr0 {
        root: value & ((1 << 48) - 1),
        asid: (value >> 48) as u16,
    });
}

/// From the early tables to the kernel's: TTBR1 gets the new root, TTBR0 nothing, and writable
/// memory stops being executable whatever its descriptor says (SCTLR_EL1.WXN).
///
/// # Safety
/// 1. `root` maps the image, the stack and everything in use where they are, W^X, and its stores
///    have been published.
/// 2. The early tables are in use, no other core runs, and interrupts are masked.
pub unsafe fn leave_early_tables(root: Table) {
    // SAFETY: the two points are the callee's.
    unsafe { lazy_mmu_boot::replace_ttbr1(Hardware::root_address(root).raw()) };
    SCTLR_EL1.modify(SCTLR_EL1::WXN::Enable);
    leave_identity_map();
}

/// Empties TTBR0 and drops what the TLB holds of the identity map, which is global; and of
/// SCTLR_EL1.WXN, which entries may hold as well.
///
/// Local: other cores do it for themselves. The ISB of [`clear_ttbr0`] makes both registers count
/// before the invalidation; the last one ends what was fetched before.
pub fn leave_identity_map() {
    clear_ttbr0();
    // SAFETY: see `tlb`: dropping translations is always allowed.
    unsafe {
        asm!(
            "tlbi vmalle1",
            "dsb nsh",
            "isb",
            options(nostack, preserves_flags)
        )
    };
}
