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
//! - a handler that opens and closes one between `enabled = true` and the increment in `enable` leaves the
//!   task with a section that is not enabled. Nothing is lost by it (stores then pay at once), but the end
//!   of the section warns. The nesting contract, which ignores handlers, has no such window.

use super::rules::{Level, Rules};
use crate::mode::Mode;
use crate::section::{OnDrop, or_undo};
use crate::{Contract, Cpu, Misuse, Policy, Slot};

/// Contract, *exclusive pause*: "mm: enable lazy_mmu sections to nest", version 3. While paused, none
/// of the four calls but `resume` may be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct V3;

impl Rules for V3 {
    fn policy(&self) -> Policy {
        Policy::V3
    }

    #[inline(always)]
    fn enable<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>) -> Level {
        enter::<false, _, _, _>(mode)
    }

    #[inline(always)]
    fn begin<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>) -> Level {
        enter::<true, _, _, _>(mode)
    }

    #[inline(always)]
    fn disable<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>) {
        if mode.count() == 0 {
            return mode.bug(Misuse::NotOpen);
        }
        if mode.enabled() || cfg!(not(feature = "warnings")) {
            exit(mode);
        } else {
            exit_while_paused(mode);
        }
    }

    #[inline(always)]
    fn pause<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>) {
        let begins = mode.count() > 0 && mode.enabled();
        mode.warn_if(!begins, Misuse::PauseOutside);
        mode.set_enabled(false);
        or_undo(|| mode.arch_leave(), || mode.set_enabled(begins));
    }

    #[inline(always)]
    fn resume<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>) {
        mode.warn_if(mode.count() == 0 || mode.enabled(), Misuse::ResumeUnpaused);
        let _on = OnDrop(|| mode.set_enabled(true));
        mode.arch_enter_first();
    }

    #[inline(always)]
    fn end<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>, level: Level) -> bool {
        if level == Level::Task && mode.is_on() && mode.count() > 0 {
            exit(mode);
            return true;
        }
        end_by_its_place(mode, level)
    }

    /// In a handler too, whose calls have their effects.
    #[inline]
    fn is_paused<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>, _: bool) -> bool {
        mode.count() > 0
    }
}

/// `enable`; a guard also looks where it is.
#[inline(always)]
fn enter<const GUARD: bool, K: Contract, C: Cpu, S: Slot>(mode: &Mode<K, C, S>) -> Level {
    let mut count = mode.count();
    if count == u8::MAX {
        mode.bug(Misuse::TooDeep);
        return Level::None;
    }
    if mode.warn_if(count > 0 && !mode.enabled(), Misuse::EnableWhilePaused) {
        count = mode.count();
    }
    let in_interrupt = if count == 0 {
        mode.arch_enter_first();
        mode.set_enabled_where(true)
    } else {
        GUARD && mode.in_interrupt()
    };
    mode.set_count(mode.count().wrapping_add(1));
    if GUARD && in_interrupt {
        Level::Apart
    } else {
        Level::Task
    }
}

#[inline(always)]
fn exit<K: Contract, C: Cpu, S: Slot>(mode: &Mode<K, C, S>) {
    mode.set_count(mode.count().wrapping_sub(1));
    if mode.count() == 0 {
        mode.set_enabled(false);
        mode.arch_leave();
    } else {
        mode.arch_flush();
    }
}

/// Each level was counted, so it ends wherever that is.
#[cold]
#[inline(never)]
fn end_by_its_place<K: Contract, C: Cpu, S: Slot>(mode: &Mode<K, C, S>, level: Level) -> bool {
    if level == Level::None {
        return false;
    }
    if mode.in_interrupt() == (level == Level::Apart) {
        V3.disable(mode);
    } else {
        mode.out_of_place(|| mode.as_the_tasks_own(|| V3.disable(mode)));
    }
    true
}

/// Also if the report unwinds: the level that it is about does not stay open.
#[cold]
#[inline(never)]
fn exit_while_paused<K: Contract, C: Cpu, S: Slot>(mode: &Mode<K, C, S>) {
    let _exit = OnDrop(|| exit(mode));
    mode.bug(Misuse::DisableWhilePaused);
}
