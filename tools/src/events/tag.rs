//! The names of measured windows.

use std::fmt;

use mmu_check::event::Policy;

/// The runs that have windows, in the order of their numbers: `kernel/src/report/rows.rs` gives them.
pub const RUNS: [&str; 18] = [
    "nesting",
    "vmap",
    "remap-kernel",
    "remap-task",
    "zap",
    "protect",
    "mixed",
    "preempt",
    "forced",
    "munmap",
    "vmap-range",
    "vunmap",
    "mremap-kernel",
    "mremap-task",
    "mprotect",
    "protect-alias",
    "kasan",
    "entries",
];

/// The tag of a measured window: the run, and a nibble each for the policy and which of the run's windows it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tag(pub u64);

impl Tag {
    /// The run, if the tag is one of a run's windows.
    #[must_use]
    pub fn run(self) -> Option<&'static str> {
        RUNS.get(usize::try_from(self.0 >> 8).ok()?).copied()
    }

    /// The policy, if it has one.
    #[must_use]
    pub fn policy(self) -> Option<Policy> {
        Policy::ALL.get((self.0 >> 4 & 0xF) as usize).copied()
    }

    /// Which of the run's windows under this policy, from 0.
    #[must_use]
    pub fn index(self) -> u64 {
        self.0 & 0xF
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.run(), self.policy()) {
            (Some(run), Some(policy)) => {
                write!(f, "{run} {}", policy.word())?;
                match self.index() {
                    0 => Ok(()),
                    index => write!(f, " {}", index + 1),
                }
            }
            _ => write!(f, "{:x}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places;

    /// A run that the kernel numbers otherwise would be drawn under another's name.
    #[test]
    fn runs_are_numbered_as_in_the_kernel() {
        let rows = places::repository().join("kernel/src/report/rows.rs");
        let rows = std::fs::read_to_string(rows).unwrap();
        let numbers = rows.lines().filter_map(|line| {
            let (variant, number) = line.trim().strip_suffix(',')?.split_once(" => ")?;
            Some((variant, number.parse::<usize>().ok()?))
        });
        let numbers: Vec<_> = numbers.collect();
        // The last number is that of all hazards, which have no measured windows.
        assert_eq!(numbers.len(), RUNS.len() + 1);
        assert_eq!(numbers[RUNS.len()], ("Run::Hazard(_)", RUNS.len()));
        for (variant, number) in &numbers[..RUNS.len()] {
            let name = format!("{variant} => \"{}\"", RUNS[*number]);
            assert!(rows.contains(&name), "{name}");
        }
    }

    #[test]
    fn tags_are_names() {
        assert_eq!(Tag(0x130).to_string(), "vmap v3");
        assert_eq!(Tag(0x541).to_string(), "protect linux7 2");
        assert_eq!(Tag(0x1230).to_string(), "1230");
        assert_eq!(Tag(u64::MAX).to_string(), "ffffffffffffffff");
    }
}
