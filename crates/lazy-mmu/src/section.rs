//! The interface for people: sections and pauses as closures.

use crate::{Cpu, Slot, TaskMmu};
use core::marker::PhantomData;

/// A section that is open. See [`TaskMmu::section`].
#[derive(Debug)]
pub struct Section<'a, 'id, S: Slot, C: Cpu> {
    task: &'a TaskMmu<S>,
    cpu: &'a C,
    /// Which section: invariant, so that no two are the same. A pointer, so that it stays on its task.
    brand: PhantomData<*mut &'id ()>,
}

/// Ends what it was made for when it goes out of scope, by whatever path.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl<S: Slot> TaskMmu<S> {
    /// Runs `f` inside a section, which ends when `f` returns (or unwinds).
    pub fn section<C: Cpu, R>(
        &self,
        cpu: &C,
        f: impl for<'id> FnOnce(&mut Section<'_, 'id, S, C>) -> R,
    ) -> R {
        self.lazy_mmu_mode_enable(cpu);
        let _end = OnDrop(|| self.lazy_mmu_mode_disable(cpu));
        f(&mut Section {
            task: self,
            cpu,
            brand: PhantomData,
        })
    }
}

impl<S: Slot, C: Cpu> Section<'_, '_, S, C> {
    /// Runs `f` inside a nested section, whose end pays.
    pub fn section<R>(&mut self, f: impl for<'id> FnOnce(&mut Section<'_, 'id, S, C>) -> R) -> R {
        self.task.section(self.cpu, f)
    }

    /// Runs `f` with the mode paused.
    pub fn pause<R>(&mut self, f: impl FnOnce() -> R) -> R {
        self.task.lazy_mmu_mode_pause(self.cpu);
        let _end = OnDrop(|| self.task.lazy_mmu_mode_resume(self.cpu));
        f()
    }

    /// A store that owes has been made: [`TaskMmu::owe`].
    #[inline]
    pub fn owe(&mut self) {
        self.task.owe(self.cpu);
    }
}
