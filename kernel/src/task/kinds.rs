//! The kinds of barriers and TLBIs that are counted apart: an instruction with its domain and type, or its operation.
//!
//! Totals do not show a barrier that is too weak, or a TLBI that stays on its core. The plugin sees the encoding of what was executed;
//! the kernel counts what it meant to execute, and every kind must agree.

use core::ops::Range;

use stage1_hw::Op;
use stage1_paging::Tlbi;

/// How many kinds there are. `report/windows.rs` has their names.
pub const KINDS: usize = 22;

/// The DSBs among them.
pub const DSBS: Range<usize> = 0..5;
/// The DMBs.
pub const DMBS: Range<usize> = 5..10;
/// The ISBs.
pub const ISBS: Range<usize> = 10..11;
/// The TLBIs.
pub const TLBIS: Range<usize> = 11..KINDS;

/// Which of them an instruction is. A constant for one that is known where this is inlined.
#[inline(always)]
pub fn of(op: Op) -> usize {
    match op {
        Op::Dsb(barrier) => DSBS.start + barrier as usize,
        Op::Dmb(barrier) => DMBS.start + barrier as usize,
        Op::Isb => ISBS.start,
        Op::Tlbi(batch) => TLBIS.start + of_tlbi(batch.first),
        Op::TlbiAllLocal => KINDS - 1,
    }
}

#[inline(always)]
fn of_tlbi(tlbi: Tlbi) -> usize {
    match tlbi {
        Tlbi::Vae1is(_) => 0,
        Tlbi::Vale1is(_) => 1,
        Tlbi::Vaae1is(_) => 2,
        Tlbi::Vaale1is(_) => 3,
        Tlbi::Rvae1is(_) => 4,
        Tlbi::Rvale1is(_) => 5,
        Tlbi::Rvaae1is(_) => 6,
        Tlbi::Rvaale1is(_) => 7,
        Tlbi::Aside1is(_) => 8,
        Tlbi::Vmalle1is => 9,
    }
}
