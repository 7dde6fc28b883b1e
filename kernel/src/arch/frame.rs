//! What `vectors.s` saves of the interrupted code, and by which of its sixteen entries.

use core::fmt;
use core::mem::offset_of;

/// The interrupted code's registers, and what the exception left in EL1's.
///
/// Kept on the stack of the interrupted code. Whatever is changed here, but for `sp`, `esr` and
/// `far`, is changed for it when the handler returns.
#[repr(C, align(16))]
#[derive(Clone, Debug)]
pub struct TrapFrame {
    /// x0 to x30.
    pub x: [u64; 31],
    /// SP_EL1 before the exception.
    pub sp: u64,
    /// ELR_EL1: where to go on.
    pub elr: u64,
    /// SPSR_EL1: in which state.
    pub spsr: u64,
    /// ESR_EL1: what happened. Nothing is in it for an IRQ or an FIQ.
    pub esr: u64,
    /// FAR_EL1: the address of an abort, a watchpoint or a misaligned PC; else whatever it was
    /// before.
    pub far: u64,
}

// The offsets that vectors.s uses.
const _: () = {
    assert!(size_of::<TrapFrame>() == 288);
    assert!(offset_of!(TrapFrame, sp) == 248);
    assert!(offset_of!(TrapFrame, elr) == 256);
    assert!(offset_of!(TrapFrame, spsr) == 264);
    assert!(offset_of!(TrapFrame, esr) == 272);
    assert!(offset_of!(TrapFrame, far) == 280);
};

/// Where an exception came in: an entry of the vector table, and on which stack (Arm ARM,
/// "Exception vectors"). The number is the one that `vectors.s` passes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vector(pub u64);

impl Vector {
    /// Set in the number when the frame would not fit the stack; the frame is on the overflow stack
    /// then.
    const OVERFLOWED: u64 = 16;

    /// Synchronous, from EL1 with SP_EL1.
    pub const SYNCHRONOUS: Self = Self(4);
    /// IRQ, from EL1 with SP_EL1.
    pub const IRQ: Self = Self(5);

    /// The stack pointer left the stack.
    pub const fn overflowed(self) -> bool {
        self.0 & Self::OVERFLOWED != 0
    }

    /// ESR_EL1 says what happened: in a synchronous exception and an SError, not in an interrupt.
    pub const fn has_syndrome(self) -> bool {
        matches!(self.0 & 3, 0 | 3)
    }
}

impl fmt::Display for Vector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const WHAT: [&str; 4] = ["synchronous exception", "IRQ", "FIQ", "SError"];
        const FROM: [&str; 4] = ["EL1t", "EL1h", "EL0 in AArch64", "EL0 in AArch32"];
        let (what, from) = (self.0 & 3, self.0 >> 2 & 3);
        let (what, from) = (WHAT[what as usize], FROM[from as usize]);
        let overflow = if self.overflowed() {
            ", kernel stack overflow"
        } else {
            ""
        };
        write!(f, "{what} from {from} (vector {}){overflow}", self.0 & 15)
    }
}
