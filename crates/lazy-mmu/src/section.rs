//! The interface for people: sections and pauses as closures, and what a section makes as a value that its
//! end turns into something usable.

use crate::contract::rules::Level;
use crate::{Call, Contract, Cpu, Slot, TaskMmu, Unpublished};
use core::marker::PhantomData;

/// A task's mode, whatever its contract, processor and slots: every [`TaskMmu`], and nothing else.
///
/// Code that works under any contract is generic over it: `fn map<'id>(section: &Section<'_, 'id, impl LazyMmu>)`.
pub trait LazyMmu: of_a_task::Mode {}

impl<K: Contract, C: Cpu, S: Slot> LazyMmu for TaskMmu<K, C, S> {}

mod of_a_task {
    use super::{Contract, Cpu, Slot, TaskMmu};

    /// What sections are made of.
    pub trait Mode {
        type Contract: Contract;
        type Cpu: Cpu;
        type Slot: Slot;

        fn task(&self) -> &TaskMmu<Self::Contract, Self::Cpu, Self::Slot>;
    }

    impl<K: Contract, C: Cpu, S: Slot> Mode for TaskMmu<K, C, S> {
        type Contract = K;
        type Cpu = C;
        type Slot = S;

        #[inline]
        fn task(&self) -> &TaskMmu<K, C, S> {
            self
        }
    }
}

/// A section that is open: what a closure given to [`TaskMmu::section`] or [`TaskMmu::publish`] gets.
///
/// `M` is the kernel's name for its tasks' [`TaskMmu`]. `'id` is the section's own: no other section has it, so what
/// belongs to one cannot be passed off as another's. A section stays on its task: it is neither `Send` nor `Sync`.
#[derive(Debug)]
pub struct Section<'a, 'id, M: LazyMmu> {
    task: &'a M,
    /// Invariant in `'id`, so that no two sections unify.
    brand: PhantomData<*mut &'id ()>,
}

/// A section that is open until this is dropped. See [`TaskMmu::enter`].
///
/// Its drop ends the section and pays, on the core on which its task runs: it cannot be sent to another thread. It belongs
/// where it was made: on the same side of each interrupt handler, under [`Linux7`](crate::Linux7) of each pause too, and
/// before the task's end. Dropped elsewhere it is [reported](crate::Misuse::GuardOutOfPlace); its level ends all the same,
/// and no other does. Not noticed is one that a handler has made and a later handler drops.
///
/// ```compile_fail,E0277
/// # use lazy_mmu::*;
/// # struct ThisCpu;
/// # impl Cpu for ThisCpu { fn publish(&self) {} fn misuse(&self, _: Misuse) {} }
/// # fn sent<T: Send>(_: T) {}
/// # fn f(task: &TaskMmu<V3, ThisCpu>) {
/// sent(task.enter());
/// # }
/// ```
/// ```
/// # use lazy_mmu::*;
/// # struct ThisCpu;
/// # impl Cpu for ThisCpu { fn publish(&self) {} fn misuse(&self, _: Misuse) {} }
/// # fn sent<T: Send>(_: T) {}
/// # fn f(task: &TaskMmu<V3, ThisCpu>) {
/// let _guard = task.enter();
/// sent(task);
/// # }
/// ```
#[must_use = "the section ends when this is dropped"]
#[derive(Debug)]
pub struct Entered<'a, M: LazyMmu> {
    task: &'a M,
    level: Level,
    /// Of this task alone.
    stays: PhantomData<*mut ()>,
}

impl<M: LazyMmu> Drop for Entered<'_, M> {
    #[inline]
    fn drop(&mut self) {
        self.task.task().end(self.level);
    }
}

/// Runs a closure when it goes out of scope, by whatever path.
pub(crate) struct OnDrop<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for OnDrop<F> {
    #[inline]
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Runs `work`; if that unwinds, `undo` after it.
#[inline]
pub(crate) fn or_undo(work: impl FnOnce(), undo: impl FnMut()) {
    let undo = OnDrop(undo);
    work();
    core::mem::forget(undo);
}

#[inline]
fn enter<M: LazyMmu>(task: &M) -> Entered<'_, M> {
    let entered = Entered {
        level: task.task().begin(),
        task,
        stays: PhantomData,
    };
    // With the guard there: if this unwinds, the section ends.
    task.task().called(Call::Enable);
    entered
}

