//! ESR_EL1 in words (Arm ARM, ESR_EL1: exception classes and ISS encodings).
//!
//! Pure functions of the register's value. Exception classes that are only ever reported to EL2 or
//! EL3 are not listed, except HVC and SMC: to see one of them at EL1 says much about the machine.

use core::fmt;

use super::fault::Kind;

/// A value of ESR_EL1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Esr(pub u64);

impl Esr {
    /// EC: instruction abort from EL1.
    pub const INSTRUCTION_ABORT: u8 = 0x21;
    /// EC: misaligned PC.
    pub const PC_ALIGNMENT: u8 = 0x22;
    /// EC: hardware breakpoint at EL1.
    pub const BREAKPOINT: u8 = 0x31;
    /// EC: data abort from EL1.
    pub const DATA_ABORT: u8 = 0x25;

    const INSTRUCTION_ABORT_EL0: u8 = 0x20;
    const DATA_ABORT_EL0: u8 = 0x24;
    const SERROR: u8 = 0x2F;

    /// EC: the exception class.
    pub const fn class(self) -> u8 {
        (self.0 >> 26 & 0x3F) as u8
    }

    /// ISS: what the class adds.
    pub const fn iss(self) -> u64 {
        self.0 & 0x1FF_FFFF
    }

    /// DFSC or IFSC of an abort.
    pub const fn fault_status(self) -> u8 {
        (self.0 & 0x3F) as u8
    }

    /// FAR_EL1 holds an address of this exception: it is an abort, a misaligned PC or a watchpoint.
    /// Only a synchronous external abort that is not on a walk may say that FAR is not valid
    /// (FnV).
    pub const fn has_address(self) -> bool {
        match self.class() {
            Self::DATA_ABORT
            | Self::DATA_ABORT_EL0
            | Self::INSTRUCTION_ABORT
            | Self::INSTRUCTION_ABORT_EL0 => !(self.bit(10) && self.fault_status() == 0b01_0000),
            Self::PC_ALIGNMENT | 0x34 | 0x35 => true,
            _ => false,
        }
    }

    /// A data abort of a store. Cache maintenance and AT report WnR too, and store nothing (CM).
    pub const fn is_store(self) -> bool {
        matches!(self.class(), Self::DATA_ABORT | Self::DATA_ABORT_EL0)
            && self.bit(6)
            && !self.bit(8)
    }

    const fn bit(self, n: u32) -> bool {
        self.0 >> n & 1 != 0
    }

    const fn field(self, low: u32, bits: u32) -> u64 {
        self.0 >> low & ((1 << bits) - 1)
    }
}

impl fmt::Display for Esr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(class_words(self.class()))?;
        match self.class() {
            Self::DATA_ABORT | Self::DATA_ABORT_EL0 => data_abort(f, *self),
            Self::INSTRUCTION_ABORT | Self::INSTRUCTION_ABORT_EL0 => instruction_abort(f, *self),
            Self::SERROR => serror(f, *self),
            0x01 => write!(
                f,
                ": {}",
                ["WFI", "WFE", "WFIT", "WFET"][(self.0 & 3) as usize]
            ),
            0x0D => write!(f, ": BTYPE {}", self.field(0, 2)),
            0x11 | 0x15 | 0x16 | 0x17 => write!(f, " #{:#x}", self.field(0, 16)),
            0x18 => system_register(f, *self),
            0x1C => pointer_authentication(f, *self),
            0x33 | 0x32 if self.bit(24) && self.bit(6) => f.write_str(" of a load-exclusive"),
            0x34 | 0x35 => f.write_str(if self.bit(6) { ": store" } else { ": load" }),
            0x3C => breakpoint_instruction(f, self.field(0, 16)),
            _ if self.iss() != 0 => write!(f, ", ISS {:#x}", self.iss()),
            _ => Ok(()),
        }
    }
}

