//! Nesting pause: what Linux 7.0 merged.
//!
//! The mode is on if sections are open and no pause is. That is kept as a flag beside the two counts, because
//! a store reads it and must not look at both; the flag follows each change of a count before the hook
//! runs, which therefore sees what Linux's would. In interrupt context the four calls return at once, so
//! nobody can look between a count and the flag.
//!
//! There is no bug here: a count that is already at its end is warned about and wraps. Each count is read again
//! where the C reads it again, behind the warning: who is called out to may have changed it.

use super::rules::{Level, Rules};
use crate::mode::Mode;
use crate::section::or_undo;
use crate::{Contract, Cpu, Hook, Misuse, Policy, Slot};

/// Contract, *nesting pause*: what Linux 7.0 merged (commit 5ab246749569). While paused, `enable` and
/// `disable` are ignored, and pauses nest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Linux7;

impl Rules for Linux7 {
    fn policy(&self) -> Policy {
        Policy::Linux7
    }

    #[inline(always)]
    fn enable<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>) -> Level {
        if mode.in_interrupt() || mode.pause_count() > 0 {
            return Level::Apart;
        }
        let count = mode.count();
        if count == u8::MAX {
            return enable_at_the_end(mode);
        }
        mode.set_count(count + 1);
        if count == 0 {
            mode.set_enabled_outside_interrupts(true);
            arch_enter(mode);
        }
        Level::Task
    }

    #[inline(always)]
    fn disable<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>) {
        if mode.in_interrupt() || mode.pause_count() > 0 {
            return;
        }
        let count = mode.count();
        if count == 0 {
            return disable_at_the_end(mode);
        }
        exit(mode, count);
    }

    /// A guard knows whether its level was counted.
    #[inline(always)]
    fn begin<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>) -> Level {
        self.enable(mode)
    }

    /// The mode is on only in a section, outside of pauses and interrupts.
    #[inline(always)]
    fn end<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>, level: Level) -> bool {
        if level == Level::Task && mode.is_on() {
            exit(mode, mode.count());
        } else {
            end_by_its_place(mode, level);
        }
        true
    }

    /// Not after the task's end.
    #[inline]
    fn is_paused<K: Contract, C: Cpu, S: Slot>(
        &self,
        mode: &Mode<K, C, S>,
        in_interrupt: bool,
    ) -> bool {
        !in_interrupt && mode.pause_count() > 0
    }

    #[inline(always)]
    fn pause<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>) {
        if mode.in_interrupt() {
            return;
        }
        let mut pauses = mode.pause_count();
        if mode.warn_if(pauses == u8::MAX, Misuse::PauseWraps) {
            pauses = mode.pause_count();
        }
        let after = pauses.wrapping_add(1);
        mode.set_pause_count(after);
        let open = mode.count();
        mode.set_enabled_outside_interrupts(open > 0 && after == 0);
        if pauses == 0 && open > 0 {
            or_undo(
                || mode.hook_and_pay_outside_interrupts(Hook::Leave),
                || {
                    mode.set_pause_count(0);
                    mode.set_enabled_outside_interrupts(true);
                },
            );
        }
    }

    #[inline(always)]
    fn resume<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>) {
        if mode.in_interrupt() {
            return;
        }
        let mut pauses = mode.pause_count();
        if mode.warn_if(pauses == 0, Misuse::ResumeWraps) {
            pauses = mode.pause_count();
        }
        let after = pauses.wrapping_sub(1);
        mode.set_pause_count(after);
        let open = mode.count();
        mode.set_enabled_outside_interrupts(open > 0 && after == 0);
        if after == 0 && open > 0 {
            mode.arch_enter();
        }
    }

    /// Never in an interrupt.
    #[inline]
    fn is_active<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>) -> bool {
        mode.is_on()
    }
}

/// `disable`, with `count` sections open.
#[inline(always)]
fn exit<K: Contract, C: Cpu, S: Slot>(mode: &Mode<K, C, S>, count: u8) {
    mode.set_count(count - 1);
    if count == 1 {
        mode.set_enabled_outside_interrupts(false);
        mode.hook_and_pay_outside_interrupts(Hook::Leave);
    } else {
        mode.hook_and_pay_outside_interrupts(Hook::Flush);
    }
}

/// A level that was ignored ends where calls are ignored, and one that was counted where they are not.
#[cold]
#[inline(never)]
fn end_by_its_place<K: Contract, C: Cpu, S: Slot>(mode: &Mode<K, C, S>, level: Level) {
    match (level, mode.in_interrupt() || mode.pause_count() > 0) {
        (Level::Apart, true) => {}
        (Level::Wrapped, false) => Linux7.disable(mode),
        (Level::Task | Level::Wrapped, true) => {
            mode.out_of_place(|| mode.as_the_tasks_own(|| exit_out_of_place(mode, level)));
        }
        // Behind the pause or the interrupt; or the task has ended, for else the mode would be on.
        _ => mode.out_of_place(|| mode.pay()),
    }
}

/// Takes a guard's level away where `disable` is ignored. In a pause the mode has been left, and its hook has run.
fn exit_out_of_place<K: Contract, C: Cpu, S: Slot>(mode: &Mode<K, C, S>, level: Level) {
    let count = mode.count();
    match count {
        // The task has ended.
        0 if level == Level::Task => mode.pay(),
        _ if mode.pause_count() > 0 => {
            mode.set_count(count.wrapping_sub(1));
            mode.pay();
        }
        0 => disable_at_the_end(mode),
        _ => exit(mode, count),
    }
}

/// The hook of the outermost `enable`. If it unwinds, no section has begun, and what the hook has stored is paid.
#[inline(always)]
fn arch_enter<K: Contract, C: Cpu, S: Slot>(mode: &Mode<K, C, S>) {
    or_undo(
        || mode.arch_enter(),
        || {
            mode.set_count(0);
            mode.set_enabled_outside_interrupts(false);
            mode.pay();
        },
    );
}

/// `enable` with 255 sections open. Behind the warning the count is read again, and there may be a pause by then.
#[cold]
#[inline(never)]
fn enable_at_the_end<K: Contract, C: Cpu, S: Slot>(mode: &Mode<K, C, S>) -> Level {
    mode.warn_if(true, Misuse::EnableWraps);
    let before = mode.count();
    let after = before.wrapping_add(1);
    mode.set_count(after);
    mode.set_enabled_outside_interrupts(after > 0 && mode.pause_count() == 0);
    if before == 0 {
        arch_enter(mode);
    }
    if after == 0 {
        Level::Wrapped
    } else {
        Level::Task
    }
}

/// `disable` with no section open: likewise.
#[cold]
#[inline(never)]
fn disable_at_the_end<K: Contract, C: Cpu, S: Slot>(mode: &Mode<K, C, S>) {
    mode.warn_if(true, Misuse::DisableWraps);
    let after = mode.count().wrapping_sub(1);
    mode.set_count(after);
    mode.set_enabled_outside_interrupts(after > 0 && mode.pause_count() == 0);
    if after == 0 {
        mode.arch_leave();
    } else {
        mode.arch_flush();
    }
}