#[inline]
fn section<M: LazyMmu, R>(task: &M, f: impl for<'id> FnOnce(&mut Section<'_, 'id, M>) -> R) -> R {
    let _end = enter(task);
    f(&mut Section {
        task,
        brand: PhantomData,
    })
}

fn publish<M: LazyMmu, T>(
    task: &M,
    f: impl for<'id> FnOnce(&mut Section<'_, 'id, M>) -> Unpublished<'id, T>,
) -> T {
    let value = section(task, |s| f(s).into_inner());
    task.task().make_usable();
    value
}

fn try_publish<M: LazyMmu, T, E>(
    task: &M,
    f: impl for<'id> FnOnce(&mut Section<'_, 'id, M>) -> Result<Unpublished<'id, T>, E>,
) -> Result<T, E> {
    publish(task, |s| f(s).into())
}

impl<K: Contract, C: Cpu, S: Slot> TaskMmu<K, C, S> {
    /// Runs `f` inside a section. It ends on every path out of `f`: by returning, by `?`, by unwinding.
    ///
    /// Warns and stops as [`lazy_mmu_mode_enable`](Self::lazy_mmu_mode_enable) and
    /// [`lazy_mmu_mode_disable`](Self::lazy_mmu_mode_disable) do, whose pair it is; and if `f` leaves a pause or an
    /// interrupt open, or ends the task, as the drop of an [`Entered`] does.
    ///
    /// ```
    /// # use lazy_mmu::{Cpu, Misuse, TaskMmu, V3};
    /// # use core::cell::Cell;
    /// # #[derive(Default)] struct Core { pairs: Cell<u32> }
    /// # impl Cpu for Core {
    /// #     fn publish(&self) { self.pairs.set(self.pairs.get() + 1) }
    /// #     fn misuse(&self, m: Misuse) { panic!("{m}") }
    /// # }
    /// # let cpu = Core::default();
    /// # let task: TaskMmu<V3, &Core> = TaskMmu::hosted(V3, &cpu);
    /// task.section(|s| {
    ///     for _ in 0..512 {
    ///         // ...store an entry, then
    ///         s.owe();
    ///     }
    /// });
    /// assert_eq!(cpu.pairs.get(), 1);
    /// ```
    #[inline]
    pub fn section<R>(&self, f: impl for<'id> FnOnce(&mut Section<'_, 'id, Self>) -> R) -> R {
        section(self, f)
    }

    /// Runs `f` inside a section and gives out what `f` made there, which is published by then.
    ///
    /// Warns and stops as [`section`](Self::section) does. If something is still pending when the section
    /// has ended, it is paid without a hook, so that the value is usable under every contract and after any
    /// misuse. That happens
    /// - under [`Reenter`](crate::baseline::Reenter), whose inner exits pay nothing;
    /// - in an interrupt, where what is pending is the debt of the task beneath: the pair is executed and the
    ///   debt stays noted. A handler's own stores are paid by then, so this pair is one too many;
    /// - after misuse such as a section that a callee has ended once too often.
    pub fn publish<T>(
        &self,
        f: impl for<'id> FnOnce(&mut Section<'_, 'id, Self>) -> Unpublished<'id, T>,
    ) -> T {
        publish(self, f)
    }

    /// As [`publish`](Self::publish), for a closure that may fail: `?` on a `Result` works in it, and on an `Option` in
    /// that of [`publish_option`](Self::publish_option).
    ///
    /// # Errors
    /// What `f` returns. A failure may leave the section as it is; what was stored before it is paid like the rest.
    ///
    /// ```
    /// # use lazy_mmu::*;
    /// # fn f(task: &TaskMmu<V3, impl Cpu>, frame: impl Fn() -> Result<usize, &'static str>) -> Result<usize, &'static str> {
    /// let page = task.try_publish(|s| {
    ///     let frame = frame()?;
    ///     // ...store the entry, then
    ///     Ok::<_, &str>(s.owes(frame << 12))
    /// })?;
    /// # Ok(page)
    /// # }
    /// ```
    pub fn try_publish<T, E>(
        &self,
        f: impl for<'id> FnOnce(&mut Section<'_, 'id, Self>) -> Result<Unpublished<'id, T>, E>,
    ) -> Result<T, E> {
        try_publish(self, f)
    }

