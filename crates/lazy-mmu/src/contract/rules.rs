//! What a contract is made of.
//!
//! A call checks for misuse, decides, and then has its effects, in the contract's order. An interrupt handler may run
//! between any two of them, and what is called out to (a warning's report, a hook) may make calls itself. Where the
//! contract's text reads its state behind a call-out, so does the code here; elsewhere what was read before still holds. A
//! handler that keeps its own calls balanced leaves the bytes as it found them, with the exception that
//! [`v3`](super::v3) names.

use crate::mode::Mode;
use crate::{Contract, Cpu, Policy, Slot};

/// The four calls on a task's bytes, and what answers for them.
pub trait Rules {
    /// What it is called.
    fn policy(&self) -> Policy;

    /// Whether an exit belongs to it: not after a bug whose report returned.
    fn enable<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>) -> bool;

    fn disable<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>);

    fn pause<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>);

    fn resume<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>);

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
