//! The state of one task, and the four calls.

use crate::contract::{flat, linux7, reenter, v3};
use crate::{Call, Cpu, Hook, Leak, Misuse, Policy, PolicyInUse, Slot, State};
use core::sync::atomic::AtomicU8;

/// In `live`: the mode is on.
const ENABLED: u8 = 1;
/// In `live`: one interrupt; the seven upper bits count them.
const IRQ: u8 = 2;

/// The lazy MMU state of one task.
///
/// It belongs into the task's own structure and moves with the task, pending debt included: after a
/// migration the section goes on where it was. The context switch itself owes one `dsb ish`, which makes
/// the stores of the task that leaves visible before it runs elsewhere; the ISB comes when the task pays,
/// on the core where it will use the mapping.
///
/// Five bytes, and none of them is shared with another task or core. *Only its own task, and interrupt
/// handlers on top of it, may call* what changes it: it is `Sync` so that it can lie in a `static` or in a
/// structure that other cores look at, but its bytes are loaded and stored without ordering between cores. Two
/// threads that run sections on one `TaskMmu` are no data race and are still wrong: one's exit ends the
/// other's section, and clears a debt that its own barriers do not pay. The types do not see that.
#[derive(Debug)]
pub struct TaskMmu<S: Slot = AtomicU8> {
    /// [`ENABLED`], plus [`IRQ`] for each interrupt on top of the task. One byte, so that a store reads one
    /// question: is this exactly `ENABLED`?
    live: S,
    /// Sections open (`count` of v3, `enable_count` of Linux 7).
    count: S,
    /// Pauses open. Linux 7 only.
    pause_count: S,
    /// 1 if a store waits for its barrier.
    pending: S,
    policy: S,
}

impl TaskMmu {
    /// A task that follows `policy`, is in no section and owes nothing.
    #[must_use]
    pub const fn new(policy: Policy) -> Self {
        TaskMmu {
            live: AtomicU8::new(0),
            count: AtomicU8::new(0),
            pause_count: AtomicU8::new(0),
            pending: AtomicU8::new(0),
            policy: AtomicU8::new(policy.to_byte()),
        }
    }
}

impl<S: Slot> TaskMmu<S> {
    /// A state over slots that exist already, in the order of the fields: how the tests look at one state
    /// from a call and from an interrupt handler on top of it.
    #[cfg(test)]
    pub(crate) fn over([live, count, pause_count, pending, policy]: [S; 5]) -> Self {
        TaskMmu {
            live,
            count,
            pause_count,
            pending,
            policy,
        }
    }

    /// As [`new`](TaskMmu::new), over another kind of [`Slot`].
    #[must_use]
    pub fn with_slots(policy: Policy) -> Self {
        TaskMmu {
            live: S::new(0),
            count: S::new(0),
            pause_count: S::new(0),
            pending: S::new(0),
            policy: S::new(policy.to_byte()),
        }
    }

    /// A store to a page table that owes a barrier has just been made.
    ///
    /// Inside a section the debt is noted; outside of one, while paused, and in interrupt context it is
    /// paid at once. An interrupt handler leaves the pending flag of the task beneath it alone: its own
    /// pair would pay that debt too, but the task's flush must not depend on who interrupted it.
    ///
    /// This is the path of every store: one load and a test, whatever the policy.
    #[inline]
    pub fn owe(&self, cpu: &impl Cpu) {
        if self.live.get() == ENABLED {
            // Not tested first: a plain store to a line this core owns costs less than the branch.
            self.pending.set(1);
        } else {
            cpu.publish();
        }
    }

    /// Makes one of the four calls; warns and stops as that one does.
    pub fn call(&self, call: Call, cpu: &impl Cpu) {
        match call {
            Call::Enable => self.lazy_mmu_mode_enable(cpu),
            Call::Disable => self.lazy_mmu_mode_disable(cpu),
            Call::Pause => self.lazy_mmu_mode_pause(cpu),
            Call::Resume => self.lazy_mmu_mode_resume(cpu),
        }
    }

    /// Begins a section; inside one already, begins a nested section, which changes nothing but the count.
    ///
    /// Warns: v3, if the section around it is paused; linux7, if 255 are open.
    /// Stops: v3 and reenter, if 255 are open.
    /// Ignored: linux7, in an interrupt or while paused; flat and reenter, in an interrupt.
    pub fn lazy_mmu_mode_enable(&self, cpu: &impl Cpu) {
        self.enable(cpu);
    }

    /// As [`lazy_mmu_mode_enable`](Self::lazy_mmu_mode_enable). Whether an exit belongs to it: not if it was a
    /// bug, and the kernel has not stopped.
    #[inline]
    pub(crate) fn enable(&self, cpu: &impl Cpu) -> bool {
        let begun = match self.policy() {
            Policy::Eager => true,
            Policy::Flat => {
                flat::on(self, cpu);
                true
            }
            Policy::Reenter => reenter::enable(self, cpu),
            Policy::V3 => v3::enable(self, cpu),
            Policy::Linux7 => {
                linux7::enable(self, cpu);
                true
            }
        };
        cpu.called(Call::Enable);
        begun
    }

