//! From one task to another: the registers, the stack, and the barriers that let a task move.

use core::arch::global_asm;
use core::cell::UnsafeCell;
use core::sync::atomic::Ordering::Relaxed;

use aarch64_cpu::asm::barrier as cpu;

use mmu_check::What;
use mmu_check::event::Barrier;

use super::registers;
use crate::check;
use crate::event::{self, Kind};
use crate::planted::{self, Bug};
use crate::task::{Core, Task};

/// What a task leaves behind when it does not run: the registers that a function call preserves, in
/// the order in which [`switch.s`](self) stores them. Everything else is on its stack, in the frame
/// of the interrupt or of the call that led here.
#[repr(C)]
pub struct Context(UnsafeCell<Registers>);

#[repr(C)]
struct Registers {
    /// x19 to x29.
    saved: [u64; 11],
    /// x30: where it goes on.
    lr: u64,
    /// Its stack pointer.
    sp: u64,
}

// The offsets that switch.s uses.
const _: () = assert!(size_of::<Context>() == 13 * 8);

// SAFETY: a context is written by the core that its task leaves, and read by the core that goes on with it; between the
// two lies the lock of the run queue, and a task is in the queue only after its context has been written.
unsafe impl Sync for Context {}

impl Context {
    /// Of a task that has not run.
    pub const fn new() -> Self {
        Self(UnsafeCell::new(Registers {
            saved: [0; 11],
            lr: 0,
            sp: 0,
        }))
    }

    /// Makes the task begin in `entry`, on the stack that ends at `top`. `entry` gets the task that
    /// ran before it on its core, and interrupts are masked.
    ///
    /// # Safety
    /// 1. The task does not run and is in no queue.
    /// 2. The stack is mapped, is nobody else's, and stays for as long as the task runs.
    pub unsafe fn begin(&self, entry: extern "C" fn(&'static Task) -> !, top: u64) {
        let registers = Registers {
            saved: [0; 11],
            lr: entry as *const () as u64,
            sp: top,
        };
        // SAFETY: nobody else uses the context (the caller's first point).
        unsafe { self.0.get().write(registers) };
    }
}

impl Default for Context {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(target_os = "none")]
global_asm!(include_str!("switch.s"));

/// Leaves `from`, the current task, and goes on with `to`. Returns when somebody switches back to
/// `from`, perhaps on another core, with the task that ran there before.
///
/// Two barriers belong to it, and are counted for the core: a task that is preempted may be in the
/// middle of counting one of its own.
///
/// # Safety
/// 1. Interrupts are masked, and `core` is this one.
/// 2. `to` does not run and is in no queue, its context is one that it left or began with.
/// 3. Nobody goes on with `from` before this core has left its stack: it is put into a queue only by
///    `to`.
#[unsafe(link_section = ".text.forced.switch")]
#[inline(never)]
pub unsafe fn switch(from: &'static Task, to: &'static Task, core: &'static Core) -> &'static Task {
    unsafe extern "C" {
        fn switch_context(from: *mut Registers, to: *mut Registers, task: u64, left: u64) -> u64;
    }
    if !planted::is(Bug::SwitchNoDsb) {
        complete(core);
    }
    check::tell(What::Switch { to: to.id });
    arrive(to, core);
    event::record(Kind::Switch, to.id.into(), 0, 0);
    // SAFETY: 1. The contexts are this core's alone now: points 2 and 3. 2. SP_EL0 is set to `to` with its stack, and `to`
    // is a static. 3. What the callee preserves is what a function call preserves; the rest the compiler expects to lose.
    let left = unsafe {
        switch_context(
            from.context.0.get(),
            to.context.0.get(),
            &raw const *to as u64,
            &raw const *from as u64,
        )
    };
    // SAFETY: the value is the `from` of whoever switched here: a static task's address.
    unsafe { &*(left as *const Task) }
}

/// `dsb ish`: what the task that leaves has begun on this core is complete, wherever it goes on.
///
/// After its stores to tables and its TLBIs, for all walkers and all cores. A DSB completes what its
/// own core has issued and nothing of another's: a task that is preempted between a TLBI and the DSB
/// behind it, or with a store that it owes for, would execute its own DSB on another core, where it
/// waits for nothing, and go on while a stale translation is still used or the new one not yet seen.
/// Not `ishst`: that would not wait for the TLBI, nor for loads through the old translation. It is
/// the only DSB of the switch, debt or not: to ask would cost as much as it saves.
fn complete(core: &Core) {
    cpu::dsb(cpu::ISH);
    core.interrupt_counts.dsb.add(1);
    event::record(Kind::DsbIsh, 0, 0, 0);
    check::tell(What::Dsb(Barrier::Ish));
}

/// Makes this core see what `to` relies on: its lower half, what it published elsewhere, and the end
/// of what `from` had begun.
///
/// `isb`, for this core, and always:
/// 1. The pair by which `to` (or for a new stack, its creator) published a mapping may have ended in
///    an ISB on another core. This one may have translated ahead from before.
/// 2. If `from` is stopped between a TLBI and the barriers behind it, [`complete`] has just completed
///    the TLBI *here*; the ISB that `from` still owes it will execute elsewhere.
/// 3. TTBR0 may have changed.
///
/// A preempted task returns by `eret`, which would do for it; one that yielded comes back by `ret`,
/// which synchronises nothing. It comes before the stack pointer changes: a fault on the new stack
/// would have nowhere to be reported.
fn arrive(to: &Task, core: &Core) {
    registers::install_ttbr0(to.ttbr0.load(Relaxed));
    cpu::isb(cpu::SY);
    core.interrupt_counts.isb.add(1);
    event::record(Kind::Isb, 0, 0, 0);
    check::tell(What::Isb);
}
