//! No mode at all: arm64 Linux up to 6.15.

use super::{closed, opened};
use crate::contract::rules::{Level, Rules};
use crate::mode::Mode;
use crate::{Contract, Cpu, Policy, Slot};

/// Baseline: the mode does nothing and every store that owes pays at once. arm64 Linux up to 6.15.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Eager;

impl Rules for Eager {
    fn policy(&self) -> Policy {
        Policy::Eager
    }

    #[inline]
    fn enable<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>) -> Level {
        if !mode.in_interrupt() {
            opened(mode);
        }
        Level::Task
    }

    #[inline]
    fn disable<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>) {
        if !mode.in_interrupt() {
            closed(mode);
        }
    }

    #[inline]
    fn pause<K: Contract, C: Cpu, S: Slot>(&self, _: &Mode<K, C, S>) {}

    #[inline]
    fn resume<K: Contract, C: Cpu, S: Slot>(&self, _: &Mode<K, C, S>) {}
}
