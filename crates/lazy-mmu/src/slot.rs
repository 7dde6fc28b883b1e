//! Where one byte of a task's state is kept.

use core::cell::Cell;
use core::sync::atomic::{AtomicU8, Ordering, compiler_fence};

/// One byte of a task's state.
///
/// The mode never needs more of its memory than a load and a store. The state belongs to one task; what
/// else may run on it is an interrupt handler *on top of* that task, which finds the bytes, and leaves
/// them, between two accesses. So there is no read-modify-write here, on purpose: on AArch64 it would be
/// an exclusive pair or an LSE atomic on a path that is paid per section.
///
/// What an implementation owes its user is *program order as an interrupt handler on the same core sees
/// it*: a handler must not find the second of two `set`s done and the first not. Across cores nothing is
/// owed; the scheduler that moves a task already orders all of the task's memory.
///
/// The crate's tests implement it with a yield point of a scheduler, which is how every interleaving
/// inside the four calls is visited.
pub trait Slot {
    /// A slot that holds `v`.
    fn new(v: u8) -> Self
    where
        Self: Sized;

    /// What the slot holds.
    fn get(&self) -> u8;

    /// Makes the slot hold `v`.
    fn set(&self, v: u8);
}

/// For kernels: a relaxed load and a relaxed store, plain `ldrb` and `strb`.
///
/// Relaxed alone would let the compiler exchange accesses to different slots (the machine may, too, but a
/// handler on the same core cannot see the difference). Compiler fences, which are no instructions, forbid it: one after
/// each load, one on each side of a store, so that there is one between any two accesses, and between the
/// page-table store before and the note of its debt.
impl Slot for AtomicU8 {
    #[inline]
    fn new(v: u8) -> Self {
        AtomicU8::new(v)
    }

    #[inline]
    fn get(&self) -> u8 {
        let v = self.load(Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        v
    }

    #[inline]
    fn set(&self, v: u8) {
        compiler_fence(Ordering::SeqCst);
        self.store(v, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
    }
}

/// For a host, with [`TaskMmu::hosted`](crate::TaskMmu::hosted) alone: not `Sync`, so neither a `static` nor an interrupt
/// handler can have such a task.
impl Slot for Cell<u8> {
    #[inline]
    fn new(v: u8) -> Self {
        Cell::new(v)
    }

    #[inline]
    fn get(&self) -> u8 {
        Cell::get(self)
    }

    #[inline]
    fn set(&self, v: u8) {
        Cell::set(self, v);
    }
}
