//! The fix-up table: instructions that may fault by intent, and where to go on when they do.
//!
//! [`crate::arch::probe`] and [`crate::arch::translate`] make the entries. What a fix-up finds: x0
//! holds ESR_EL1, and everything else is as it was at the instruction that faulted.

use crate::arch::{Class, Esr, TrapFrame};

/// An entry: two distances, each from its own address.
#[repr(C)]
struct Entry {
    instruction: i32,
    fixup: i32,
}

/// Where a word of an entry leads.
fn target(distance: &i32) -> u64 {
    (&raw const *distance as u64).wrapping_add_signed(i64::from(*distance))
}

fn table() -> &'static [Entry] {
    unsafe extern "C" {
        static __fixup_start: Entry;
        static __fixup_end: Entry;
    }
    let (start, end) = (&raw const __fixup_start, &raw const __fixup_end);
    let entries = (end as usize - start as usize) / size_of::<Entry>();
    // SAFETY: 1. Between the two symbols the linker collected `.fixup_table`, into which only
    // `may_fault!` puts something: pairs of words, which is what an `Entry` is, at an aligned
    // start.
    // 2. They lie in rodata: mapped and never written.
    unsafe { core::slice::from_raw_parts(start, entries) }
}

/// Sends the interrupted code to its fix-up, if it has one for what happened.
///
/// An abort of data has one where the instruction is in the table. An abort of an instruction fetch
/// is at the address that was called, so the call is what must be in the table: it is the
/// instruction before the one x30 names, and x16 holds the address it called.
pub(super) fn apply(frame: &mut TrapFrame) -> bool {
    let instruction = match Esr(frame.esr).class() {
        Some(Class::DataAbortCurrentEL) => frame.elr,
        Some(Class::InstrAbortCurrentEL | Class::PCAlignmentFault) if frame.x[16] == frame.elr => {
            frame.x[30].wrapping_sub(4)
        }
        _ => return false,
    };
    let is_its = |entry: &&Entry| target(&entry.instruction) == instruction;
    let Some(entry) = table().iter().find(is_its) else {
        return false;
    };
    frame.elr = target(&entry.fixup);
    frame.x[0] = frame.esr;
    true
}
