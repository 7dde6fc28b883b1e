//! Which rules a task follows, as data.

use core::fmt;
use core::str::FromStr;

/// The name of the rules a task follows: two contracts, and three baselines to compare them with.
///
/// Each is a type; this is for who prints them, or [chooses](crate::Chosen) at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Policy {
    /// Baseline: the mode does nothing and every store that owes pays at once. arm64 Linux up to 6.15.
    Eager,
    /// Baseline: one flag, no depth. The first exit pays and ends the mode, for the sections around it
    /// too. arm64 Linux 6.16 to 6.19 (commit 1ef3095b1405).
    Flat,
    /// Baseline: depth is counted, but an inner exit pays nothing; code that runs its own sections beneath
    /// its caller's leaves the mode first and enters it again afterwards
    /// ([`TaskMmu::reenter`](crate::TaskMmu::reenter)).
    Reenter,
    /// Contract, *exclusive pause*: "mm: enable lazy_mmu sections to nest", version 3. While paused, none
    /// of the four calls but `resume` may be made.
    V3,
    /// Contract, *nesting pause*: what Linux 7.0 merged (commit 5ab246749569). While paused, `enable` and
    /// `disable` are ignored, and pauses nest.
    Linux7,
}

impl Policy {
    /// All policies, baselines first.
    pub const ALL: [Policy; 5] = [
        Policy::Eager,
        Policy::Flat,
        Policy::Reenter,
        Policy::V3,
        Policy::Linux7,
    ];

    /// The baselines: sections do not nest under them.
    pub const BASELINES: [Policy; 3] = [Policy::Eager, Policy::Flat, Policy::Reenter];

    /// The contracts: sections nest.
    pub const CONTRACTS: [Policy; 2] = [Policy::V3, Policy::Linux7];

    /// Whether it is one of [`Policy::CONTRACTS`].
    #[must_use]
    pub const fn is_contract(self) -> bool {
        matches!(self, Policy::V3 | Policy::Linux7)
    }

    /// The name that [`FromStr`] accepts and [`Display`](fmt::Display) prints.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Policy::Eager => "eager",
            Policy::Flat => "flat",
            Policy::Reenter => "reenter",
            Policy::V3 => "v3",
            Policy::Linux7 => "linux7",
        }
    }

    /// The contracts' bytes are the ones that a call looks for first.
    pub(crate) const V3_BYTE: u8 = 0;
    pub(crate) const LINUX7_BYTE: u8 = 1;

    pub(crate) const fn to_byte(self) -> u8 {
        match self {
            Policy::V3 => Self::V3_BYTE,
            Policy::Linux7 => Self::LINUX7_BYTE,
            Policy::Eager => 2,
            Policy::Flat => 3,
            Policy::Reenter => 4,
        }
    }

    /// Only bytes made by [`to_byte`](Self::to_byte) are ever read back; the last arm keeps the function
    /// total without a panic on the path of the four calls.
    pub(crate) const fn from_byte(byte: u8) -> Self {
        match byte {
            Self::V3_BYTE => Policy::V3,
            Self::LINUX7_BYTE => Policy::Linux7,
            2 => Policy::Eager,
            3 => Policy::Flat,
            _ => Policy::Reenter,
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Policy {
    type Err = UnknownPolicy;

    /// The policy of that [`name`](Policy::name), spelled exactly.
    ///
    /// # Errors
    /// [`UnknownPolicy`], whose text lists what is allowed.
    fn from_str(name: &str) -> Result<Self, UnknownPolicy> {
        Policy::ALL
            .into_iter()
            .find(|p| p.name() == name)
            .ok_or(UnknownPolicy)
    }
}

/// No policy has that name. Its text lists those that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownPolicy;

impl fmt::Display for UnknownPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a policy; allowed are")?;
        for (i, policy) in Policy::ALL.iter().enumerate() {
            write!(f, "{} {policy}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl core::error::Error for UnknownPolicy {}
