//! A task's bytes, its processor and its contract: what the contracts are written with.

use crate::section::{OnDrop, or_undo};
use crate::{Contract, Cpu, Hook, Misuse, Slot};

/// In `live`: the mode is on.
const ENABLED: u8 = 1;
/// In `live`: one interrupt; the seven upper bits count them.
const IRQ: u8 = 2;

/// Four bytes, who pays, and by which rules.
#[derive(Debug)]
pub struct Mode<K: Contract, C: Cpu, S: Slot> {
    /// [`ENABLED`], plus [`IRQ`] for each interrupt on top of the task. One byte, so that a store reads one
    /// question: is this exactly `ENABLED`?
    pub(crate) live: S,
    /// Sections open (`count` of v3, `enable_count` of Linux 7).
    pub(crate) count: S,
    /// Pauses open, under Linux 7. Under the baseline `reenter`, re-entries under way.
    pub(crate) pause_count: S,
    /// 1 if a store waits for its barrier.
    pub(crate) pending: S,
    pub(crate) cpu: C,
    pub(crate) contract: K,
}

impl<K: Contract, C: Cpu, S: Slot> Mode<K, C, S> {
    /// A store has been made that owes.
    #[inline]
    pub(crate) fn owe(&self) {
        if self.is_on() {
            // Not tested first: a plain store to a line this core owns costs less than the branch.
            self.pending.set(1);
        } else {
            self.cpu.publish();
        }
    }

    /// Stores defer: the mode is on, and this is no interrupt.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.live.get() == ENABLED
    }

    #[inline]
    pub(crate) fn in_interrupt(&self) -> bool {
        self.live.get() >= IRQ
    }

    /// # Panics
    /// If 127 interrupts are on top of each other already.
    pub(crate) fn irq_enter(&self) {
        // A handler between the load and the store leaves the depth as it found it.
        let live = self.live.get().checked_add(IRQ);
        self.live.set(live.expect("irq_enter without irq_exit"));
    }

    /// # Panics
    /// If none was.
    pub(crate) fn irq_exit(&self) {
        let live = self.live.get().checked_sub(IRQ);
        self.live.set(live.expect("irq_exit without irq_enter"));
    }

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
        self.set_enabled_where(enabled);
    }

    /// [`set_enabled`](Self::set_enabled), and whether this is an interrupt.
    #[inline]
    pub(crate) fn set_enabled_where(&self, enabled: bool) -> bool {
        let irqs = self.live.get() & !ENABLED;
        self.live.set(irqs | u8::from(enabled));
        irqs > 0
    }

    /// For a contract whose calls return at once in an interrupt. It has checked that this is none, so the depth of
    /// interrupts is 0, and the flag is stored alone.
    #[inline]
    pub(crate) fn set_enabled_outside_interrupts(&self, enabled: bool) {
        self.live.set(u8::from(enabled));
    }

    #[inline]
    pub(crate) fn is_pending(&self) -> bool {
        self.pending.get() != 0
    }

    /// Nothing is open, nothing is owed, and no call has more to do than its bytes show.
    pub(crate) fn is_idle(&self) -> bool {
        self.live.get() | self.count.get() | self.pause_count.get() | self.pending.get() == 0
            && !self.contract.is_calling_out()
    }

    #[inline]
    pub(crate) fn arch_enter(&self) {
        self.cpu.hook(Hook::Enter);
    }

    /// Of a contract that counts the section, and turns the mode on, after the hook: until then its task looks idle.
    #[inline]
    pub(crate) fn arch_enter_first(&self) {
        self.contract.calling_out(|| self.cpu.hook(Hook::Enter));
    }

    /// Pays also if the hook unwinds, as does [`arch_flush`](Self::arch_flush): the call that it is in ends all the same.
    #[inline]
    pub(crate) fn arch_leave(&self) {
        let _pay = OnDrop(|| self.pay());
        self.cpu.hook(Hook::Leave);
    }

    #[inline]
    pub(crate) fn arch_flush(&self) {
        let _pay = OnDrop(|| self.pay());
        self.cpu.hook(Hook::Flush);
    }

    /// For a contract whose calls return at once in an interrupt, and that has checked: as `arch_leave` for `Leave`, as
    /// `arch_flush` for `Flush`.
    #[inline]
    pub(crate) fn hook_and_pay_outside_interrupts(&self, hook: Hook) {
        let _pay = OnDrop(|| {
            if self.is_pending() {
                self.pay_pending();
            }
        });
        self.cpu.hook(hook);
    }

    /// Pays what is pending, but not from an interrupt handler on top of the task that owes it.
    #[inline]
    pub(crate) fn pay(&self) {
        if self.is_pending() && !self.in_interrupt() {
            self.pay_pending();
        }
    }

    /// Cleared first, paid second: a store that owes between the two is noted again and paid once more
    /// than needed. The other way round it would be forgotten. If the payment unwinds, the debt is noted again.
    #[inline]
    fn pay_pending(&self) {
        self.pending.set(0);
        or_undo(|| self.cpu.publish(), || self.pending.set(1));
    }

    /// For who is about to give out what depends on it: whatever is still pending is made visible, and a
    /// handler that finds something pending does so without touching the debt of the task beneath it.
    pub(crate) fn make_usable(&self) {
        self.pay();
        // Still: so this is an interrupt.
        if self.is_pending() {
            self.cpu.publish();
        }
    }

    /// Out of the way of the calls that are made correctly.
    #[cold]
    #[inline(never)]
    pub(crate) fn bug(&self, misuse: Misuse) {
        self.contract.calling_out(|| self.cpu.misuse(misuse));
    }

    /// A guard ends where it does not belong: reported, and then `end`, also if the report unwinds.
    #[cold]
    #[inline(never)]
    pub(crate) fn out_of_place(&self, end: impl FnMut()) {
        let _end = OnDrop(end);
        self.bug(Misuse::GuardOutOfPlace);
    }

    /// Ends something of the task's own beneath a handler, as if that were not there: what is pending is paid. The guard
    /// that this is for is on the handler's stack, so no call of the task is under way.
    pub(crate) fn as_the_tasks_own(&self, end: impl FnOnce()) {
        let irqs = self.live.get() & !ENABLED;
        self.live.set(self.live.get() & ENABLED);
        let _back = OnDrop(|| self.live.set(self.live.get() & ENABLED | irqs));
        end();
    }

    /// As [`bug`](Self::bug), and gone if the crate is built without `warnings`; so is then the test that leads
    /// to it. Whether it was reported: if so, the state may be another by now.
    #[inline]
    pub(crate) fn warn_if(&self, condition: bool, misuse: Misuse) -> bool {
        let warns = cfg!(feature = "warnings") && condition;
        if warns {
            self.bug(misuse);
        }
        warns
    }
}
