//! From one task to another: the barriers that let a task move.

use mmu_check::What;
use stage1_hw::{Barrier, Instructions, Op, Why};

use crate::arch::switch::switch_context;
use crate::mem::ttbr0;
use crate::observe::{self, seam::HW};
use crate::task::Task;

/// Leaves `from`, the current task, and goes on with `to`. Returns when somebody switches back to
/// `from`, perhaps on another core, with the task that ran there before.
///
/// Two barriers belong to it, and are counted for the core: a task that is preempted may be in the
/// middle of counting one of its own.
///
/// `dsb ish`: what the task that leaves has begun on this core is complete, wherever it goes on. After
/// its stores to tables and its TLBIs, for all walkers and all cores. A DSB completes what its own core
/// has issued and nothing of another's: a task that is preempted between a TLBI and the DSB behind it,
/// or with a store that it owes for, would execute its own DSB on another core, where it waits for
/// nothing, and go on while a stale translation is still used or the new one not yet seen. Not `ishst`:
/// that would not wait for the TLBI, nor for loads through the old translation. It is the only DSB of
/// the switch, debt or not: to test for one would cost as much as it saves.
///
/// `isb`: this core sees what `to` relies on, and always:
/// 1. The pair by which `to` (or for a new stack, its creator) published a mapping may have ended in
///    an ISB on another core. This one may have translated ahead from before.
/// 2. If `from` is stopped between a TLBI and the barriers behind it, the DSB has just completed the
///    TLBI *here*; the ISB that `from` still owes it will execute elsewhere.
/// 3. TTBR0 may have changed.
///
/// A preempted task returns by `eret`, which would do for it; one that yielded comes back by `ret`,
/// which synchronises nothing. The ISB comes before the stack pointer changes: a fault on the new stack
/// would have nowhere to be reported.
///
/// # Safety
/// 1. Interrupts are masked.
/// 2. `to` does not run and is in no queue, its context is one that it left or began with.
/// 3. Nobody goes on with `from` before this core has left its stack: it is put into a queue only by
///    `to`.
#[unsafe(link_section = ".text.forced.switch")]
#[inline(never)]
pub(super) unsafe fn switch(from: &'static Task, to: &'static Task) -> &'static Task {
    HW.execute(Op::Dsb(Barrier::Ish), Why::Switch);
    observe::report(|| What::Switch { to: to.id });
    ttbr0::install(to);
    HW.execute(Op::Isb, Why::Switch);
    let (to_address, from_address) = (&raw const *to as u64, &raw const *from as u64);
    // SAFETY: 1. The contexts are this core's alone now: points 2 and 3. 2. SP_EL0 is set to `to` with
    // its stack, and `to` is a static.
    let left = unsafe { switch_context(&from.context, &to.context, to_address, from_address) };
    // SAFETY: the value is the `from` of whoever switched here: a static task's address.
    unsafe { &*(left as *const Task) }
}
