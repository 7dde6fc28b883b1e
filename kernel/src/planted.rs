//! Mistakes made on purpose, to see who notices: feature `planted`, and `plant=` on the command line.
//!
//! Without the feature [`is`] is `false` for the compiler, and nothing of this is in the kernel. `tests/planted.boots` has a boot
//! for each, and says who must see it: QEMU (a stale translation is used), the rules (`check=on`), the table or the closed form (the
//! number of pairs), the witness (what was executed), or the workload's own checks.

/// A mistake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
#[allow(missing_docs)] // the names are the documentation; `NAMES` has them in words
pub enum Bug {
    None,
    PublishNoDsb,
    PublishNoIsb,
    PublishSwapped,
    OweLost,
    InnerExitPaysNothing,
    FlagStays,
    LinkNoDmb,
    LinkNoZero,
    TlbiNone,
    TlbiNoDsbBefore,
    TlbiNoDsbAfter,
    TlbiNoIsb,
    TlbiFirst,
    TlbiLocal,
    TlbiOnlyRecorded,
    DsbOnlyRecorded,
    DsbNotCounted,
    IsbNotCounted,
    DmbNotCounted,
    TlbiNotCounted,
    RootUnpublished,
    SwitchNoDsb,
    FreeBeforeInvalidation,
    WrongFrame,
    FrameLost,
    FrameOverwritten,
    PairUnasked,
    OtherCalls,
    HookWrong,
}

/// The names of the mistakes, as `plant=` takes them.
pub const NAMES: [(&str, Bug); 29] = [
    ("publish-no-dsb", Bug::PublishNoDsb),
    ("publish-no-isb", Bug::PublishNoIsb),
    ("publish-swapped", Bug::PublishSwapped),
    ("owe-lost", Bug::OweLost),
    ("inner-exit-pays-nothing", Bug::InnerExitPaysNothing),
    ("flag-stays", Bug::FlagStays),
    ("link-no-dmb", Bug::LinkNoDmb),
    ("link-no-zero", Bug::LinkNoZero),
    ("tlbi-none", Bug::TlbiNone),
    ("tlbi-no-dsb-before", Bug::TlbiNoDsbBefore),
    ("tlbi-no-dsb-after", Bug::TlbiNoDsbAfter),
    ("tlbi-no-isb", Bug::TlbiNoIsb),
    ("tlbi-first", Bug::TlbiFirst),
    ("tlbi-local", Bug::TlbiLocal),
    ("tlbi-only-recorded", Bug::TlbiOnlyRecorded),
    ("dsb-only-recorded", Bug::DsbOnlyRecorded),
    ("dsb-not-counted", Bug::DsbNotCounted),
    ("isb-not-counted", Bug::IsbNotCounted),
    ("dmb-not-counted", Bug::DmbNotCounted),
    ("tlbi-not-counted", Bug::TlbiNotCounted),
    ("root-unpublished", Bug::RootUnpublished),
    ("switch-no-dsb", Bug::SwitchNoDsb),
    ("free-before-invalidation", Bug::FreeBeforeInvalidation),
    ("wrong-frame", Bug::WrongFrame),
    ("frame-lost", Bug::FrameLost),
    ("frame-overwritten", Bug::FrameOverwritten),
    ("pair-unasked", Bug::PairUnasked),
    ("other-calls", Bug::OtherCalls),
    ("hook-wrong", Bug::HookWrong),
];

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
