//! Rules that are chosen at run time.

use super::rules::Rules;
use crate::baseline::{Eager, Flat, Reenter};
use crate::mode::Mode;
use crate::{Cpu, Linux7, Policy, Slot, V3};
use core::sync::atomic::AtomicU8;

/// The [`Policy`] as data, for a kernel that demonstrates and compares.
///
/// Each of the four calls looks at it; a store never does. It is changed by
/// [`TaskMmu::set_policy`](crate::TaskMmu::set_policy), while the task is idle.
#[derive(Debug)]
pub struct Chosen<S: Slot = AtomicU8>(S);

impl Chosen {
    /// With this policy to begin with.
    #[must_use]
    pub const fn new(policy: Policy) -> Self {
        Chosen(AtomicU8::new(policy.to_byte()))
    }
}

impl<S: Slot> Chosen<S> {
    /// As [`new`](Chosen::new), over another kind of [`Slot`].
    #[must_use]
    pub fn with_slot(policy: Policy) -> Self {
        Chosen(S::new(policy.to_byte()))
    }

    /// Over a slot that exists already.
    #[cfg(test)]
    pub(crate) fn over(slot: S) -> Self {
        Chosen(slot)
    }

    pub(crate) fn set(&self, policy: Policy) {
        self.0.set(policy.to_byte());
    }
}

/// A call of the rules that are chosen. The contracts come first, and the baselines are out of their way.
macro_rules! chosen {
    ($call:ident, $of_baseline:ident, $answer:ty) => {
        #[inline(always)]
        fn $call<C: Cpu, S: Slot>(&self, mode: &Mode<C, S>) -> $answer {
            match self.0.get() {
                Policy::V3_BYTE => V3.$call(mode),
                Policy::LINUX7_BYTE => Linux7.$call(mode),
                baseline => $of_baseline(baseline, mode),
            }
        }
    };
    ($($call:ident, $of_baseline:ident, $answer:ty;)*) => {
        $(#[inline(never)]
        fn $of_baseline<C: Cpu, S: Slot>(baseline: u8, mode: &Mode<C, S>) -> $answer {
            match Policy::from_byte(baseline) {
                Policy::Eager => Eager.$call(mode),
                Policy::Flat => Flat.$call(mode),
                _ => Reenter.$call(mode),
            }
        })*
    };
}

chosen! {
    enable, enable_of_baseline, bool;
    disable, disable_of_baseline, ();
    pause, pause_of_baseline, ();
    resume, resume_of_baseline, ();
}

impl<P: Slot> Rules for Chosen<P> {
    #[inline]
    fn policy(&self) -> Policy {
        Policy::from_byte(self.0.get())
    }

    chosen!(enable, enable_of_baseline, bool);
    chosen!(disable, disable_of_baseline, ());
    chosen!(pause, pause_of_baseline, ());
    chosen!(resume, resume_of_baseline, ());

    #[inline]
    fn is_active<C: Cpu, S: Slot>(&self, mode: &Mode<C, S>) -> bool {
        match self.policy() {
            Policy::Linux7 => Linux7.is_active(mode),
            _ => mode.enabled(),
        }
    }

    #[inline]
    fn reenter<C: Cpu, S: Slot, R>(&self, mode: &Mode<C, S>, f: impl FnOnce() -> R) -> R {
        match self.policy() {
            Policy::Reenter => Reenter.reenter(mode, f),
            _ => f(),
        }
    }
}