    /// Ends a section. After it, under both contracts, every store made before it is published, also when
    /// a section around it goes on.
    ///
    /// Warns: v3, if the section is paused; linux7, if none is open.
    /// Stops: v3 and reenter, if none is open.
    /// Ignored: linux7, in an interrupt or while paused; flat and reenter, in an interrupt.
    pub fn lazy_mmu_mode_disable(&self, cpu: &impl Cpu) {
        match self.policy() {
            Policy::Eager => {}
            Policy::Flat => flat::off(self, cpu),
            Policy::Reenter => reenter::disable(self, cpu),
            Policy::V3 => v3::disable(self, cpu),
            Policy::Linux7 => linux7::disable(self, cpu),
        }
        cpu.called(Call::Disable);
    }

    /// Leaves the mode, whatever the depth: what is pending is paid, and stores that follow pay at once.
    ///
    /// Warns: v3, outside of a section or while paused; linux7, if 255 pauses are open.
    /// Stops: never.
    /// Ignored: linux7, flat and reenter, in an interrupt.
    pub fn lazy_mmu_mode_pause(&self, cpu: &impl Cpu) {
        match self.policy() {
            Policy::Eager => {}
            Policy::Flat => flat::off(self, cpu),
            Policy::Reenter => reenter::pause(self, cpu),
            Policy::V3 => v3::pause(self, cpu),
            Policy::Linux7 => linux7::pause(self, cpu),
        }
        cpu.called(Call::Pause);
    }

    /// Enters the mode again, at the depth at which it was paused.
    ///
    /// Warns: v3, outside of a section or if it is not paused; linux7, if no pause is open.
    /// Stops: never.
    /// Ignored: linux7, flat and reenter, in an interrupt.
    pub fn lazy_mmu_mode_resume(&self, cpu: &impl Cpu) {
        match self.policy() {
            Policy::Eager => {}
            Policy::Flat => flat::on(self, cpu),
            Policy::Reenter => reenter::resume(self, cpu),
            Policy::V3 => v3::resume(self, cpu),
            Policy::Linux7 => linux7::resume(self, cpu),
        }
        cpu.called(Call::Resume);
    }

    /// Whether the mode is on. Under [`Linux7`](Policy::Linux7) it never is in an interrupt; under
    /// [`V3`](Policy::V3) the answer is the task's flag, in interrupt handlers too.
    pub fn in_lazy_mmu_mode(&self) -> bool {
        let live = self.live.get();
        match self.policy() {
            Policy::Linux7 => live == ENABLED,
            _ => live & ENABLED != 0,
        }
    }

    /// Runs `f`, which opens sections of its own beneath its caller's: an allocator.
    ///
    /// Under [`Reenter`](Policy::Reenter) the task leaves the mode before and enters it again afterwards,
    /// at the depth it had; that is what the policy is. Under every other policy, outside of a section, and
    /// in an interrupt, this is `f()`.
    ///
    /// What `f` has opened and not closed stays open, on top of what was open before: such a leak is reported
    /// by [`end_of_task`](Self::end_of_task). The mode is what it was, on or paused.
    ///
    /// Warns: never.
    /// Stops: reenter, if the sections that `f` has left open and those around it are more than 255.
    pub fn reenter<R>(&self, cpu: &impl Cpu, f: impl FnOnce() -> R) -> R {
        match self.policy() {
            Policy::Reenter => reenter::around(self, cpu, f),
            _ => f(),
        }
    }

    /// An interrupt handler starts on top of the task: the first thing of every handler that may touch a
    /// page table or the mode. Nests.
    ///
    /// # Panics
    /// If 127 are on top of each other already: some handler lacks its [`irq_exit`](Self::irq_exit). It is
    /// a Rust panic and not [`Cpu::misuse`], which hears of the contracts' calls only.
    pub fn irq_enter(&self) {
        // A handler between the load and the store leaves the depth as it found it.
        let live = self.live.get().checked_add(IRQ);
        self.live.set(live.expect("irq_enter without irq_exit"));
    }

    /// The handler on top of the task ends. It must be called on the task that
    /// [`irq_enter`](Self::irq_enter) was called on, also if the handler ends in a switch to another.
    ///
    /// # Panics
    /// If none was running: it was called on another task than the one that was interrupted. A Rust panic,
    /// as in [`irq_enter`](Self::irq_enter).
    pub fn irq_exit(&self) {
        let live = self.live.get().checked_sub(IRQ);
        self.live.set(live.expect("irq_exit without irq_enter"));
    }

    /// Whether an interrupt handler runs on top of the task.
    #[inline]
    pub fn in_interrupt(&self) -> bool {
        self.live.get() >= IRQ
    }

    /// Whether a store is waiting for its barrier. A mapping made since the last flush must not be used.
    pub fn is_pending(&self) -> bool {
        self.pending.get() != 0
    }

