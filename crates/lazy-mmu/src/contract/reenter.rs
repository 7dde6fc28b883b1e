//! Depth without a flush: who runs sections of his own beneath his caller's leaves the mode first.
//!
//! What one gets without nesting and without giving up batching. It depends on every such callee knowing
//! that it is one; the pairs it costs are what nesting is measured against.

use crate::section::OnDrop;
use crate::task::bug;
use crate::{Cpu, Misuse, Slot, TaskMmu};

/// Whether it has begun one, or been ignored as the exit will be: not after a bug that returned.
pub(crate) fn enable<S: Slot>(task: &TaskMmu<S>, cpu: &impl Cpu) -> bool {
    if task.in_interrupt() {
        return true;
    }
    let count = task.count();
    if count == u8::MAX {
        bug(cpu, Misuse::TooDeep);
        return false;
    }
    task.set_count(count + 1);
    if count == 0 {
        on(task, cpu);
    }
    true
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

/// What [`leave`] has taken from a task, for [`back`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Left {
    pub(crate) count: u8,
    pub(crate) enabled: bool,
}

/// Leaves the mode altogether, so that `f`'s sections are outermost ones, defer, and pay at their end.
pub(crate) fn around<S: Slot, R>(task: &TaskMmu<S>, cpu: &impl Cpu, f: impl FnOnce() -> R) -> R {
    let left = leave(task, cpu);
    let _back = OnDrop(|| {
        if let Some(left) = left {
            back(task, cpu, left);
        }
    });
    f()
}

/// Nothing to leave: outside of a section, and in an interrupt, whose sections are not the task's.
pub(crate) fn leave<S: Slot>(task: &TaskMmu<S>, cpu: &impl Cpu) -> Option<Left> {
    let (count, enabled) = (task.count(), task.enabled());
    if count == 0 || task.in_interrupt() {
        return None;
    }
    task.set_count(0);
    if enabled {
        off(task, cpu);
    }
    Some(Left { count, enabled })
}

/// The mode as it was, on or paused, and the sections that were open, on top of any that have been left open
/// since: a leak stays one, to be found at the task's end.
pub(crate) fn back<S: Slot>(task: &TaskMmu<S>, cpu: &impl Cpu, left: Left) {
    let leaked = task.count();
    let count = leaked.checked_add(left.count).unwrap_or_else(|| {
        bug(cpu, Misuse::TooDeep);
        u8::MAX
    });
    task.set_count(count);
    match (task.enabled(), left.enabled) {
        (false, true) => on(task, cpu),
        (true, false) => off(task, cpu),
        (false, false) | (true, true) => {}
    }
}

fn on<S: Slot>(task: &TaskMmu<S>, cpu: &impl Cpu) {
    task.arch_enter(cpu);
    task.set_enabled(true);
}

fn off<S: Slot>(task: &TaskMmu<S>, cpu: &impl Cpu) {
    task.arch_leave(cpu);
    task.set_enabled(false);
}
