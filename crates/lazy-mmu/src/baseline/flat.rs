//! One flag, no depth: arm64 Linux 6.16 to 6.19.
//!
//! The calls are arm64's hooks themselves, which return early in an interrupt and pay *before* they clear
//! the flag.

use super::{closed, opened};
use crate::contract::rules::Rules;
use crate::mode::Mode;
use crate::{Cpu, Policy, Slot};

/// Baseline: one flag, no depth. The first exit pays and ends the mode, for the sections around it
/// too. arm64 Linux 6.16 to 6.19 (commit 1ef3095b1405).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flat;

impl Rules for Flat {
    fn policy(&self) -> Policy {
        Policy::Flat
    }

    #[inline]
    fn enable<C: Cpu, S: Slot>(&self, mode: &Mode<C, S>) -> bool {
        if !mode.in_interrupt() {
            opened(mode);
            on(mode);
        }
        true
    }

    #[inline]
    fn disable<C: Cpu, S: Slot>(&self, mode: &Mode<C, S>) {
        if !mode.in_interrupt() {
            closed(mode);
            off(mode);
        }
    }

    #[inline]
    fn pause<C: Cpu, S: Slot>(&self, mode: &Mode<C, S>) {
        if !mode.in_interrupt() {
            off(mode);
        }
    }

    #[inline]
    fn resume<C: Cpu, S: Slot>(&self, mode: &Mode<C, S>) {
        if !mode.in_interrupt() {
            on(mode);
        }
    }
}

fn on<C: Cpu, S: Slot>(mode: &Mode<C, S>) {
    mode.arch_enter();
    mode.set_enabled(true);
}

fn off<C: Cpu, S: Slot>(mode: &Mode<C, S>) {
    mode.arch_leave();
    mode.set_enabled(false);
}
