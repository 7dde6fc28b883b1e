//! Nesting pause: what Linux 7.0 merged.
//!
//! The mode is on if sections are open and no pause is. That is kept as a flag beside the two counts, because
//! a store reads it and must not look at both; the flag follows each change of a count before the hook
//! runs, which therefore sees what Linux's would. In interrupt context the four calls return at once, so
//! nobody can look between a count and the flag.
//!
//! There is no bug here: a count that is already at its end is warned about and wraps. Each count is read again
//! where the C reads it again, behind the warning: who is called out to may have changed it.

use crate::task::warn_if;
use crate::{Cpu, Misuse, Slot, TaskMmu};

pub(crate) fn enable<S: Slot>(task: &TaskMmu<S>, cpu: &impl Cpu) {
    if task.in_interrupt() || task.pause_count() > 0 {
        return;
    }
    warn_if(task.count() == u8::MAX, cpu, Misuse::EnableWraps);
    let count = task.count();
    let after = count.wrapping_add(1);
    task.set_count(after);
    task.set_enabled(after > 0 && task.pause_count() == 0);
    if count == 0 {
        task.arch_enter(cpu);
    }
}

pub(crate) fn disable<S: Slot>(task: &TaskMmu<S>, cpu: &impl Cpu) {
    if task.in_interrupt() || task.pause_count() > 0 {
        return;
    }
    warn_if(task.count() == 0, cpu, Misuse::DisableWraps);
    let after = task.count().wrapping_sub(1);
    task.set_count(after);
    task.set_enabled(after > 0 && task.pause_count() == 0);
    if after == 0 {
        task.arch_leave(cpu);
    } else {
        task.arch_flush(cpu);
    }
}

pub(crate) fn pause<S: Slot>(task: &TaskMmu<S>, cpu: &impl Cpu) {
    if task.in_interrupt() {
        return;
    }
    warn_if(task.pause_count() == u8::MAX, cpu, Misuse::PauseWraps);
    let pauses = task.pause_count();
    let after = pauses.wrapping_add(1);
    let open = task.count() > 0;
    task.set_pause_count(after);
    task.set_enabled(open && after == 0);
    if pauses == 0 && open {
        task.arch_leave(cpu);
    }
}

pub(crate) fn resume<S: Slot>(task: &TaskMmu<S>, cpu: &impl Cpu) {
    if task.in_interrupt() {
        return;
    }
    warn_if(task.pause_count() == 0, cpu, Misuse::ResumeWraps);
    let after = task.pause_count().wrapping_sub(1);
    let open = task.count() > 0;
    task.set_pause_count(after);
    task.set_enabled(open && after == 0);
    if after == 0 && open {
        task.arch_enter(cpu);
    }
}