    /// As [`try_publish`](Self::try_publish), for a closure in which `?` is on an `Option`.
    ///
    /// ```
    /// # use lazy_mmu::*;
    /// # fn f(task: &TaskMmu<V3, impl Cpu>, frame: impl Fn() -> Option<usize>) -> Option<usize> {
    /// let page = task.publish_option(|s| {
    ///     let frame = frame()?;
    ///     // ...store the entry, then
    ///     Some(s.owes(frame << 12))
    /// })?;
    /// # Some(page)
    /// # }
    /// ```
    pub fn publish_option<T>(
        &self,
        f: impl for<'id> FnOnce(&mut Section<'_, 'id, Self>) -> Option<Unpublished<'id, T>>,
    ) -> Option<T> {
        publish(self, |s| f(s).into())
    }

    /// Begins a section that ends when the guard is dropped, for code whose shape a closure does not fit.
    ///
    /// A guard can be forgotten, which leaves the task in the section: reported by
    /// [`end_of_task`](Self::end_of_task). It can be dropped in a pause or an interrupt that it was not made in, or behind
    /// the one that it was made in: reported by [`GuardOutOfPlace`](crate::Misuse::GuardOutOfPlace), except under
    /// [`V3`](crate::V3) for a pause, which its own warnings report. Warns and stops as [`section`](Self::section) does.
    pub fn enter(&self) -> Entered<'_, Self> {
        enter(self)
    }
}

