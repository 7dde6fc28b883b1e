//! How a boot ended.

use std::fmt;

/// The status of a boot. The kernel gives it through semihosting, and QEMU ends with it; the last three are the
/// runner's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// 0: every check held.
    Good,
    /// 1: a check failed, in the kernel or by the witness.
    CheckFailed,
    /// 2: the kernel's command line, or the runner's, names something that does not exist.
    BadArguments,
    /// 3: the kernel panicked.
    Panic,
    /// 4: the kernel took an exception nobody expected.
    Exception,
    /// 5: the kernel cannot run on this machine.
    CannotRun,
    /// 124: the time was up, and QEMU was killed.
    Timeout,
    /// 125: no boot took place, or QEMU itself died: nothing is known about the kernel.
    NoBoot,
    /// Any other status.
    Unknown(u8),
}

impl Verdict {
    /// The verdict a status stands for.
    #[must_use]
    pub fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Good,
            1 => Self::CheckFailed,
            2 => Self::BadArguments,
            3 => Self::Panic,
            4 => Self::Exception,
            5 => Self::CannotRun,
            124 => Self::Timeout,
            125 => Self::NoBoot,
            other => Self::Unknown(other),
        }
    }

    /// The status the runner ends with.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::CheckFailed => 1,
            Self::BadArguments => 2,
            Self::Panic => 3,
            Self::Exception => 4,
            Self::CannotRun => 5,
            Self::Timeout => 124,
            Self::NoBoot => 125,
            Self::Unknown(code) => code,
        }
    }

    /// What the status means, in a few words.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Good => "all good",
            Self::CheckFailed => "a check failed",
            Self::BadArguments => "bad arguments",
            Self::Panic => "panic",
            Self::Exception => "unexpected exception",
            Self::CannotRun => "this machine cannot run it",
            Self::Timeout => "time is up, QEMU was killed",
            Self::NoBoot => "QEMU did not run it to an end",
            Self::Unknown(_) => "a status no boot should end with",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "verdict {} ({})", self.code(), self.meaning())
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict;

    #[test]
    fn every_code_comes_back() {
        for code in 0..=u8::MAX {
            assert_eq!(Verdict::from_code(code).code(), code);
        }
    }

    #[test]
    fn says_number_and_meaning() {
        assert_eq!(Verdict::Good.to_string(), "verdict 0 (all good)");
        assert_eq!(
            Verdict::Timeout.to_string(),
            "verdict 124 (time is up, QEMU was killed)"
        );
    }
}
