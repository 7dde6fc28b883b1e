//! Faults of address translation, as ESR_EL1, PAR_EL1 and the reports speak of them.
//!
//! Pure functions of register values.

use core::fmt;

use stage1_paging::Va;
use thiserror::Error;

use super::esr::{Class, Esr};

/// Why an access, or a translation, did not succeed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("{} {va}: {kind}", if *.write { "store to" } else { "access to" })]
pub struct Fault {
    /// The address.
    pub va: Va,
    /// The access was a store.
    pub write: bool,
    /// What stopped it.
    pub kind: Kind,
}

/// What stopped an access. The levels are 0 to 3: a walk begins at −1 or −2 only for addresses of more than 48 bits, which this
/// kernel does not turn on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The descriptor at this level is invalid, or the address is outside what the tables
    /// translate.
    Translation(u8),
    /// The descriptor at this level has its Access flag clear.
    AccessFlag(u8),
    /// The descriptors down to this level do not allow the access.
    Permission(u8),
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
        let level = status & 3;
        match status & 0x3F {
            0b00_0100..=0b00_0111 => Kind::Translation(level),
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
    pub fn from_syndrome(esr: Esr, va: Va) -> Self {
        let kind = match esr.class() {
            Some(Class::PCAlignmentFault) => Kind::Alignment,
            _ => Kind::from_status(esr.fault_status()),
        };
        Self {
            va,
            write: esr.is_store(),
            kind,
        }
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

/// The fault status codes that have no [`Kind`] of their own, in words (Arm ARM, ESR_EL1, DFSC). Those of extensions that this
/// kernel does not turn on have their number.
fn other(f: &mut fmt::Formatter<'_>, status: u8) -> fmt::Result {
    let what = match status {
        0b00_0000..=0b00_0011 => "address size fault",
        0b01_0000 => return f.write_str("synchronous external abort, not on a table walk"),
        0b01_0100..=0b01_0111 => "synchronous external abort on a table walk",
        0b01_1000 => return f.write_str("synchronous parity or ECC error, not on a table walk"),
        0b01_1100..=0b01_1111 => "synchronous parity or ECC error on a table walk",
        0b11_0101 => return f.write_str("unsupported exclusive or atomic access"),
        _ => return write!(f, "fault status {status:#04x}"),
    };
    write!(f, "{what}, level {}", status & 3)
}
