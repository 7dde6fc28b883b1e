//! One flag, no depth: arm64 Linux 6.16 to 6.19.
//!
//! The calls are arm64's hooks themselves, which return early in an interrupt and pay *before* they clear
//! the flag.

use crate::{Cpu, Slot, TaskMmu};

/// `enable`, and `resume`.
pub(crate) fn on<S: Slot>(task: &TaskMmu<S>, cpu: &impl Cpu) {
    if task.in_interrupt() {
        return;
    }
    task.arch_enter(cpu);
    task.set_enabled(true);
}

/// `disable`, and `pause`.
pub(crate) fn off<S: Slot>(task: &TaskMmu<S>, cpu: &impl Cpu) {
    if task.in_interrupt() {
        return;
    }
    task.arch_leave(cpu);
    task.set_enabled(false);
}
