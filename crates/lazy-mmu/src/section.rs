//! The interface for people: sections and pauses as closures, and what a section makes as a value that its
//! end turns into something usable.

use crate::{Cpu, Slot, TaskMmu, Unpublished};
use core::marker::PhantomData;

/// A section that is open: what a closure given to [`TaskMmu::section`] or [`TaskMmu::publish`] gets.
///
/// `'id` is the section's own: no other section has it, so what belongs to one cannot be passed off as
/// another's. A section stays on its task: it is neither `Send` nor `Sync`.
#[derive(Debug)]
pub struct Section<'a, 'id, S: Slot, C: Cpu> {
    task: &'a TaskMmu<S>,
    cpu: &'a C,
    /// Invariant in `'id`, so that no two sections unify.
    brand: PhantomData<*mut &'id ()>,
}

/// A section that is open until this is dropped. See [`TaskMmu::enter`].
#[must_use = "the section ends when this is dropped"]
#[derive(Debug)]
pub struct Entered<'a, S: Slot, C: Cpu> {
    task: &'a TaskMmu<S>,
    cpu: &'a C,
    /// Not after a bug whose report returned: then there is nothing to end.
    begun: bool,
}

impl<S: Slot, C: Cpu> Drop for Entered<'_, S, C> {
    fn drop(&mut self) {
        if self.begun {
            self.task.lazy_mmu_mode_disable(self.cpu);
        }
    }
}

/// Runs a closure when it goes out of scope, by whatever path.
pub(crate) struct OnDrop<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl<S: Slot> TaskMmu<S> {
    /// Runs `f` inside a section. It ends on every path out of `f`: by returning, by `?`, by unwinding.
    ///
    /// Warns and stops as [`lazy_mmu_mode_enable`](Self::lazy_mmu_mode_enable) and
    /// [`lazy_mmu_mode_disable`](Self::lazy_mmu_mode_disable) do, whose pair it is.
    ///
    /// ```
    /// # use lazy_mmu::{Cpu, Misuse, Policy, TaskMmu};
    /// # use core::cell::Cell;
    /// # #[derive(Default)] struct Core { pairs: Cell<u32> }
    /// # impl Cpu for Core {
    /// #     fn publish(&self) { self.pairs.set(self.pairs.get() + 1) }
    /// #     fn misuse(&self, m: Misuse) { panic!("{m}") }
    /// # }
    /// # let (task, cpu) = (TaskMmu::new(Policy::V3), Core::default());
    /// task.section(&cpu, |s| {
    ///     for _ in 0..512 {
    ///         // ...store an entry, then
    ///         s.owe();
    ///     }
    /// });
    /// assert_eq!(cpu.pairs.get(), 1);
    /// ```
    pub fn section<C: Cpu, R>(
        &self,
        cpu: &C,
        f: impl for<'id> FnOnce(&mut Section<'_, 'id, S, C>) -> R,
    ) -> R {
        let _end = self.enter(cpu);
        f(&mut Section {
            task: self,
            cpu,
            brand: PhantomData,
        })
    }

    /// Runs `f` inside a section and gives out what `f` made there, which is published by then.
    ///
    /// Warns and stops as [`section`](Self::section) does. If something is still pending when the section
    /// has ended, it is paid without a hook, so that the value is usable under every policy and after any
    /// misuse. That happens
    /// - under [`Reenter`](crate::Policy::Reenter), whose inner exits pay nothing;
    /// - in an interrupt, where what is pending is the debt of the task beneath: the pair is executed and the
    ///   debt stays noted. A handler's own stores are paid by then, so this pair is one too many, except if
    ///   the section began before the handler did, which is misuse;
    /// - after misuse such as a section that a callee has ended once too often.
    pub fn publish<C: Cpu, T>(
        &self,
        cpu: &C,
        f: impl for<'id> FnOnce(&mut Section<'_, 'id, S, C>) -> Unpublished<'id, T>,
    ) -> T {
        let value = self.section(cpu, |s| f(s).into_inner());
        self.make_usable(cpu);
        value
    }

    /// Begins a section that ends when the guard is dropped, for code whose shape a closure does not fit.
    ///
    /// A guard can be forgotten, which leaves the task in the section: reported by
    /// [`end_of_task`](Self::end_of_task). Warns and stops as [`section`](Self::section) does.
    pub fn enter<'a, C: Cpu>(&'a self, cpu: &'a C) -> Entered<'a, S, C> {
        let begun = self.enable(cpu);
        Entered {
            task: self,
            cpu,
            begun,
        }
    }
}

