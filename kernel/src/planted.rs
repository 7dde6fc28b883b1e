//! Mistakes made on purpose, to see who notices: feature `planted`, and `plant=` on the command line.
//!
//! Without the feature [`is`] is `false` for the compiler, and nothing of this is in the kernel. `tests/planted.boots` has a boot
//! for each, and says who must see it: QEMU (a stale translation is used), the rules (`check=on`), the table or the closed form (the
//! number of pairs), the witness (what was executed), or the workload's own checks.

/// Declares the mistakes and their names from one list.
macro_rules! mistakes {
    ($($name:literal => $bug:ident,)*) => {
        /// A mistake.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        #[allow(missing_docs)] // the names are the documentation; `NAMES` has them in words
        pub enum Bug {
            None,
            $($bug,)*
        }

        /// The names of the mistakes, as `plant=` takes them.
        pub const NAMES: &[(&str, Bug)] = &[$(($name, Bug::$bug),)*];
    };
}

mistakes! {
    "publish-no-dsb" => PublishNoDsb,
    "publish-no-isb" => PublishNoIsb,
    "publish-swapped" => PublishSwapped,
    "owe-lost" => OweLost,
    "inner-exit-pays-nothing" => InnerExitPaysNothing,
    "flag-stays" => FlagStays,
    "link-no-dmb" => LinkNoDmb,
    "link-no-zero" => LinkNoZero,
    "tlbi-none" => TlbiNone,
    "tlbi-no-dsb-before" => TlbiNoDsbBefore,
    "tlbi-no-dsb-after" => TlbiNoDsbAfter,
    "tlbi-no-isb" => TlbiNoIsb,
    "tlbi-first" => TlbiFirst,
    "tlbi-local" => TlbiLocal,
    "tlbi-only-recorded" => TlbiOnlyRecorded,
    "dsb-only-recorded" => DsbOnlyRecorded,
    "dsb-not-counted" => DsbNotCounted,
    "isb-not-counted" => IsbNotCounted,
    "dmb-not-counted" => DmbNotCounted,
    "tlbi-not-counted" => TlbiNotCounted,
    "root-unpublished" => RootUnpublished,
    "switch-no-dsb" => SwitchNoDsb,
    "free-before-invalidation" => FreeBeforeInvalidation,
    "wrong-frame" => WrongFrame,
    "frame-lost" => FrameLost,
    "frame-overwritten" => FrameOverwritten,
    "pair-unasked" => PairUnasked,
    "other-calls" => OtherCalls,
    "hook-wrong" => HookWrong,
    "preemptions-lost" => PreemptionsLost,
}

#[cfg(feature = "planted")]
static PLANTED: core::sync::atomic::AtomicU8 = core::sync::atomic::AtomicU8::new(Bug::None as u8);

/// Whether this mistake is to be made.
#[cfg(feature = "planted")]
#[inline]
pub fn is(bug: Bug) -> bool {
    PLANTED.load(core::sync::atomic::Ordering::Relaxed) == bug as u8
}

/// Whether this mistake is to be made: never.
#[cfg(not(feature = "planted"))]
#[inline(always)]
pub const fn is(_: Bug) -> bool {
    false
}

/// Makes this mistake from here on.
#[cfg(feature = "planted")]
pub fn plant(bug: Bug) {
    PLANTED.store(bug as u8, core::sync::atomic::Ordering::Relaxed);
}
