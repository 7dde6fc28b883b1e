//! TTBR0_EL1: which task's lower half a core has.
//!
//! A core never keeps a lower half that is not its task's: so no core has a space's tables once its
//! task has left it.

use stage1_hw::{Instructions, Op, Why, read_ttbr0, ttbr};
use stage1_paging::{Asid, Frame, Half, Mmu, Pa, Space};

use super::{Hardware, Table, kernel_space};
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
    unsafe { change(ttbr(kernel_space().mmu().address(root), asid)) };
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
        // SAFETY: the caller's promise.
        unsafe { task.ttbr0.set(of_task) };
        install(&task);
        HW.execute(Op::Isb, Why::Ttbr0);
    });
}

/// Makes a task's lower half this core's, where it is not. The caller owes an ISB.
///
/// For the switch, and for [`change`].
///
/// # Panics
/// Where interrupts are not masked: an interrupt in between could move this to another core.
pub(crate) fn install(task: &Task) {
    assert!(
        registers::interrupts_masked(),
        "TTBR0 is written where an interrupt could move the task"
    );
    let value = match task.ttbr0.get() {
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

/// The space that this core's TTBR0 has, to look at; it stays as it is while the current task is in this call.
pub(super) fn space() -> Option<Space<'static, Hardware>> {
    let value = read_ttbr0();
    let root = Frame::new(Pa::new(value & ((1 << 48) - 1))?)?;
    // The empty table has ASID 0. It lies in the image, which the linear map has too.
    let half = Half::Lower(Asid((value >> 48) as u16));
    let hardware = kernel_space().mmu();
    Some(Space::new(hardware, hardware.child(root), half))
}
