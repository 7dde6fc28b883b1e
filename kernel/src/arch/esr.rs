//! ESR_EL1 in words (Arm ARM, ESR_EL1: exception classes and ISS encodings).
//!
//! Pure functions of the register's value. An exception class has the name that `aarch64-cpu` gives it. What a class adds (ISS) is
//! put into words for those that this kernel meets: aborts and BRK. No code runs at EL0, and what would trap from there, or in
//! AArch32, has its class's name and the ISS as a number, as all others have.

use core::fmt;

use aarch64_cpu::registers::ESR_EL1;

use super::fault::Kind;

/// An exception class (EC).
pub use ESR_EL1::EC::Value as Class;

/// A value of ESR_EL1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Esr(pub u64);

impl Esr {
    /// EC: the exception class; `None` for a value that is reserved.
    pub fn class(self) -> Option<Class> {
        ESR_EL1::EC.read_as_enum(self.0)
    }

    /// DFSC or IFSC of an abort.
    pub const fn fault_status(self) -> u8 {
        (self.0 & 0x3F) as u8
    }

    /// FAR_EL1 holds an address of this exception: it is an abort, a misaligned PC or a watchpoint.
    /// Only a synchronous external abort that is not on a walk may say that FAR is not valid
    /// (FnV).
    pub fn has_address(self) -> bool {
        match self.class() {
            Some(Class::DataAbortCurrentEL | Class::InstrAbortCurrentEL) => {
                !(self.bit(10) && self.fault_status() == 0b01_0000)
            }
            Some(Class::PCAlignmentFault | Class::WatchpointCurrentEL) => true,
            _ => false,
        }
    }

    /// A data abort of a store. Cache maintenance and AT report WnR too, and store nothing (CM).
    pub fn is_store(self) -> bool {
        self.class() == Some(Class::DataAbortCurrentEL) && self.bit(6) && !self.bit(8)
    }

    const fn bit(self, n: u32) -> bool {
        self.0 >> n & 1 != 0
    }
}

impl fmt::Display for Esr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let iss = ESR_EL1::ISS.read(self.0);
        match self.class() {
            Some(Class::DataAbortCurrentEL) => {
                let access = match (self.bit(8), self.bit(6)) {
                    (true, _) => "cache maintenance or address translation",
                    (false, true) => "store",
                    (false, false) => "load",
                };
                write!(f, "data abort: {access}, ")?;
                abort(f, *self)
            }
            Some(Class::InstrAbortCurrentEL) => {
                f.write_str("instruction abort: ")?;
                abort(f, *self)
            }
            Some(Class::Brk64) => breakpoint_instruction(f, iss & 0xFFFF),
            Some(Class::Unknown) => {
                f.write_str("unknown reason: an instruction that is undefined, or not allowed here")
            }
            Some(class) => write!(f, "{class:?}, ISS {iss:#x}"),
            None => write!(f, "reserved exception class, ISS {iss:#x}"),
        }
    }
}

/// FSC, FnV and EA, which both kinds of abort have at the same bits.
fn abort(f: &mut fmt::Formatter<'_>, esr: Esr) -> fmt::Result {
    write!(f, "{}", Kind::from_status(esr.fault_status()))?;
    if !esr.has_address() {
        f.write_str(", FAR not valid")?;
    }
    if esr.bit(9) {
        f.write_str(", external (EA)")?;
    }
    Ok(())
}

/// The immediates that compilers use.
fn breakpoint_instruction(f: &mut fmt::Formatter<'_>, immediate: u64) -> fmt::Result {
    write!(f, "BRK #{immediate:#x}")?;
    match immediate {
        1 => f.write_str(" (the compiler's trap: an abort, or code it took for unreachable)"),
        0xF000 => f.write_str(" (a breakpoint intrinsic)"),
        _ => Ok(()),
    }
}
