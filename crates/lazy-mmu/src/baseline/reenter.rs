//! Depth without a flush. A callee that runs sections of its own, beneath its caller's, leaves the mode first.
//!
//! What one gets without nesting and without giving up batching. It depends on every such callee knowing
//! that it is one; the pairs it costs are what nesting is measured against.
//!
//! `pause_count` has the re-entries that are under way: in one the task is not in its caller's sections, and must
//! not be taken for idle.

use crate::contract::rules::{Level, Rules};
use crate::mode::Mode;
use crate::section::{OnDrop, or_undo};
use crate::{Contract, Cpu, Misuse, Policy, Slot};

/// Baseline: depth is counted, but an inner exit pays nothing; code that runs its own sections beneath
/// its caller's leaves the mode first and enters it again afterwards
/// ([`TaskMmu::reenter`](crate::TaskMmu::reenter)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reenter;

impl Rules for Reenter {
    fn policy(&self) -> Policy {
        Policy::Reenter
    }

    /// In an interrupt it is ignored, as the exit will be.
    #[inline]
    fn enable<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>) -> Level {
        if mode.in_interrupt() {
            return Level::Apart;
        }
        let count = mode.count();
        if count == u8::MAX {
            mode.bug(Misuse::TooDeep);
            return Level::None;
        }
        mode.set_count(count + 1);
        if count == 0 {
            or_undo(|| mode.arch_enter(), || mode.set_count(0));
            mode.set_enabled(true);
        }
        Level::Task
    }

    #[inline]
    fn disable<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>) {
        if mode.in_interrupt() {
            return;
        }
        let count = mode.count();
        if count == 0 {
            return mode.bug(Misuse::NotOpen);
        }
        mode.set_count(count - 1);
        if count == 1 {
            off(mode);
        }
    }

    #[inline]
    fn pause<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>) {
        if !mode.in_interrupt() {
            mode.arch_leave();
            mode.set_enabled(false);
        }
    }

    /// On *again*: outside of a section there is nothing to go back to.
    #[inline]
    fn resume<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>) {
        if !mode.in_interrupt() && mode.count() > 0 {
            on(mode);
        }
    }

    /// Leaves the mode altogether, so that `f`'s sections are outermost ones, defer, and pay at their end.
    fn reenter<K: Contract, C: Cpu, S: Slot, R>(
        &self,
        mode: &Mode<K, C, S>,
        f: impl FnOnce() -> R,
    ) -> R {
        let left = leave(mode);
        let _back = OnDrop(|| {
            if let Some(left) = left {
                back(mode, left);
            }
        });
        f()
    }
}

/// What [`leave`] has taken from a task, for [`back`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Left {
    pub(crate) count: u8,
    pub(crate) enabled: bool,
}

/// Nothing to leave: outside of a section, and in an interrupt, whose sections are not the task's.
pub(crate) fn leave<K: Contract, C: Cpu, S: Slot>(mode: &Mode<K, C, S>) -> Option<Left> {
    let (count, enabled) = (mode.count(), mode.enabled());
    if count == 0 || mode.in_interrupt() {
        return None;
    }
    let under_way = mode.pause_count();
    if under_way == u8::MAX {
        mode.bug(Misuse::ReentryTooDeep);
        return None;
    }
    // First: from here on until the end the task is not idle.
    mode.set_pause_count(under_way + 1);
    mode.set_count(0);
    let left = Left { count, enabled };
    if enabled {
        or_undo(|| mode.arch_leave(), || back(mode, left));
        mode.set_enabled(false);
    }
    Some(left)
}

/// The mode as it was, on or paused, and the sections that were open, on top of any that have been left open
/// since: a leak stays one, to be found at the task's end. Nothing, if the task has ended meanwhile.
pub(crate) fn back<K: Contract, C: Cpu, S: Slot>(mode: &Mode<K, C, S>, left: Left) {
    let Some(others) = mode.pause_count().checked_sub(1) else {
        return;
    };
    let leaked = mode.count();
    let count = leaked.checked_add(left.count);
    // Also if the report unwinds: the sections that were left are open again.
    let _back = OnDrop(|| {
        let _others = OnDrop(|| mode.set_pause_count(others));
        mode.set_count(count.unwrap_or(u8::MAX));
        match (mode.enabled(), left.enabled) {
            (false, true) => on(mode),
            (true, false) => off(mode),
            (false, false) | (true, true) => {}
        }
    });
    if count.is_none() {
        mode.bug(Misuse::ReentryLeft);
    }
}

/// Also if the hook unwinds, as [`off`]: what these are the end of ends all the same.
fn on<K: Contract, C: Cpu, S: Slot>(mode: &Mode<K, C, S>) {
    let _on = OnDrop(|| mode.set_enabled(true));
    mode.arch_enter();
}

fn off<K: Contract, C: Cpu, S: Slot>(mode: &Mode<K, C, S>) {
    let _off = OnDrop(|| mode.set_enabled(false));
    mode.arch_leave();
}
