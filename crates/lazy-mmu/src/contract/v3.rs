//! Exclusive pause: "mm: enable lazy_mmu sections to nest", version 3.
//!
//! There is no test for interrupt context here, as there is none in the patch's generic code: a handler's
//! section changes the count of the task it interrupted, and only the built-in arch layer stands still. Three
//! things follow from the contract, not from this code:
//!
//! - a handler that opens a section and does not close it leaves it to the task, and the other way round:
//!   the count is read where it is changed, so what a handler has done to it by then is kept (the change is
//!   a load and a store, as in C; between the two it is overwritten), and it wraps if a handler has taken
//!   it to its end after the check;
//! - a handler that opens a section while the task is paused is warned about;
//! - a handler that opens and closes one between `enabled = true` and the increment in [`enable`] leaves the
//!   task with a section that is not enabled. Nothing is lost by it (stores then pay at once), but the end
//!   of the section warns. The nesting contract, which ignores handlers, has no such window.

use crate::task::{bug, warn_if};
use crate::{Cpu, Misuse, Slot, TaskMmu};

/// Whether it has begun one: not after a bug that returned.
pub(crate) fn enable<S: Slot>(task: &TaskMmu<S>, cpu: &impl Cpu) -> bool {
    let count = task.count();
    if count == u8::MAX {
        bug(cpu, Misuse::TooDeep);
        return false;
    }
    let count = match count > 0 && !task.enabled() {
        // Read again, as in C: who is called out to may have changed it.
        true => {
            warn_if(true, cpu, Misuse::EnableWhilePaused);
            task.count()
        }
        false => count,
    };
    if count == 0 {
        task.arch_enter(cpu);
        task.set_enabled(true);
    }
    task.set_count(task.count().wrapping_add(1));
    true
}

pub(crate) fn disable<S: Slot>(task: &TaskMmu<S>, cpu: &impl Cpu) {
    if task.count() == 0 {
        return bug(cpu, Misuse::NotOpen);
    }
    warn_if(!task.enabled(), cpu, Misuse::DisableWhilePaused);
    task.set_count(task.count().wrapping_sub(1));
    if task.count() == 0 {
        task.set_enabled(false);
        task.arch_leave(cpu);
    } else {
        task.arch_flush(cpu);
    }
}

pub(crate) fn pause<S: Slot>(task: &TaskMmu<S>, cpu: &impl Cpu) {
    warn_if(
        task.count() == 0 || !task.enabled(),
        cpu,
        Misuse::PauseOutside,
    );
    task.set_enabled(false);
    task.arch_leave(cpu);
}

pub(crate) fn resume<S: Slot>(task: &TaskMmu<S>, cpu: &impl Cpu) {
    warn_if(
        task.count() == 0 || task.enabled(),
        cpu,
        Misuse::ResumeUnpaused,
    );
    task.arch_enter(cpu);
    task.set_enabled(true);
}
