//! The state of one task, and the four calls.

use crate::contract::rules::Level;
use crate::mode::Mode;
use crate::section::OnDrop;
use crate::{Call, Chosen, Contract, Cpu, Leak, Misuse, Policy, PolicyInUse, Slot, State};
use core::sync::atomic::AtomicU8;

/// The lazy MMU state of one task, the contract it follows, and the processor that pays.
///
/// A kernel gives the type a name, `pub type Mmu = TaskMmu<V3, ThisCpu>;`. What takes one of its sections names
/// `Section<'_, '_, Mmu>`, or any section with `impl LazyMmu` in the place of `Mmu`.
///
/// It belongs into the task's own structure and moves with the task, pending debt included: after a
/// migration the section goes on where it was. The context switch itself owes one `dsb ish`, which makes
/// the stores of the task that leaves visible before it runs elsewhere; the ISB comes when the task pays,
/// on the core where it will use the mapping.
///
/// Four bytes, with the policy five under [`Chosen`], and none of them is shared with another task or core. *Only its own task, and interrupt
/// handlers on top of it, may call* what changes it: it is `Sync` so that it can lie in a `static` or in a
/// structure that other cores look at, but its bytes are loaded and stored without ordering between cores. Two
/// threads that run sections on one `TaskMmu` are no data race and are still wrong: one's exit ends the
/// other's section, and clears a debt that its own barriers do not pay. The types do not see that.
///
/// One that is dropped, or replaced by another, in a section, a pause, a re-entry, an interrupt or in debt is
/// [reported](Misuse::Dropped), and what is pending is paid, by the processor on which it is dropped: one that is sent
/// away in debt pays there, which makes its stores visible and discards nothing on the core that made them. Not noticed
/// is what runs no drop: `mem::forget`, a `ManuallyDrop`, a `static`; nor two tasks whose states are exchanged by
/// `mem::swap`, each of which then ends with the other's sections and debt. [`end_of_task`](Self::end_of_task) on the task
/// itself notices all of them but the last.
#[derive(Debug)]
pub struct TaskMmu<K: Contract, C: Cpu, S: Slot = AtomicU8> {
    mode: Mode<K, C, S>,
}

impl<K: Contract, C: Cpu> TaskMmu<K, C> {
    /// A task that follows `contract`, is in no section and owes nothing: `TaskMmu::new(V3, ThisCpu)`.
    ///
    /// `cpu` stands for the processor that the task runs on, whichever that is, so it must have no state that
    /// could be another processor's. One that has a size does not compile ([`Cpu`] says what has none and is wrong):
    ///
    /// ```compile_fail,E0080
    /// # use lazy_mmu::*;
    /// struct Core { number: u8 }
    /// # impl Cpu for Core { fn publish(&self) {} fn misuse(&self, _: Misuse) {} }
    /// let task = TaskMmu::new(V3, Core { number: 1 }); // And after a migration?
    /// ```
    /// ```
    /// # use lazy_mmu::*;
    /// struct ThisCpu;
    /// # impl Cpu for ThisCpu { fn publish(&self) {} fn misuse(&self, _: Misuse) {} }
    /// static TASK: TaskMmu<V3, ThisCpu> = TaskMmu::new(V3, ThisCpu);
    /// ```
    #[must_use]
    pub const fn new(contract: K, cpu: C) -> Self {
        const {
            assert!(
                size_of::<C>() == 0,
                "a processor with state goes stale when its task migrates; a test uses TaskMmu::hosted"
            );
        }
        TaskMmu {
            mode: Mode {
                live: AtomicU8::new(0),
                count: AtomicU8::new(0),
                pause_count: AtomicU8::new(0),
                pending: AtomicU8::new(0),
                cpu,
                contract,
            },
        }
    }
}

impl<K: Contract, C: Cpu, S: Slot> TaskMmu<K, C, S> {
    /// As [`new`](TaskMmu::new), over any [`Slot`], for a test or a model whose processor is a value: its user answers
    /// for its being the one that the task runs on.
    #[must_use]
    pub fn hosted(contract: K, cpu: C) -> Self {
        TaskMmu {
            mode: Mode {
                live: S::new(0),
                count: S::new(0),
                pause_count: S::new(0),
                pending: S::new(0),
                cpu,
                contract,
            },
        }
    }

