//! No mode at all: arm64 Linux up to 6.15.

use super::{closed, opened};
use crate::contract::rules::Rules;
use crate::mode::Mode;
use crate::{Cpu, Policy, Slot};

/// Baseline: the mode does nothing and every store that owes pays at once. arm64 Linux up to 6.15.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Eager;

impl Rules for Eager {
    fn policy(&self) -> Policy {
        Policy::Eager
    }

    #[inline]
    fn enable<C: Cpu, S: Slot>(&self, mode: &Mode<C, S>) -> bool {
        if !mode.in_interrupt() {
            opened(mode);
        }
        true
    }

    #[inline]
    fn disable<C: Cpu, S: Slot>(&self, mode: &Mode<C, S>) {
        if !mode.in_interrupt() {
            closed(mode);
        }
    }

    #[inline]
    fn pause<C: Cpu, S: Slot>(&self, _: &Mode<C, S>) {}

    #[inline]
    fn resume<C: Cpu, S: Slot>(&self, _: &Mode<C, S>) {}
}
