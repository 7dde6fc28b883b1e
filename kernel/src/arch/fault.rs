//! Faults of address translation, as ESR_EL1, PAR_EL1 and the reports speak of them.
//!
//! Pure functions of register values.

use core::fmt;

use stage1_paging::Va;

use super::esr::Esr;

/// Why an access, or a translation, did not succeed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The address.
    pub va: Va,
    /// The access was a store.
    pub write: bool,
    /// What stopped it.
    pub kind: Kind,
}

/// What stopped an access. The levels are −1 to 3.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The descriptor at this level is invalid, or the address is outside what the tables
    /// translate.
    Translation(i8),
    /// The descriptor at this level has its Access flag clear.
    AccessFlag(i8),
    /// The descriptors down to this level do not allow the access.
    Permission(i8),
    /// The TLB holds more than one translation of the address: an invalidation or a
    /// break-before-make is missing.
    TlbConflict,
    /// The address is not aligned as the access, or the PC, needs it.
    Alignment,
    /// Anything else: the fault status code.
    Other(u8),
}

impl Kind {
    /// Decodes a fault status code: DFSC or IFSC of ESR_EL1, FST of PAR_EL1 (Arm ARM, both
    /// registers).
    pub const fn from_status(status: u8) -> Self {
        let level = (status & 3).cast_signed();
        match status & 0x3F {
            0b00_0100..=0b00_0111 => Kind::Translation(level),
            0b10_1011 => Kind::Translation(-1),
            0b00_1000..=0b00_1011 => Kind::AccessFlag(level),
            0b00_1100..=0b00_1111 => Kind::Permission(level),
            0b10_0001 => Kind::Alignment,
            0b11_0000 => Kind::TlbConflict,
            other => Kind::Other(other),
        }
    }
}

impl Fault {
    /// The fault of an access to `va` that took an abort with this syndrome.
    pub const fn from_syndrome(esr: Esr, va: Va) -> Self {
        let kind = match esr.class() {
            Esr::PC_ALIGNMENT => Kind::Alignment,
            _ => Kind::from_status(esr.fault_status()),
        };
        Self {
            va,
            write: esr.is_store(),
            kind,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = if self.write { "store to" } else { "access to" };
        write!(f, "{access} {:#018x}: {}", self.va.raw(), self.kind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Kind::Translation(level) => write!(f, "translation fault, level {level}"),
            Kind::AccessFlag(level) => write!(f, "access flag fault, level {level}"),
            Kind::Permission(level) => write!(f, "permission fault, level {level}"),
            Kind::TlbConflict => f.write_str("TLB conflict abort"),
            Kind::Alignment => f.write_str("alignment fault"),
            Kind::Other(status) => other(f, status),
        }
    }
}

/// The fault status codes that have no [`Kind`] of their own, in words (Arm ARM, ESR_EL1, DFSC).
fn other(f: &mut fmt::Formatter<'_>, status: u8) -> fmt::Result {
    let level = status & 3;
    match status {
        0b00_0000..=0b00_0011 => write!(f, "address size fault, level {level}"),
        0b10_1001 => f.write_str("address size fault, level -1"),
        0b10_1100 => f.write_str("address size fault, level -2"),
        0b10_1010 => f.write_str("translation fault, level -2"),
        0b01_0000 => f.write_str("synchronous external abort, not on a table walk"),
        0b01_0001 => f.write_str("synchronous tag check fault"),
        0b01_0010 => f.write_str("synchronous external abort on a table walk, level -2"),
        0b01_0011 => f.write_str("synchronous external abort on a table walk, level -1"),
        0b01_0100..=0b01_0111 => write!(
            f,
            "synchronous external abort on a table walk, level {level}"
        ),
        0b01_1000 => f.write_str("synchronous parity or ECC error, not on a table walk"),
        0b01_1011 => f.write_str("synchronous parity or ECC error on a table walk, level -1"),
        0b01_1100..=0b01_1111 => write!(
            f,
            "synchronous parity or ECC error on a table walk, level {level}"
        ),
        0b10_0010 => f.write_str("granule protection fault on a table walk, level -2"),
        0b10_0011 => f.write_str("granule protection fault on a table walk, level -1"),
        0b10_0100..=0b10_0111 => {
            write!(f, "granule protection fault on a table walk, level {level}")
        }
        0b10_1000 => f.write_str("granule protection fault, not on a table walk"),
        0b11_0001 => f.write_str("unsupported atomic hardware update of a descriptor"),
        0b11_0100 => f.write_str("IMPLEMENTATION DEFINED fault (lockdown)"),
        0b11_0101 => {
            f.write_str("IMPLEMENTATION DEFINED fault (unsupported exclusive or atomic access)")
        }
        reserved => write!(f, "reserved fault status {reserved:#04x}"),
    }
}
