//! From one task to another: the registers and the stack. The barriers are the scheduler's.

use core::arch::global_asm;
use core::cell::UnsafeCell;

/// What a task leaves behind when it does not run: the registers that a function call preserves, in
/// the order in which [`switch.s`](self) stores them. Everything else is on its stack, in the frame
/// of the interrupt or of the call that led here.
#[repr(C)]
pub(crate) struct Context(UnsafeCell<Registers>);

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

    /// Makes the task begin in `entry`, on the stack that ends at `top`. `entry` gets what
    /// [`switch_context`] was given as `left`, and interrupts are masked.
    ///
    /// # Safety
    /// 1. The task does not run and is in no queue.
    /// 2. The stack is mapped, is nobody else's, and stays for as long as the task runs.
    /// 3. A reference to a `T` that lives for ever is what every switch to it passes as `left`.
    pub(crate) unsafe fn begin<T>(&self, entry: extern "C" fn(&'static T) -> !, top: u64) {
        let registers = Registers {
            saved: [0; 11],
            lr: entry as *const () as u64,
            sp: top,
        };
        // SAFETY: nobody else uses the context (the caller's first point).
        unsafe { self.0.get().write(registers) };
    }
}

global_asm!(include_str!("switch.s"));

/// Saves the registers in `from` and goes on with those in `to`. Returns when somebody goes on with
/// `from`, with the `left` that was passed there. SP_EL0, the current task, becomes `task` together
/// with the stack.
///
/// No barrier: those are the caller's.
///
/// # Safety
/// 1. Interrupts are masked, and nobody else uses either context.
/// 2. `to` was left by a switch, or begun.
/// 3. `task` is the record that belongs to `to`, and `left` is what its code expects.
#[inline(always)]
pub(crate) unsafe fn switch_context(from: &Context, to: &Context, task: u64, left: u64) -> u64 {
    unsafe extern "C" {
        fn switch_context(from: *mut Registers, to: *mut Registers, task: u64, left: u64) -> u64;
    }
    // SAFETY: the caller's points. What the callee preserves is what a function call preserves; the
    // rest the compiler expects to lose.
    unsafe { switch_context(from.0.get(), to.0.get(), task, left) }
}
