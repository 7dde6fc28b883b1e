//! Rules that are chosen at run time.

use super::rules::{Level, Rules};
use crate::baseline::{Eager, Flat, Reenter};
use crate::mode::Mode;
use crate::section::OnDrop;
use crate::{Contract, Cpu, Linux7, Policy, Slot, V3};
use core::sync::atomic::AtomicU8;

/// In the byte: a call has called out, and goes on by the rules that it has begun with.
const CALLING_OUT: u8 = 0x80;

/// The [`Policy`] as data, for a kernel that demonstrates and compares.
///
/// Each of the four calls looks at it; a store never does. It is changed by
/// [`TaskMmu::set_policy`](crate::TaskMmu::set_policy), while the task is idle. The policy is a byte more than the four
/// of the task.
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

/// A call of the rules that are chosen. The contracts come first; the baselines are out of their way, and so is a call
/// that a handler, a report or a hook makes while another has called out.
macro_rules! chosen {
    ($call:ident, $of_baseline:ident, $answer:ty $(, $level:ident)?) => {
        #[inline(always)]
        fn $call<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S> $(, $level: Level)?) -> $answer {
            match self.0.get() {
                Policy::V3_BYTE => V3.$call(mode $(, $level)?),
                Policy::LINUX7_BYTE => Linux7.$call(mode $(, $level)?),
                baseline => $of_baseline(baseline, mode $(, $level)?),
            }
        }
    };
    ($($call:ident, $of_baseline:ident, $on_top:ident, $answer:ty $(, $level:ident)?;)*) => {
        $(#[inline(never)]
        fn $of_baseline<K: Contract, C: Cpu, S: Slot>(
            byte: u8,
            mode: &Mode<K, C, S> $(, $level: Level)?
        ) -> $answer {
            if byte & CALLING_OUT != 0 {
                return $on_top(byte, mode $(, $level)?);
            }
            match Policy::from_byte(byte) {
                Policy::Eager => Eager.$call(mode $(, $level)?),
                Policy::Flat => Flat.$call(mode $(, $level)?),
                _ => Reenter.$call(mode $(, $level)?),
            }
        }

        #[cold]
        #[inline(never)]
        fn $on_top<K: Contract, C: Cpu, S: Slot>(
            byte: u8,
            mode: &Mode<K, C, S> $(, $level: Level)?
        ) -> $answer {
            match Policy::from_byte(byte & !CALLING_OUT) {
                Policy::Eager => Eager.$call(mode $(, $level)?),
                Policy::Flat => Flat.$call(mode $(, $level)?),
                Policy::Reenter => Reenter.$call(mode $(, $level)?),
                Policy::V3 => V3.$call(mode $(, $level)?),
                Policy::Linux7 => Linux7.$call(mode $(, $level)?),
            }
        })*
    };
}

chosen! {
    enable, enable_of_baseline, enable_on_top, Level;
    disable, disable_of_baseline, disable_on_top, ();
    pause, pause_of_baseline, pause_on_top, ();
    resume, resume_of_baseline, resume_on_top, ();
    begin, begin_of_baseline, begin_on_top, Level;
    end, end_of_baseline, end_on_top, bool, level;
}

impl<P: Slot> Rules for Chosen<P> {
    #[inline]
    fn policy(&self) -> Policy {
        Policy::from_byte(self.0.get() & !CALLING_OUT)
    }

    /// The mark goes also if the call-out unwinds; one inside another leaves it.
    #[inline]
    fn calling_out(&self, call_out: impl FnOnce()) {
        let byte = self.0.get();
        self.0.set(byte | CALLING_OUT);
        let _end = OnDrop(|| self.0.set(byte));
        call_out();
    }

    #[inline]
    fn is_calling_out(&self) -> bool {
        self.0.get() & CALLING_OUT != 0
    }

    chosen!(enable, enable_of_baseline, Level);
    chosen!(disable, disable_of_baseline, ());
    chosen!(pause, pause_of_baseline, ());
    chosen!(resume, resume_of_baseline, ());
    chosen!(begin, begin_of_baseline, Level);
    chosen!(end, end_of_baseline, bool, level);

    #[inline]
    fn is_paused<K: Contract, C: Cpu, S: Slot>(
        &self,
        mode: &Mode<K, C, S>,
        in_interrupt: bool,
    ) -> bool {
        match self.policy() {
            Policy::V3 => V3.is_paused(mode, in_interrupt),
            Policy::Linux7 => Linux7.is_paused(mode, in_interrupt),
            _ => Flat.is_paused(mode, in_interrupt),
        }
    }

    #[inline]
    fn is_active<K: Contract, C: Cpu, S: Slot>(&self, mode: &Mode<K, C, S>) -> bool {
        match self.policy() {
            Policy::Linux7 => Linux7.is_active(mode),
            _ => mode.enabled(),
        }
    }

    #[inline]
    fn reenter<K: Contract, C: Cpu, S: Slot, R>(
        &self,
        mode: &Mode<K, C, S>,
        f: impl FnOnce() -> R,
    ) -> R {
        match self.policy() {
            Policy::Reenter => Reenter.reenter(mode, f),
            _ => f(),
        }
    }
}
