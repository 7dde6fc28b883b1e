//! Depth without a flush: who runs sections of his own beneath his caller's leaves the mode first.
//!
//! What one gets without the seed and without giving up batching. It depends on every such callee knowing
//! that it is one; the pairs it costs are what the seed is measured against.

use crate::section::OnDrop;
use crate::task::bug;
use crate::{Cpu, Misuse, Slot, TaskMmu};

pub(crate) fn enable<S: Slot>(task: &TaskMmu<S>, cpu: &impl Cpu) {
    if task.in_interrupt() {
        return;
    }
    let count = task.count();
    if count == u8::MAX {
        return bug(cpu, Misuse::TooDeep);
    }
    task.set_count(count + 1);
    if count == 0 {
        on(task, cpu);
    }
}

pub(crate) fn disable<S: Slot>(task: &TaskMmu<S>, cpu: &impl Cpu) {
    if task.in_interrupt() {
        return;
    }
    let count = task.count();
    if count == 0 {
        return bug(cpu, Misuse::NotOpen);
    }
    task.set_count(count - 1);
    if count == 1 {
        off(task, cpu);
    }
}

pub(crate) fn pause<S: Slot>(task: &TaskMmu<S>, cpu: &impl Cpu) {
    if !task.in_interrupt() {
        off(task, cpu);
    }
}

/// On *again*: outside of a section there is nothing to go back to.
pub(crate) fn resume<S: Slot>(task: &TaskMmu<S>, cpu: &impl Cpu) {
    if !task.in_interrupt() && task.count() > 0 {
        on(task, cpu);
    }
}

/// Leaves the mode altogether, so that `f`'s sections are outermost ones, defer, and pay at their end.
pub(crate) fn around<S: Slot, R>(task: &TaskMmu<S>, cpu: &impl Cpu, f: impl FnOnce() -> R) -> R {
    let (count, enabled) = (task.count(), task.enabled());
    if count == 0 || task.in_interrupt() {
        return f();
    }
    task.set_count(0);
    if enabled {
        off(task, cpu);
    }
    let _back = OnDrop(|| {
        task.set_count(count);
        if enabled {
            on(task, cpu);
        }
    });
    f()
}

fn on<S: Slot>(task: &TaskMmu<S>, cpu: &impl Cpu) {
    task.arch_enter(cpu);
    task.set_enabled(true);
}

fn off<S: Slot>(task: &TaskMmu<S>, cpu: &impl Cpu) {
    task.arch_leave(cpu);
    task.set_enabled(false);
}