    /// A state over slots that exist already, in the order of the fields: how the tests look at one state
    /// from a call and from an interrupt handler on top of it.
    #[cfg(test)]
    pub(crate) fn over(
        contract: K,
        cpu: C,
        [live, count, pause_count, pending]: [S; 4],
    ) -> core::mem::ManuallyDrop<Self> {
        let mode = Mode {
            live,
            count,
            pause_count,
            pending,
            cpu,
            contract,
        };
        core::mem::ManuallyDrop::new(TaskMmu { mode })
    }

    #[cfg(test)]
    pub(crate) fn mode(&self) -> &Mode<K, C, S> {
        &self.mode
    }

    /// A store to a page table that owes a barrier has just been made.
    ///
    /// Inside a section the debt is noted; outside of one, while paused, and in interrupt context it is
    /// paid at once. An interrupt handler leaves the pending flag of the task beneath it alone: its own
    /// pair would pay that debt too, but the task's flush must not depend on who interrupted it.
    ///
    /// This is the path of every store: one load and a test, whatever the contract.
    #[inline]
    pub fn owe(&self) {
        self.mode.owe();
    }

    /// Runs `work`, which executes at least what [`Cpu::publish`] does, in the same order: an invalidation, on AArch64
    /// `dsb ishst; tlbi; dsb ish; isb`. What is pending is settled by it, and the next end of a section pays nothing for
    /// it. In an interrupt this is `work()`: a handler's barriers leave the debt of the task beneath it alone, as its
    /// [stores](Self::owe) do. No hook runs.
    ///
    /// The debt is taken off *before* `work`. It must be, before the last DSB of it:
    ///
    /// - A store of this task's before the call comes before all of `work`'s barriers, so they pay for it.
    /// - A store in the middle of `work`, as by a page-fault handler, which is the task's own code, notes its debt
    ///   anew. The next exit pays it, once more than needed if a DSB was still to come. Taken off behind the DSB, it would
    ///   be forgotten.
    /// - An interrupt handler's store pays at once, and its sections pay nothing of the task's, before and after.
    /// - Preempted anywhere in between, the task may go on elsewhere, so nothing here excludes it. What it stored on the
    ///   core that it leaves, the switch's `dsb ish` makes visible. The ISB of `work` is executed on the core where the
    ///   task goes on, or, if it was executed on the other, arriving there is a context synchronisation of that core's
    ///   (the exception return, or the switch's own ISB), behind the DSB.
    ///
    /// From the moment it is taken off until `work` returns, the debt is noted nowhere and not paid: what `work` calls out
    /// to, and a handler that comes in between, must not rely on a store from before, nor [give it out](Self::publish); and a
    /// section that `work` opens and closes pays for its own stores alone.
    /// If `work` unwinds, the debt is noted again.
    ///
    /// Linux does not do this: the barriers that `__set_pte` queues are paid at the section's end, whatever TLBI comes in
    /// between. A kernel that wants Linux's counts does not call it.
    ///
    /// ```
    /// # use lazy_mmu::*;
    /// # fn f(task: &TaskMmu<V3, impl Cpu>) {
    /// task.section(|s| {
    ///     // ...change the permissions of a valid entry, then
    ///     s.owe();
    ///     task.settled_by(|| { /* dsb ishst; tlbi vaae1is, x0; dsb ish; isb */ });
    /// }); // Nothing is pending: it pays nothing.
    /// # }
    /// ```
    #[inline]
    pub fn settled_by<R>(&self, work: impl FnOnce() -> R) -> R {
        let noted = (self.is_pending() && !self.in_interrupt()).then(|| {
            self.mode.pending.set(0);
            OnDrop(|| self.mode.pending.set(1))
        });
        let result = work();
        core::mem::forget(noted);
        result
    }

    /// Makes one of the four calls; warns and stops as that one does.
    pub fn call(&self, call: Call) {
        match call {
            Call::Enable => self.lazy_mmu_mode_enable(),
            Call::Disable => self.lazy_mmu_mode_disable(),
            Call::Pause => self.lazy_mmu_mode_pause(),
            Call::Resume => self.lazy_mmu_mode_resume(),
        }
    }

