//! One flag, no depth: arm64 Linux 6.16 to 6.19.
//!
//! The calls are arm64's hooks themselves, which return early in an interrupt and pay *before* they clear
//! the flag.

use super::{closed, opened};
use crate::contract::rules::{Level, Rules};
use crate::mode::Mode;
use crate::section::{OnDrop, or_undo};
use crate::{Contract, Cpu, Policy, Slot};

/// Baseline: one flag, no depth. The first exit pays and ends the mode, for the sections around it
/// too. arm64 Linux 6.16 to 6.19 (commit 1ef3095b1405).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flat;

impl Rules for Flat {
    fn policy(&self) -> Policy {
        Policy::Flat
    }

    #[inline]
    fn enable<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>) -> Level {
        if !mode.in_interrupt() {
            opened(mode);
            or_undo(|| mode.arch_enter_first(), || closed(mode));
            mode.set_enabled(true);
        }
        Level::Task
    }

    #[inline]
    fn disable<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>) {
        if !mode.in_interrupt() {
            closed(mode);
            let _off = OnDrop(|| mode.set_enabled(false));
            mode.arch_leave();
        }
    }

    #[inline]
    fn pause<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>) {
        if !mode.in_interrupt() {
            mode.arch_leave();
            mode.set_enabled(false);
        }
    }

    #[inline]
    fn resume<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>) {
        if !mode.in_interrupt() {
            let _on = OnDrop(|| mode.set_enabled(true));
            mode.arch_enter_first();
        }
    }
}
