//! The kernel's word for its own end.
//!
//! QEMU ends with 0 not only when a kernel says so: also when it is sent SIGTERM, or when the machine is switched off. So a
//! status of 0 proves nothing. Each boot's command line ends with `mark=` and sixteen hexadecimal digits that no boot had before;
//! the last thing a kernel does is to write them to `mark.txt`, with its verdict behind them, if it was given the key.

use std::fmt;

use crate::places::{self, WorkDir};

/// The file the kernel writes.
pub const FILE: &str = "mark.txt";

/// What one boot's kernel must write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(u64);

/// What it wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Nothing.
    Nothing,
    /// This boot's digits, and this verdict.
    Verdict(u8),
    /// Something else: another boot's digits, or no line `DIGITS NUMBER`.
    Other(String),
}

impl Mark {
    /// A mark for one boot.
    #[must_use]
    pub fn new() -> Self {
        Self(places::nonce())
    }

    /// What the kernel left in its directory.
    #[must_use]
    pub fn look(self, dir: &WorkDir) -> Said {
        dir.read(FILE).map_or(Said::Nothing, |text| self.read(text))
    }

    fn read(self, text: String) -> Said {
        let line = text
            .strip_suffix('\n')
            .and_then(|line| line.split_once(' '));
        match line {
            Some((digits, verdict)) if digits == self.to_string() => match verdict.parse() {
                Ok(verdict) => Said::Verdict(verdict),
                Err(_) => Said::Other(text),
            },
            _ => Said::Other(text),
        }
    }
}

impl Default for Mark {
    fn default() -> Self {
        Self::new()
    }
}

/// The sixteen digits.
impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_boots_word_counts() {
        let mark = Mark(0xab);
        let read = |text: &str| mark.read(text.to_owned());
        assert_eq!(read("00000000000000ab 0\n"), Said::Verdict(0));
        assert_eq!(read("00000000000000ab 5\n"), Said::Verdict(5));
        for text in [
            "",
            "00000000000000ab\n",
            "00000000000000ab 0",
            "00000000000000ac 0\n",
            "ab 0\n",
            "00000000000000ab good\n",
            "00000000000000ab 0\n\n",
            "00000000000000ab 256\n",
        ] {
            assert_eq!(read(text), Said::Other(text.to_owned()));
        }
    }

    #[test]
    fn no_two_boots_have_the_same() {
        let (one, two) = (Mark::new(), Mark::new());
        assert_ne!(one, two);
        assert_eq!(one.to_string().len(), 16);
    }
}
