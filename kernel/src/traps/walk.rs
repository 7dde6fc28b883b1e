//! The walk of an address for the exception report: every descriptor on the way, raw and in words.
//!
//! Deliberately not made by the space's own walk, which trusts the tables: this one trusts TTBR alone, and reads so that no
//! descriptor, however wrong, can fault the report. The words are [`Desc`]'s; the raw value stands beside them.

use core::fmt::{self, Write};

use aarch64_cpu::registers::{TTBR0_EL1, TTBR1_EL1};
use stage1_hw::Plain;
use stage1_paging::{Desc, Level, Pa, Va};
use tock_registers::interfaces::Readable;

use crate::arch::{probe, translate};
use crate::base::layout;

/// Writes the walk of `va` through TTBR0 or TTBR1.
pub(super) fn write(out: &mut impl Write, va: Va) -> fmt::Result {
    let address = va.raw();
    // Bit 55 chooses the half; with 48 bits on both sides and no tags, all above bit 47 must be
    // like it.
    let (name, root) = if address >> 55 & 1 != 0 {
        ("TTBR1", TTBR1_EL1.get())
    } else {
        ("TTBR0", TTBR0_EL1.get())
    };
    writeln!(
        out,
        "walk of {address:016x} through {name}_EL1 = {root:016x} (ASID {})",
        root >> 48
    )?;
    if va.in_upper_half().is_none() {
        return writeln!(
            out,
            "  no walk: the address is in neither half (bits 63..48)"
        );
    }
    // The address of a table is where a descriptor has it.
    let mut table = Desc::from_bits(root).frame(Level::L3);
    for level in Level::ALL {
        let index = level.index(va);
        let slot = table.pa().raw() + 8 * index as u64;
        write!(out, "  {level:?} [{index:3}] at {slot:#012x}: ")?;
        let Some(desc) = read(slot) else {
            return writeln!(out, "not readable: the linear map has nothing there");
        };
        writeln!(out, "{:016x} {}", desc.bits(), desc.at(level))?;
        match desc.next_table(level) {
            Some(next) => table = next,
            None => break,
        }
    }
    Ok(())
}

/// The descriptor at physical address `slot`, if the linear map has it.
///
/// AT comes first: it answers without an exception where a load would take one, so the
/// probe's fix-up is only needed for memory that is mapped and not there.
fn read(slot: u64) -> Option<Desc> {
    let va = layout::linear(Pa::new(slot)?);
    translate::read(Plain, va).ok()?;
    probe::read_u64(va).ok().map(Desc::from_bits)
}