impl<'id, M: LazyMmu> Section<'_, 'id, M> {
    /// Runs `f` inside a nested section, whose end pays: [`TaskMmu::section`].
    pub fn section<R>(&mut self, f: impl for<'n> FnOnce(&mut Section<'_, 'n, M>) -> R) -> R {
        section(self.task, f)
    }

    /// Runs `f` inside a nested section and gives out what it made, published, while the section around it
    /// stays lazy: [`TaskMmu::publish`].
    pub fn publish<T>(
        &mut self,
        f: impl for<'n> FnOnce(&mut Section<'_, 'n, M>) -> Unpublished<'n, T>,
    ) -> T {
        publish(self.task, f)
    }

    /// As [`publish`](Self::publish), for a closure that may fail: [`TaskMmu::try_publish`].
    ///
    /// # Errors
    /// What `f` returns.
    pub fn try_publish<T, E>(
        &mut self,
        f: impl for<'n> FnOnce(&mut Section<'_, 'n, M>) -> Result<Unpublished<'n, T>, E>,
    ) -> Result<T, E> {
        try_publish(self.task, f)
    }

    /// As [`try_publish`](Self::try_publish), with `?` on an `Option`: [`TaskMmu::publish_option`].
    pub fn publish_option<T>(
        &mut self,
        f: impl for<'n> FnOnce(&mut Section<'_, 'n, M>) -> Option<Unpublished<'n, T>>,
    ) -> Option<T> {
        publish(self.task, |s| f(s).into())
    }

    /// Runs `f` with the mode paused. What is pending is paid first. Stores inside `f` pay at once, unless a callee of `f`
    /// opens a section and pauses that, or the policy is [`Flat`](crate::baseline::Flat) (below). The mode is entered
    /// again on every path out of `f`.
    ///
    /// ```
    /// # use lazy_mmu::*;
    /// # fn f(task: &TaskMmu<V3, impl Cpu>) {
    /// task.section(|s| s.section(|s| s.pause(|| ())));
    /// # }
    /// ```
    /// The section itself cannot be used inside `f`. So far the compiler enforces the exclusive contract:
    ///
    /// ```compile_fail,E0500
    /// # use lazy_mmu::*;
    /// # fn f(task: &TaskMmu<V3, impl Cpu>) {
    /// task.section(|s| s.pause(|| s.section(|_| ())));
    /// # }
    /// ```
    /// ```compile_fail,E0500
    /// # use lazy_mmu::*;
    /// # fn f(task: &TaskMmu<V3, impl Cpu>) {
    /// task.section(|s| s.pause(|| s.pause(|| ())));
    /// # }
    /// ```
    ///
    /// It does not see the task. A callee of `f`, or `f` itself, can still open a section on the task. Then, under [`V3`](crate::V3),
    /// [`Misuse::EnableWhilePaused`](crate::Misuse::EnableWhilePaused) is reported at run time; under
    /// [`Linux7`](crate::Linux7) that is allowed, and ignored.
    ///
    /// If that callee's section pauses in turn, its resume turns the mode on under
    /// [`V3`](crate::V3) and [`Reenter`](crate::baseline::Reenter), and the rest of `f` runs with it
    /// on. The former has warned twice by then ([`EnableWhilePaused`](crate::Misuse::EnableWhilePaused),
    /// [`PauseOutside`](crate::Misuse::PauseOutside)). Stores there are noted, and paid by the task's next exit
    /// (under the latter its outermost) or pause. Under [`Flat`](crate::baseline::Flat) a callee's section
    /// defers its own stores inside `f`, and its exit pays them.
    ///
    /// Warns as [`lazy_mmu_mode_pause`](TaskMmu::lazy_mmu_mode_pause) and
    /// [`lazy_mmu_mode_resume`](TaskMmu::lazy_mmu_mode_resume) do. If `f` leaves an interrupt open, ends the one that the
    /// pause began in, or ends the task, that is [reported](crate::Misuse::GuardOutOfPlace), and the pause is over.
    pub fn pause<R>(&mut self, f: impl FnOnce() -> R) -> R {
        let task = self.task.task();
        let in_interrupt = task.in_interrupt();
        task.pause();
        // A pause that unwinds has not begun; from here on it has.
        let _again = OnDrop(|| task.end_pause(in_interrupt));
        task.called(Call::Pause);
        f()
    }

    /// A store that owes has been made: [`TaskMmu::owe`].
    #[inline]
    pub fn owe(&self) {
        self.task.task().owe();
    }

    /// A store that owes has been made, and `value` depends on it: it can be used once this section has ended.
    #[inline]
    pub fn owes<T>(&self, value: T) -> Unpublished<'id, T> {
        self.owe();
        Unpublished::new(value)
    }

    /// Runs `work`, whose stores owe where they are made (page tables that call [`TaskMmu::owe`] themselves), and
    /// holds back what it returns until this section has ended.
    #[inline]
    pub fn hold<T>(&self, work: impl FnOnce() -> T) -> Unpublished<'id, T> {
        Unpublished::new(work())
    }

    /// Pays now, with an empty nested section, and gives the value out: for the one mapping among many that
    /// is needed before the end. Under [`Flat`](crate::baseline::Flat) this ends the batch; under
    /// [`Reenter`](crate::baseline::Reenter), whose inner exits pay nothing, and in an interrupt, it pays as
    /// [`TaskMmu::publish`] does, without a hook.
    ///
    /// Warns and stops as [`TaskMmu::section`] does, which it calls: under [`V3`](crate::V3)
    /// it warns if the task is paused, and with 255 sections open it is a bug.
    pub fn settle<T>(&mut self, value: Unpublished<'id, T>) -> T {
        self.settle_all();
        value.into_inner()
    }

    /// [`settle`](Self::settle) for many at once: pays, and collects what was held back into anything that
    /// the plain values can be collected into. The collection's code runs only after the payment.
    ///
    /// Hold the values first: an iterator that makes its stores only while it is collected is paid for with each
    /// value that it gives out.
    ///
    /// ```
    /// # use lazy_mmu::*;
    /// # fn f(task: &TaskMmu<V3, impl Cpu>) {
    /// let pages: Vec<usize> = task.section(|s| {
    ///     let mut held = Vec::new();
    ///     for page in 0..4 {
    ///         // ...store the entry, then
    ///         held.push(s.owes(page));
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
        // In an interrupt what is pending is the task's beneath, and what the iterator stores is paid by `owe`.
        let in_interrupt = self.task.task().in_interrupt();
        let values = values.into_iter().map(|value| {
            let task = self.task.task();
            if task.is_pending() && !(in_interrupt && task.in_interrupt()) {
                self.settle_all();
            }
            value.into_inner()
        });
        values.collect()
    }

    fn settle_all(&mut self) {
        section(self.task, |_| ());
        self.task.task().make_usable();
    }
}
