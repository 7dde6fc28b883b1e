//! What a boot says of itself at its end.

/// What a boot says of itself. The numbers are QEMU's exit status, and part of the interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Verdict {
    /// All runs were done and checked.
    Good = 0,
    /// A check failed.
    Failed = 1,
    /// The command line names something that is not there.
    BadArguments = 2,
    /// The kernel panicked.
    Panic = 3,
    /// An exception that nothing expected.
    Exception = 4,
    /// This machine cannot run the kernel.
    CannotRun = 5,
}

impl Verdict {
    /// Of one check: whether it is good.
    pub fn of(good: bool) -> Self {
        if good { Verdict::Good } else { Verdict::Failed }
    }

    /// The worse of two, for a run of several parts.
    pub fn and(self, other: Verdict) -> Verdict {
        if self == Verdict::Good { other } else { self }
    }
}