    /// The rules the task follows.
    pub fn policy(&self) -> Policy {
        Policy::from_byte(self.policy.get())
    }

    /// Changes the rules the task follows.
    ///
    /// # Errors
    /// [`PolicyInUse`], and nothing is changed, if the task is in a section, in an interrupt or in debt:
    /// what one policy has begun another would end wrongly.
    pub fn set_policy(&self, policy: Policy) -> Result<(), PolicyInUse> {
        if !self.is_idle() {
            return Err(PolicyInUse(self.state()));
        }
        self.policy.set(policy.to_byte());
        Ok(())
    }

    /// All of the state, as a value. Not atomic: call it from the task itself, or about a task that does not
    /// run.
    pub fn state(&self) -> State {
        State {
            policy: self.policy(),
            count: self.count.get(),
            pause_count: self.pause_count.get(),
            enabled: self.in_lazy_mmu_mode(),
            pending: self.is_pending(),
            in_interrupt: self.in_interrupt(),
        }
    }

    /// The task ends. To be called once, by the task itself, as the last thing it does with the mode.
    ///
    /// The state is as new afterwards, so that the structure can be used for another task, and nothing is
    /// left pending: if the mode was on, [`Hook::Leave`] runs first, after the state has been reset and so
    /// with the mode off under every policy, and then what is pending is paid, in an interrupt too.
    ///
    /// Warns: never; a leak is no breach that [`Cpu::misuse`] hears of, but the error.
    /// Stops: never.
    ///
    /// # Errors
    /// [`Leak`], with the state the task ended in, if a section or a pause is still open or a debt was left
    /// over. A guard that was forgotten ends up here, and so does a task that exits inside a section.
    pub fn end_of_task(&self, cpu: &impl Cpu) -> Result<(), Leak> {
        if self.is_idle() {
            return Ok(());
        }
        let leak = Leak(self.state());
        let on = self.enabled();
        self.count.set(0);
        self.pause_count.set(0);
        // Before anything is paid: in an interrupt nothing would be.
        self.live.set(0);
        if on {
            self.arch_leave(cpu);
        } else {
            self.pay(cpu);
        }
        Err(leak)
    }

    fn is_idle(&self) -> bool {
        self.live.get() | self.count.get() | self.pause_count.get() | self.pending.get() == 0
    }
}

/// What the contracts are written with.
impl<S: Slot> TaskMmu<S> {
    #[inline]
    pub(crate) fn count(&self) -> u8 {
        self.count.get()
    }

    #[inline]
    pub(crate) fn set_count(&self, count: u8) {
        self.count.set(count);
    }

    #[inline]
    pub(crate) fn pause_count(&self) -> u8 {
        self.pause_count.get()
    }

    #[inline]
    pub(crate) fn set_pause_count(&self, count: u8) {
        self.pause_count.set(count);
    }

    #[inline]
    pub(crate) fn enabled(&self) -> bool {
        self.live.get() & ENABLED != 0
    }

    /// A handler between the load and the store leaves the depth of interrupts as it found it, and what it
    /// did to the flag is overwritten, as by a plain store of the flag alone.
    #[inline]
    pub(crate) fn set_enabled(&self, enabled: bool) {
        let irqs = self.live.get() & !ENABLED;
        self.live.set(irqs | u8::from(enabled));
    }

    #[inline]
    pub(crate) fn arch_enter(&self, cpu: &impl Cpu) {
        cpu.hook(Hook::Enter);
    }

    #[inline]
    pub(crate) fn arch_leave(&self, cpu: &impl Cpu) {
        cpu.hook(Hook::Leave);
        self.pay(cpu);
    }

    #[inline]
    pub(crate) fn arch_flush(&self, cpu: &impl Cpu) {
        cpu.hook(Hook::Flush);
        self.pay(cpu);
    }

    /// Pays what is pending, but not from an interrupt handler on top of the task that owes it.
    ///
    /// Cleared first, paid second: a store that owes between the two is noted again and paid once more
    /// than needed. The other way round it would be forgotten.
    #[inline]
    pub(crate) fn pay(&self, cpu: &impl Cpu) {
        if self.is_pending() && !self.in_interrupt() {
            self.pending.set(0);
            cpu.publish();
        }
    }

    /// For who is about to give out what depends on it: whatever is still pending is made visible, and a
    /// handler that finds something pending does so without touching the debt of the task beneath it.
    pub(crate) fn make_usable(&self, cpu: &impl Cpu) {
        self.pay(cpu);
        // Still: so this is an interrupt.
        if self.is_pending() {
            cpu.publish();
        }
    }
}

/// Out of the way of the calls that are made correctly.
#[cold]
pub(crate) fn bug(cpu: &impl Cpu, misuse: Misuse) {
    cpu.misuse(misuse);
}

/// As [`bug`], and gone if the crate is built without `warnings`; so is then the test that leads to it.
#[inline]
pub(crate) fn warn_if(condition: bool, cpu: &impl Cpu, misuse: Misuse) {
    if cfg!(feature = "warnings") && condition {
        bug(cpu, misuse);
    }
}