    /// Begins a section; inside one already, begins a nested section, which changes nothing but the count.
    ///
    /// Warns: v3, if the section around it is paused; linux7, if 255 are open.
    /// Stops: v3 and reenter, if 255 are open.
    /// Ignored: linux7, in an interrupt or while paused; the baselines, in an interrupt.
    pub fn lazy_mmu_mode_enable(&self) {
        self.mode.contract.enable(&self.mode);
        self.called(Call::Enable);
    }

    /// As [`lazy_mmu_mode_enable`](Self::lazy_mmu_mode_enable), but for its report, and for a guard that gives the level
    /// to [`end`](Self::end).
    #[inline(always)]
    pub(crate) fn begin(&self) -> Level {
        self.mode.contract.begin(&self.mode)
    }

    #[inline(always)]
    pub(crate) fn called(&self, call: Call) {
        self.mode.cpu.called(call);
    }

    /// Ends a section. After it, under both contracts, every store made before it is published, also when
    /// a section around it goes on.
    ///
    /// Warns: v3, if the section is paused; linux7, if none is open.
    /// Stops: v3 and reenter, if none is open.
    /// Ignored: linux7, in an interrupt or while paused; the baselines, in an interrupt.
    pub fn lazy_mmu_mode_disable(&self) {
        self.mode.contract.disable(&self.mode);
        self.called(Call::Disable);
    }

    #[inline(always)]
    pub(crate) fn end(&self, level: Level) {
        if self.mode.contract.end(&self.mode, level) {
            self.called(Call::Disable);
        }
    }

    /// Leaves the mode, whatever the depth: what is pending is paid, and stores that follow pay at once.
    ///
    /// Warns: v3, outside of a section or while paused; linux7, if 255 pauses are open.
    /// Stops: never.
    /// Ignored: linux7, flat and reenter, in an interrupt; eager, always.
    pub fn lazy_mmu_mode_pause(&self) {
        self.pause();
        self.called(Call::Pause);
    }

    /// As [`lazy_mmu_mode_pause`](Self::lazy_mmu_mode_pause), but for its report.
    #[inline(always)]
    pub(crate) fn pause(&self) {
        self.mode.contract.pause(&self.mode);
    }

    /// Enters the mode again, at the depth at which it was paused.
    ///
    /// Warns: v3, outside of a section or if it is not paused; linux7, if no pause is open.
    /// Stops: never.
    /// Ignored: linux7, flat and reenter, in an interrupt; eager, always.
    pub fn lazy_mmu_mode_resume(&self) {
        self.mode.contract.resume(&self.mode);
        self.called(Call::Resume);
    }

    /// The end of a closure whose pause was made in an interrupt, or not.
    pub(crate) fn end_pause(&self, in_interrupt: bool) {
        self.mode.contract.end_pause(&self.mode, in_interrupt);
        self.called(Call::Resume);
    }

    /// Whether the mode is on; the seed's name. Under [`Linux7`](crate::Linux7) it never is in an interrupt; under
    /// [`V3`](crate::V3) the answer is the task's flag, in interrupt handlers too.
    pub fn in_lazy_mmu_mode(&self) -> bool {
        self.mode.contract.is_active(&self.mode)
    }

    /// [`in_lazy_mmu_mode`](Self::in_lazy_mmu_mode), by the name that was merged.
    pub fn is_lazy_mmu_mode_active(&self) -> bool {
        self.in_lazy_mmu_mode()
    }

    /// Runs `f`, which opens sections of its own beneath its caller's: an allocator.
    ///
    /// Under [`Reenter`](crate::baseline::Reenter) the task leaves the mode before and enters it again afterwards,
    /// at the depth it had; that is what the baseline is. Under every other, outside of a section, and
    /// in an interrupt, this is `f()`.
    ///
    /// What `f` has opened and not closed stays open, on top of what was open before: such a leak is reported
    /// by [`end_of_task`](Self::end_of_task). The mode is what it was, on or paused.
    ///
    /// Warns: never.
    /// Stops: reenter, if the sections that `f` has left open and those around it are more than 255, or 255
    /// re-entries are under way.
    pub fn reenter<R>(&self, f: impl FnOnce() -> R) -> R {
        self.mode.contract.reenter(&self.mode, f)
    }

