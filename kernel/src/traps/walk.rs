//! The walk of an address for the exception report: every descriptor on the way, raw and in words.
//!
//! Deliberately not made with the code that builds the tables, which may be what failed: this
//! decodes for itself, and reads so that no descriptor, however wrong, can fault the report.

use core::fmt::{self, Write};

use aarch64_cpu::registers::{TTBR0_EL1, TTBR1_EL1};
use stage1_hw::Plain;
use stage1_paging::{Pa, Va};
use tock_registers::interfaces::Readable;

use crate::arch::{probe, translate};
use crate::base::layout;

/// Physical addresses of tables and pages in a descriptor or TTBR: bits 47..12.
const ADDRESS: u64 = 0x0000_FFFF_FFFF_F000;

/// Writes the walk of `va` through TTBR0 or TTBR1.
pub(super) fn write(out: &mut impl Write, va: Va) -> fmt::Result {
    let address = va.raw();
    // Bit 55 chooses the half; with 48 bits on both sides and no tags, all above bit 47 must be
    // like it.
    let upper = address >> 55 & 1 != 0;
    let (name, root) = if upper {
        ("TTBR1", TTBR1_EL1.get())
    } else {
        ("TTBR0", TTBR0_EL1.get())
    };
    writeln!(
        out,
        "walk of {address:016x} through {name}_EL1 = {root:016x} (ASID {})",
        root >> 48
    )?;
    if address >> 48 != if upper { 0xFFFF } else { 0 } {
        return writeln!(
            out,
            "  no walk: the address is in neither half (bits 63..48)"
        );
    }
    let mut table = root & ADDRESS & !1;
    for level in 0..=3 {
        let index = address >> (39 - 9 * level) & 0x1FF;
        let slot = table + 8 * index;
        write!(out, "  level {level} [{index:3}] at {slot:#012x}: ")?;
        let Some(raw) = read(slot) else {
            return writeln!(out, "not readable: the linear map has nothing there");
        };
        let descriptor = Descriptor { raw, level };
        writeln!(out, "{raw:016x} {descriptor}")?;
        match descriptor.kind() {
            Kind::Table => table = raw & ADDRESS,
            _ => return Ok(()),
        }
    }
    Ok(())
}

/// The word at physical address `slot`, if the linear map has it.
///
/// The MMU is asked first: it answers without an exception where a load would take one, so the
/// probe's fix-up is only needed for memory that is mapped and not there.
fn read(slot: u64) -> Option<u64> {
    let va = layout::linear(Pa::new(slot)?);
    translate::read(Plain, va).ok()?;
    probe::read_u64(va).ok()
}

/// A descriptor with what it depends on: its level.
#[derive(Clone, Copy)]
struct Descriptor {
    raw: u64,
    level: u64,
}

#[derive(PartialEq, Eq)]
enum Kind {
    Invalid,
    Reserved,
    Table,
    Block,
    Page,
}

impl Descriptor {
    /// Bits 1..0 (Arm ARM, VMSAv8-64 descriptor formats, 4 KiB granule, 48-bit).
    fn kind(self) -> Kind {
        match (self.raw & 3, self.level) {
            (0b11, 3) => Kind::Page,
            (0b11, _) => Kind::Table,
            (0b01, 1 | 2) => Kind::Block,
            (0b01, _) => Kind::Reserved,
            _ => Kind::Invalid,
        }
    }

    fn bit(self, n: u32) -> bool {
        self.raw >> n & 1 != 0
    }
}

impl fmt::Display for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            Kind::Invalid if self.raw == 0 => f.write_str("invalid (zero)"),
            Kind::Invalid => f.write_str("invalid, the other bits are software's"),
            Kind::Reserved => f.write_str("reserved encoding: taken for invalid"),
            Kind::Table => table(f, *self),
            Kind::Block => leaf(f, *self, "block"),
            Kind::Page => leaf(f, *self, "page"),
        }
    }
}

/// A table: its address, and the limits it puts on all below.
fn table(f: &mut fmt::Formatter<'_>, descriptor: Descriptor) -> fmt::Result {
    write!(f, "table at {:#x}", descriptor.raw & ADDRESS)?;
    for (bit, words) in [
        (62, "read-only below"),
        (61, "not for EL0 below"),
        (60, "UXN below"),
        (59, "PXN below"),
    ] {
        if descriptor.bit(bit) {
            write!(f, ", {words}")?;
        }
    }
    Ok(())
}

/// A block or a page: output address, permissions, attributes.
fn leaf(f: &mut fmt::Formatter<'_>, descriptor: Descriptor, what: &str) -> fmt::Result {
    const SHAREABILITY: [&str; 4] = [
        "non-shareable",
        "reserved SH",
        "outer shareable",
        "inner shareable",
    ];
    let raw = descriptor.raw;
    let offset = (1_u64 << (39 - 9 * descriptor.level)) - 1;
    write!(f, "{what} at {:#x}", raw & ADDRESS & !offset)?;
    let access = match (descriptor.bit(7), descriptor.bit(6)) {
        (false, false) => "read-write",
        (true, false) => "read-only",
        (false, true) => "read-write for EL0 too",
        (true, true) => "read-only for EL0 too",
    };
    // EL1 never executes what EL0 may write.
    let executable = !descriptor.bit(53) && raw >> 6 & 3 != 0b01;
    write!(
        f,
        ", {access}, {}",
        if executable {
            "executable"
        } else {
            "not executable"
        }
    )?;
    write!(
        f,
        " (AP {:02b} PXN {} UXN {})",
        raw >> 6 & 3,
        raw >> 53 & 1,
        raw >> 54 & 1
    )?;
    write!(
        f,
        ", AF {}, {}",
        raw >> 10 & 1,
        if descriptor.bit(11) { "nG" } else { "global" }
    )?;
    write!(
        f,
        ", {}, AttrIndx {}",
        SHAREABILITY[(raw >> 8 & 3) as usize],
        raw >> 2 & 7
    )?;
    for (bit, words) in [(51, "DBM"), (52, "contiguous")] {
        if descriptor.bit(bit) {
            write!(f, ", {words}")?;
        }
    }
    Ok(())
}
