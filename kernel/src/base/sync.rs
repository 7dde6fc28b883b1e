//! The one lock of this kernel: a spinlock that masks interrupts while it is held.
//!
//! An interrupt handler may allocate a frame, so the locks it takes must never be held by the code
//! it interrupted. They are held for the length of one operation on a data structure, never across
//! a lazy-MMU section: sections stay preemptible.

use core::ops::{Deref, DerefMut};

use spin::relax::RelaxStrategy;

use crate::arch::registers;

/// Waits with `yield`. spin's own strategy is `core::hint::spin_loop`, an ISB on this architecture:
/// see [`registers::yield_now`].
pub struct Yield;

impl RelaxStrategy for Yield {
    fn relax() {
        registers::yield_now();
    }
}

/// A value behind a spinlock.
pub struct Lock<T>(spin::mutex::SpinMutex<T, Yield>);

impl<T> Lock<T> {
    /// Wraps the value.
    pub const fn new(value: T) -> Self {
        Self(spin::mutex::SpinMutex::new(value))
    }

    /// Masks interrupts, then takes the lock. In this order: the other way round an interrupt in
    /// between would find it taken by the code it interrupted, for ever.
    pub fn lock(&self) -> Guard<'_, T> {
        let mask = Masked(registers::mask_interrupts());
        Guard {
            value: self.0.lock(),
            _mask: mask,
        }
    }

    /// Takes the lock for a report of last resort, from code that may have been interrupted while
    /// holding it.
    ///
    /// If it is taken, it is broken open: the kernel is about to stop, and the holder will not go
    /// on.
    ///
    /// # Safety
    /// Nothing that held the lock runs again.
    pub(crate) unsafe fn seize(&self) -> Guard<'_, T> {
        let mask = Masked(registers::mask_interrupts());
        if self.0.is_locked() {
            // SAFETY: the caller's promise.
            unsafe { self.0.force_unlock() };
        }
        Guard {
            value: self.0.lock(),
            _mask: mask,
        }
    }
}

/// Access to the value; dropping it gives the lock back and then the interrupt mask.
pub struct Guard<'a, T> {
    // Fields drop in this order.
    value: spin::mutex::SpinMutexGuard<'a, T, Yield>,
    _mask: Masked,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

/// The interrupt mask as it was, which it gives back.
struct Masked(u64);

impl Drop for Masked {
    fn drop(&mut self) {
        registers::restore_interrupts(self.0);
    }
}