    /// An interrupt handler starts on top of the task: the first thing of every handler that may touch a
    /// page table or the mode. Nests.
    ///
    /// # Panics
    /// If 127 are on top of each other already: some handler lacks its [`irq_exit`](Self::irq_exit). It is
    /// a Rust panic and not [`Cpu::misuse`], which hears of the contracts' calls and of drops only.
    pub fn irq_enter(&self) {
        self.mode.irq_enter();
    }

    /// The handler on top of the task ends. It must be called on the task that
    /// [`irq_enter`](Self::irq_enter) was called on, also if the handler ends in a switch to another.
    ///
    /// # Panics
    /// If none was running: it was called on another task than the one that was interrupted. A Rust panic,
    /// as in [`irq_enter`](Self::irq_enter).
    pub fn irq_exit(&self) {
        self.mode.irq_exit();
    }

    /// Whether an interrupt handler runs on top of the task.
    #[inline]
    pub fn in_interrupt(&self) -> bool {
        self.mode.in_interrupt()
    }

    /// Whether a store is waiting for its barrier. A mapping made since the last flush must not be used.
    pub fn is_pending(&self) -> bool {
        self.mode.is_pending()
    }

    /// What the rules are called that the task follows.
    pub fn policy(&self) -> Policy {
        self.mode.contract.policy()
    }

    /// All of the state, as a value. Not atomic: call it from the task itself, or about a task that does not
    /// run.
    pub fn state(&self) -> State {
        State {
            policy: self.policy(),
            count: self.mode.count(),
            pause_count: self.mode.pause_count(),
            enabled: self.in_lazy_mmu_mode(),
            pending: self.is_pending(),
            in_interrupt: self.in_interrupt(),
        }
    }

    /// The task ends. To be called once, by the task itself, as the last thing it does with the mode.
    ///
    /// The state is as new afterwards, so that the structure can be used for another task, and nothing is
    /// left pending: if the mode was on, [`Hook::Leave`](crate::Hook::Leave) runs first, after the state has been
    /// reset and so with the mode off under every contract, and then what is pending is paid, in an interrupt too.
    ///
    /// Warns: never; a leak is no breach that [`Cpu::misuse`] hears of, but the error.
    /// Stops: never.
    ///
    /// # Errors
    /// [`Leak`], with the state the task ended in, if a section, a pause or a re-entry is still open or a debt was
    /// left over. A guard that was forgotten ends up here, and so does a task that exits inside a section. Under
    /// [`Chosen`] also if it is called from a report or a hook whose call goes on afterwards and has its effects; for a
    /// type of one contract that is the caller's to see to ([`Cpu`]).
    pub fn end_of_task(&self) -> Result<(), Leak> {
        if self.mode.is_idle() {
            return Ok(());
        }
        let leak = Leak(self.state());
        let on = self.mode.enabled();
        self.mode.count.set(0);
        self.mode.pause_count.set(0);
        // Before anything is paid: in an interrupt nothing would be.
        self.mode.live.set(0);
        if on {
            self.mode.arch_leave();
        } else {
            self.mode.pay();
        }
        Err(leak)
    }

    pub(crate) fn make_usable(&self) {
        self.mode.make_usable();
    }
}

impl<P: Slot, C: Cpu, S: Slot> TaskMmu<Chosen<P>, C, S> {
    /// Changes the rules the task follows.
    ///
    /// # Errors
    /// [`PolicyInUse`], and nothing is changed, if the task is in a section, a pause, a re-entry, an interrupt or in
    /// debt, or in one of the four calls, whose report or hook this is then called from: what one policy has begun
    /// another would end wrongly.
    pub fn set_policy(&self, policy: Policy) -> Result<(), PolicyInUse> {
        if !self.mode.is_idle() {
            return Err(PolicyInUse(self.state()));
        }
        self.mode.contract.set(policy);
        Ok(())
    }
}

/// Ends the task, if it has not [ended](TaskMmu::end_of_task), and reports what it has left open.
impl<K: Contract, C: Cpu, S: Slot> Drop for TaskMmu<K, C, S> {
    fn drop(&mut self) {
        if !self.mode.is_idle() {
            let _end = OnDrop(|| {
                // Reported already.
                let _ = self.end_of_task();
            });
            self.mode.cpu.misuse(Misuse::Dropped);
        }
    }
}
