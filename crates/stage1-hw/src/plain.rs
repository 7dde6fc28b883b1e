//! The machine itself.

use core::arch::asm;
use core::sync::atomic::Ordering::Relaxed;

use aarch64_cpu::registers::TTBR0_EL1;
use stage1_paging::{Batch, Desc, PAGE_SIZE, Pa, Tlbi};
use tock_registers::interfaces::{Readable, Writeable};

use crate::instructions::{Barrier, Instructions, Op, Page, Slots, Why, unrolled};

/// The plain machine: each method is its instruction. What each is for is [`Why`]'s to say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plain;

/// One instruction without operands. Not `nomem`: no access to memory moves across it.
macro_rules! instruction {
    ($text:literal) => {
        // SAFETY: a barrier, or an invalidation of TLB entries: later accesses wait, or walk the
        // tables again. Both are always allowed, and neither changes memory or a register.
        unsafe { asm!($text, options(nostack, preserves_flags)) }
    };
}

impl Instructions for Plain {
    const NEW: Self = Plain;

    #[inline(always)]
    fn execute(self, op: Op, _: Why) {
        match op {
            Op::Dsb(Barrier::Ish) => instruction!("dsb ish"),
            Op::Dsb(Barrier::Ishst) => instruction!("dsb ishst"),
            Op::Dsb(Barrier::Ishld) => instruction!("dsb ishld"),
            Op::Dsb(Barrier::Nsh) => instruction!("dsb nsh"),
            Op::Dsb(Barrier::Sy) => instruction!("dsb sy"),
            Op::Dmb(Barrier::Ish) => instruction!("dmb ish"),
            Op::Dmb(Barrier::Ishst) => instruction!("dmb ishst"),
            Op::Dmb(Barrier::Ishld) => instruction!("dmb ishld"),
            Op::Dmb(Barrier::Nsh) => instruction!("dmb nsh"),
            Op::Dmb(Barrier::Sy) => instruction!("dmb sy"),
            Op::Isb => instruction!("isb"),
            Op::Tlbi(batch) => tlbi(batch),
            Op::TlbiAllLocal => instruction!("tlbi vmalle1"),
        }
    }

    /// Without a load.
    #[inline(always)]
    fn fill(self, slots: Slots<'_>, new: Desc) {
        unrolled(slots.words).for_each(|word| word.store(new.bits(), Relaxed));
    }

    /// By blocks where the core has `DC ZVA`, else word by word.
    fn zero(self, page: &Page, _: Pa, _: Why) {
        let block = zva_bytes();
        if block == 0 || block > PAGE_SIZE {
            page.0.iter().for_each(|word| word.store(0, Relaxed));
            return;
        }
        let start = page.0.as_ptr() as u64;
        // An offset, not an end: the last page of the address space has none.
        let mut offset = 0;
        while offset < PAGE_SIZE {
            // SAFETY: 1. The block lies in the page: both are aligned to their size, and the page's
            // is the greater. 2. The page is Normal memory, as every reference's. 3. Its words are
            // atomics: whoever reads them meanwhile sees the old value or zero, as with a store.
            unsafe {
                asm!("dc zva, {}", in(reg) start + offset, options(nostack, preserves_flags))
            };
            offset += block;
        }
    }

    unsafe fn write_ttbr0(self, value: u64) {
        TTBR0_EL1.set(value);
    }
}

/// DCZID_EL0: whether `DC ZVA` is allowed, and how much it zeroes.
#[inline(always)]
pub(crate) fn dczid() -> u64 {
    let dczid: u64;
    // SAFETY: reads a register that never changes.
    unsafe {
        asm!("mrs {}, dczid_el0", out(reg) dczid, options(pure, nomem, nostack, preserves_flags))
    };
    dczid
}

/// Bytes that `DC ZVA` zeroes, or 0 where it is prohibited. The same on every core
/// ([`CoreRegisters::fit`](crate::CoreRegisters::fit)): the task may move before it zeroes.
fn zva_bytes() -> u64 {
    let dczid = dczid();
    if dczid & 0x10 == 0 {
        4 << (dczid & 0xF)
    } else {
        0
    }
}

/// The instruction so many times, the operand growing by the batch's step.
macro_rules! repeated {
    ($batch:expr, $text:literal, $operand:expr) => {{
        let mut operand: u64 = $operand;
        for _ in 0..$batch.count {
            // SAFETY: as `instruction!`.
            unsafe {
                asm!(
                    // For the range operations, which are executed only where the ID register has
                    // them.
                    ".arch armv8.4-a",
                    concat!("tlbi ", $text, ", {0}"),
                    in(reg) operand,
                    options(nostack, preserves_flags)
                )
            }
            operand = operand.wrapping_add($batch.step);
        }
    }};
}

#[inline(always)]
fn tlbi(batch: Batch) {
    match batch.first {
        Tlbi::Vae1is(operand) => repeated!(batch, "vae1is", operand),
        Tlbi::Vale1is(operand) => repeated!(batch, "vale1is", operand),
        Tlbi::Vaae1is(operand) => repeated!(batch, "vaae1is", operand),
        Tlbi::Vaale1is(operand) => repeated!(batch, "vaale1is", operand),
        Tlbi::Rvae1is(operand) => repeated!(batch, "rvae1is", operand),
        Tlbi::Rvale1is(operand) => repeated!(batch, "rvale1is", operand),
        Tlbi::Rvaae1is(operand) => repeated!(batch, "rvaae1is", operand),
        Tlbi::Rvaale1is(operand) => repeated!(batch, "rvaale1is", operand),
        Tlbi::Aside1is(operand) => repeated!(batch, "aside1is", operand),
        Tlbi::Vmalle1is => instruction!("tlbi vmalle1is"),
    }
}

/// What TTBR0_EL1 holds.
pub fn read_ttbr0() -> u64 {
    TTBR0_EL1.get()
}
