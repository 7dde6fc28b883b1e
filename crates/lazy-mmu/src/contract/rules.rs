//! What a contract is made of.
//!
//! A call checks for misuse, decides, and then has its effects, in the contract's order. An interrupt handler may run
//! between any two of them, and what is called out to (a warning's report, a hook) may make calls itself. Where the
//! contract's text reads its state behind a call-out, so does the code here; elsewhere what was read before still holds. A
//! handler that keeps its own calls balanced leaves the bytes as it found them, with the exception that
//! [`v3`](super::v3) names.

use crate::mode::Mode;
use crate::{Contract, Cpu, Policy, Slot};

/// What a section's guard keeps of the call that began it, so that its end fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Counted, in the task itself.
    Task,
    /// Begun in an interrupt, or where the contract ignores the call.
    Apart,
    /// Counted past 255: the count has wrapped to 0.
    Wrapped,
    /// None: it was a bug, and its report has returned.
    None,
}

/// The four calls on a task's bytes, the ends of guards, and what answers for them.
pub trait Rules {
    /// What it is called.
    fn policy(&self) -> Policy;

    fn enable<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>) -> Level;

    fn disable<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>);

    fn pause<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>);

    fn resume<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>);

    /// [`enable`](Self::enable), by a guard.
    #[inline(always)]
    fn begin<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>) -> Level {
        let in_interrupt = mode.in_interrupt();
        match self.enable(mode) {
            Level::Task if in_interrupt => Level::Apart,
            level => level,
        }
    }

    /// [`disable`](Self::disable), by the guard of that level; whether there was one. Where the contract would ignore the
    /// exit of a level that it has counted, or take away one that it has not, that is reported and the level alone ends.
    #[inline]
    fn end<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>, level: Level) -> bool {
        match (level, mode.in_interrupt()) {
            (Level::None, _) => return false,
            (Level::Task | Level::Wrapped, true) => {
                mode.out_of_place(|| mode.as_the_tasks_own(|| self.disable(mode)));
            }
            (Level::Apart, false) => mode.out_of_place(|| mode.pay()),
            (_, _) => self.disable(mode),
        }
        true
    }

    /// Whether a pause that was made in an interrupt, or not, is there to be resumed.
    #[inline]
    fn is_paused<K: Contract, C: Cpu, S: Slot>(
        &self,
        mode: &Mode<K, C, S>,
        in_interrupt: bool,
    ) -> bool {
        let _ = mode;
        !in_interrupt
    }

    /// [`resume`](Self::resume), at the end of a closure whose pause was made in an interrupt, or not.
    fn end_pause<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>, in_interrupt: bool) {
        let there = self.is_paused(mode, in_interrupt);
        if mode.in_interrupt() == in_interrupt && (there || in_interrupt) {
            return self.resume(mode);
        }
        mode.out_of_place(|| {
            if there {
                mode.as_the_tasks_own(|| self.resume(mode));
            }
        });
    }

    /// Runs a report or a hook from which a call goes on, marked if the rules could be changed in it.
    #[inline]
    fn calling_out(&self, call_out: impl FnOnce()) {
        call_out();
    }

    /// Whether one is marked that runs.
    #[inline]
    fn is_calling_out(&self) -> bool {
        false
    }

    /// What `in_lazy_mmu_mode` answers.
    #[inline]
    fn is_active<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>) -> bool {
        mode.enabled()
    }

    /// Runs an allocator's work beneath a section of its caller's.
    #[inline]
    fn reenter<K: Contract, C: Cpu, S: Slot, R>(
        &self,
        mode: &Mode<K, C, S>,
        f: impl FnOnce() -> R,
    ) -> R {
        let _ = mode;
        f()
    }
}
