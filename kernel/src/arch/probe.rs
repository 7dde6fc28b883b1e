//! Loads, stores and calls that may fault by intent.
//!
//! Whether a page is really gone is seen by touching it. The access is one instruction with
//! an entry in the fix-up table (`traps/fixup.rs`); if it faults, the function returns what the
//! exception said. None of them executes a barrier: a probe must see what the core sees at this
//! moment, not what it would see after a DSB or an ISB that the code under test owes. (Taking the
//! exception and returning from it do synchronise the context, as SCTLR_EL1.EIS and EOS have it. So
//! after a probe that *faulted* nothing can be said about an ISB that was missing before it.)

use stage1_paging::Va;

use super::{Esr, Fault};

/// Executes one instruction that may fault, with its operands as in `asm!`. Its value is 0, or the ESR_EL1 of the fault: the
/// entry in the fix-up table sends the instruction at label 2 to label 3 then, with ESR_EL1 in x0.
macro_rules! may_fault {
    ($instruction:literal, $($operands:tt)*) => {{
        let syndrome: u64;
        ::core::arch::asm!(
            concat!("2: ", $instruction),
            "3:",
            ".pushsection .fixup_table, \"a\"",
            ".balign 4",
            ".word 2b - .",
            ".word 3b - .",
            ".popsection",
            $($operands)*
            inout("x0") 0_u64 => syndrome,
            options(nostack, preserves_flags)
        );
        syndrome
    }};
}
pub(super) use may_fault;

/// The outcome of an access to `va`, where `syndrome` is 0 unless a fix-up put an ESR_EL1 there: no
/// abort has EC 0.
///
/// The fault is at the address that was passed. FAR_EL1 is the same one, or invalid, or for
/// cache maintenance another.
fn outcome<T>(va: Va, syndrome: u64, value: T) -> Result<T, Fault> {
    if syndrome == 0 {
        Ok(value)
    } else {
        Err(Fault::from_syndrome(Esr(syndrome), va))
    }
}

/// Defines loads.
macro_rules! read {
    ($($(#[doc = $what:literal])* $name:ident: $type:ty = $instruction:literal;)*) => {$(
        $(#[doc = $what])*
        ///
        /// Safe for any address. A load changes no memory, every pattern of bits is a value, and what no Rust code may look at (because
        /// somebody is writing it) is looked at by one machine instruction, as a debugger would: the value may be
        /// stale, and nothing is derived from it. A device register does what it does when it is read; none that this kernel
        /// maps gives memory away for that.
        ///
        /// # Errors
        /// The fault that the load took.
        #[inline]
        pub fn $name(va: Va) -> Result<$type, Fault> {
            let value: $type;
            // SAFETY: the instruction loads and does nothing else; if it faults, it does nothing.
            let syndrome = unsafe { may_fault!($instruction, va = in(reg) va.raw(), value = out(reg) value,) };
            outcome(va, syndrome, value)
        }
    )*};
}

read! {
    /// Loads 8 bytes from `va`, by one instruction.
    read_u64: u64 = "ldr {value:x}, [{va}]";
    /// Loads one byte from `va`, by one instruction.
    read_u8: u8 = "ldrb {value:w}, [{va}]";
    /// Loads 8 bytes from `va`, with EL0's permissions, by one instruction.
    read_u64_as_el0: u64 = "ldtr {value:x}, [{va}]";
}

/// Stores 8 bytes to `va`, by one instruction.
///
/// # Errors
/// The fault that the store took; memory is unchanged then.
///
/// # Safety
/// If the store succeeds, it is the caller's to make: `va` is then mapped to memory that the caller owns or that is only
/// accessed atomically, and that no table walker reads. An address where the store must fault, and which does fault, needs
/// nothing; but whoever is wrong about that has written where `va` leads.
#[inline]
pub unsafe fn write_u64(va: Va, value: u64) -> Result<(), Fault> {
    // SAFETY: the caller owns what is written; if the instruction faults, it writes nothing.
    let syndrome = unsafe {
        may_fault!("str {value:x}, [{va}]", va = in(reg) va.raw(), value = in(reg) value,)
    };
    outcome(va, syndrome, ())
}

/// RET, as [`execute`] wants to find it.
pub const RET: u32 = 0xD65F_03C0;

/// Calls `va`, where a [`RET`] is: it returns if the address can be executed.
///
/// # Errors
/// The fault that the fetch took.
///
/// # Safety
/// If `va` is mapped executable, the instruction there is [`RET`], and this core fetches it: it was
/// in memory, and cleaned to the point of unification, when the instruction cache was last
/// invalidated.
pub unsafe fn execute(va: Va) -> Result<(), Fault> {
    // SAFETY: 1. What is called returns at once and changes nothing (the caller's promise), or is
    // not executed.
    // 2. The fix-up of a faulting fetch is found by x30 and x16, which are set here and are
    //    outputs; SP is what it was.
    let syndrome = unsafe { may_fault!("blr x16", inout("x16") va.raw() => _, out("x30") _,) };
    outcome(va, syndrome, ())
}