impl<'id, S: Slot, C: Cpu> Section<'_, 'id, S, C> {
    /// Runs `f` inside a nested section, whose end pays: [`TaskMmu::section`].
    pub fn section<R>(&mut self, f: impl for<'n> FnOnce(&mut Section<'_, 'n, S, C>) -> R) -> R {
        self.task.section(self.cpu, f)
    }

    /// Runs `f` inside a nested section and gives out what it made, published, while the section around it
    /// stays lazy: [`TaskMmu::publish`].
    pub fn publish<T>(
        &mut self,
        f: impl for<'n> FnOnce(&mut Section<'_, 'n, S, C>) -> Unpublished<'n, T>,
    ) -> T {
        self.task.publish(self.cpu, f)
    }

    /// Runs `f` with the mode paused: what is pending is paid first, and stores inside `f` pay at once, with
    /// the exception at the end. The mode is entered again on every path out of `f`.
    ///
    /// ```
    /// # use lazy_mmu::{Cpu, Slot, TaskMmu};
    /// # fn f<S: Slot>(task: &TaskMmu<S>, cpu: &impl Cpu) {
    /// task.section(cpu, |s| s.section(|s| s.pause(|| ())));
    /// # }
    /// ```
    /// The section cannot be used inside `f`, which is what of the exclusive contract can be seen from the text of `f`; the task
    /// behind it can, see below:
    ///
    /// ```compile_fail,E0500
    /// # use lazy_mmu::{Cpu, Slot, TaskMmu};
    /// # fn f<S: Slot>(task: &TaskMmu<S>, cpu: &impl Cpu) {
    /// task.section(cpu, |s| s.pause(|| s.section(|_| ())));
    /// # }
    /// ```
    /// ```compile_fail,E0500
    /// # use lazy_mmu::{Cpu, Slot, TaskMmu};
    /// # fn f<S: Slot>(task: &TaskMmu<S>, cpu: &impl Cpu) {
    /// task.section(cpu, |s| s.pause(|| s.pause(|| ())));
    /// # }
    /// ```
    ///
    /// A callee of `f`, or `f` itself if it has the task at hand, can still open a section on the task. Then, under [`V3`](crate::Policy::V3),
    /// [`Misuse::EnableWhilePaused`](crate::Misuse::EnableWhilePaused) is reported at run time; under
    /// [`Linux7`](crate::Policy::Linux7) that is allowed, and ignored.
    ///
    /// The exception: if that callee's section pauses in turn, its resume turns the mode on under
    /// [`V3`](crate::Policy::V3) and [`Reenter`](crate::Policy::Reenter), and the rest of `f` runs with it
    /// on. The former has warned twice by then ([`EnableWhilePaused`](crate::Misuse::EnableWhilePaused),
    /// [`PauseOutside`](crate::Misuse::PauseOutside)). Stores there are noted, and paid by the task's next exit
    /// (under the latter its outermost) or pause. Under [`Flat`](crate::Policy::Flat) a callee's section
    /// defers its own stores inside `f`, and its exit pays them.
    ///
    /// Warns as [`lazy_mmu_mode_pause`](TaskMmu::lazy_mmu_mode_pause) and
    /// [`lazy_mmu_mode_resume`](TaskMmu::lazy_mmu_mode_resume) do.
    pub fn pause<R>(&mut self, f: impl FnOnce() -> R) -> R {
        let (task, cpu) = (self.task, self.cpu);
        task.lazy_mmu_mode_pause(cpu);
        let _again = OnDrop(|| task.lazy_mmu_mode_resume(cpu));
        f()
    }

    /// A store that owes has been made: [`TaskMmu::owe`].
    #[inline]
    pub fn owe(&self) {
        self.task.owe(self.cpu);
    }

    /// `value` can be used once this section has ended: it depends on stores that have been made in it.
    ///
    /// It notes no debt: who made the stores has called [`owe`](Self::owe).
    #[inline]
    pub fn unpublished<T>(&self, value: T) -> Unpublished<'id, T> {
        Unpublished::new(value)
    }

    /// Pays now, with an empty nested section, and gives the value out: for the one mapping among many that
    /// is needed before the end. Under [`Flat`](crate::Policy::Flat) this ends the batch; under
    /// [`Reenter`](crate::Policy::Reenter), whose inner exits pay nothing, and in an interrupt, it pays as
    /// [`TaskMmu::publish`] does, without a hook.
    ///
    /// Warns and stops as [`TaskMmu::section`] does, which it calls: under [`V3`](crate::Policy::V3)
    /// it warns if the task is paused, and with 255 sections open it is a bug.
    pub fn settle<T>(&mut self, value: Unpublished<'id, T>) -> T {
        self.settle_all();
        value.into_inner()
    }

    /// [`settle`](Self::settle) for many at once: pays, and collects what was held back into anything that
    /// the plain values can be collected into. The collection's code runs only after the payment.
    ///
    /// ```
    /// # use lazy_mmu::*;
    /// # fn f<S: Slot>(task: &TaskMmu<S>, cpu: &impl Cpu) {
    /// let pages: Vec<usize> = task.section(cpu, |s| {
    ///     let mut held = Vec::new();
    ///     for page in 0..4 {
    ///         // ...store the entry, then
    ///         s.owe();
    ///         held.push(s.unpublished(page));
    ///     }
    ///     s.collect(held)
    /// });
    /// # }
    /// ```
    pub fn collect<T, B: FromIterator<T>>(
        &mut self,
        values: impl IntoIterator<Item = Unpublished<'id, T>>,
    ) -> B {
        self.settle_all();
        values.into_iter().map(Unpublished::into_inner).collect()
    }

    fn settle_all(&mut self) {
        self.section(|_| ());
        self.task.make_usable(self.cpu);
    }
}
