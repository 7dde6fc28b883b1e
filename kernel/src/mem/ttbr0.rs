//! TTBR0_EL1: which task's lower half a core has.
//!
//! A core never keeps a lower half that is not its task's: so no core has a space's tables once its
//! task has left it.

use core::sync::atomic::Ordering::Relaxed;

use stage1_hw::{Instructions, Op, Why, read_ttbr0, ttbr};
use stage1_paging::Asid;

use super::{Table, hardware};
use crate::arch::registers;
use crate::observe::seam::HW;
use crate::task::{self, Task};

/// Gives the current task a lower half. No invalidation: the ASID keeps translations of different
/// tables apart.
///
/// # Safety
/// `root` belongs to the address space that `asid` was given to, its stores are visible to walkers,
/// and it lives until the task leaves it by [`clear`].
pub(super) unsafe fn set(root: Table, asid: Asid) {
    // SAFETY: the caller's promise; no Rust object lies in a lower half.
    unsafe { change(ttbr(hardware().address(root), asid)) };
}

/// Leaves the current task's lower half empty, with ASID 0.
pub fn clear() {
    // SAFETY: the empty table.
    unsafe { change(0) };
}

/// The task's word and this core's register, with interrupts masked: a switch in between would install
/// the one on another core, and report it of the wrong core.
///
/// # Safety
/// As [`set`], of a task's value that is not 0.
unsafe fn change(of_task: u64) {
    registers::without_interrupts(|| {
        let task = task::current();
        task.ttbr0.store(of_task, Relaxed);
        install(&task);
        HW.execute(Op::Isb, Why::Ttbr0);
    });
}

/// Makes a task's lower half this core's, where it is not. The caller owes an ISB.
///
/// For the switch, and for [`change`].
pub(crate) fn install(task: &Task) {
    let value = match task.ttbr0.load(Relaxed) {
        0 => lazy_mmu_boot::empty_table(),
        own => own,
    };
    if read_ttbr0() != value {
        // SAFETY: 1. The empty table, or what `set`'s caller vouched for until `clear`. 2. An ASID is
        // given to a new space only after its invalidation; the empty table, with ASID 0, makes no
        // translation. 3. Rust objects lie in the upper half.
        unsafe { HW.write_ttbr0(value) };
    }
}