fn class_words(class: u8) -> &'static str {
    match class {
        0x00 => "unknown reason: an instruction that is undefined, or not allowed here",
        0x01 => "trapped wait",
        0x03 => "trapped MCR or MRC (coproc 0b1111)",
        0x04 => "trapped MCRR or MRRC (coproc 0b1111)",
        0x05 => "trapped MCR or MRC (coproc 0b1110)",
        0x06 => "trapped LDC or STC",
        0x07 => "trapped access to SVE, SIMD or floating point (CPACR_EL1)",
        0x0A => "trapped instruction: LD64B, ST64B or another without a class of its own",
        0x0C => "trapped MRRC (coproc 0b1110)",
        0x0D => "branch target exception (BTI)",
        0x0E => "illegal execution state (SPSR.IL)",
        0x11 => "SVC in AArch32",
        0x14 => "trapped MSRR, MRRS or 128-bit system instruction",
        0x15 => "SVC",
        0x16 => "HVC, which should not be seen at EL1:",
        0x17 => "SMC, which should not be seen at EL1:",
        0x18 => "trapped system register access or system instruction",
        0x19 => "trapped access to SVE",
        0x1B => "trapped TSTART",
        0x1C => "pointer authentication failure",
        0x1D => "trapped access to SME",
        0x20 => "instruction abort from EL0",
        0x21 => "instruction abort from EL1",
        0x22 => "PC alignment fault",
        0x24 => "data abort from EL0",
        0x25 => "data abort from EL1",
        0x26 => "SP alignment fault",
        0x27 => "memory copy or set exception",
        0x28 => "trapped floating-point exception in AArch32",
        0x2C => "trapped floating-point exception",
        0x2D => "guarded control stack exception",
        0x2F => "SError",
        0x30 => "breakpoint from EL0",
        0x31 => "breakpoint from EL1",
        0x32 => "software step from EL0",
        0x33 => "software step from EL1",
        0x34 => "watchpoint from EL0",
        0x35 => "watchpoint from EL1",
        0x38 => "BKPT in AArch32",
        0x3C => "BRK",
        0x3D => "profiling exception",
        _ => "reserved exception class",
    }
}

fn data_abort(f: &mut fmt::Formatter<'_>, esr: Esr) -> fmt::Result {
    let access = match (esr.bit(8), esr.bit(6)) {
        (true, _) => "cache maintenance or address translation",
        (false, true) => "store",
        (false, false) => "load",
    };
    write!(f, ": {access}, {}", Kind::from_status(esr.fault_status()))?;
    abort_details(f, esr)
}

fn instruction_abort(f: &mut fmt::Formatter<'_>, esr: Esr) -> fmt::Result {
    write!(f, ": {}", Kind::from_status(esr.fault_status()))?;
    abort_details(f, esr)
}

/// S1PTW, FnV and EA, which both kinds of abort have at the same bits.
fn abort_details(f: &mut fmt::Formatter<'_>, esr: Esr) -> fmt::Result {
    if esr.bit(7) {
        f.write_str(", of stage 2 in a walk of stage 1")?;
    }
    if !esr.has_address() {
        f.write_str(", FAR not valid")?;
    }
    if esr.bit(9) {
        f.write_str(", external (EA)")?;
    }
    Ok(())
}

/// Op0, Op1, CRn, CRm, Op2 and Rt of a trapped MRS, MSR or SYS.
fn system_register(f: &mut fmt::Formatter<'_>, esr: Esr) -> fmt::Result {
    let [op0, op2, op1, crn, rt, crm] = [(20, 2), (17, 3), (14, 3), (10, 4), (5, 5), (1, 4)]
        .map(|(low, bits)| esr.field(low, bits));
    let name = format_args!("S{op0}_{op1}_C{crn}_C{crm}_{op2}");
    if esr.bit(0) {
        write!(f, ": mrs x{rt}, {name}")
    } else {
        write!(f, ": msr {name}, x{rt}")
    }
}

/// ISS of a PAC failure: bit 1 instruction or data key, bit 0 A or B.
fn pointer_authentication(f: &mut fmt::Formatter<'_>, esr: Esr) -> fmt::Result {
    let kind = if esr.bit(1) { "data" } else { "instruction" };
    let key = if esr.bit(0) { 'B' } else { 'A' };
    write!(f, ": {kind} key {key}")
}

fn serror(f: &mut fmt::Formatter<'_>, esr: Esr) -> fmt::Result {
    if esr.bit(24) {
        return write!(
            f,
            ": IMPLEMENTATION DEFINED syndrome {:#x}",
            esr.field(0, 24)
        );
    }
    if esr.fault_status() != 0b01_0001 {
        return f.write_str(": uncategorized");
    }
    f.write_str(match esr.field(10, 3) {
        0b000 => ": uncontainable",
        0b001 => ": unrecoverable",
        0b010 => ": restartable",
        0b011 => ": recoverable",
        0b110 => ": corrected",
        _ => ": reserved severity",
    })
}

/// The immediates that compilers use.
fn breakpoint_instruction(f: &mut fmt::Formatter<'_>, immediate: u64) -> fmt::Result {
    write!(f, " #{immediate:#x}")?;
    match immediate {
        1 => f.write_str(" (the compiler's trap: an abort, or code it took for unreachable)"),
        0xF000 => f.write_str(" (a breakpoint intrinsic)"),
        _ => Ok(()),
    }
}
