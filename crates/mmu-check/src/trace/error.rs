//! What is wrong with a trace, where, and what to do about it.

use std::fmt;
use std::io;

use super::header::HeaderError;
use crate::event::ParseEventError;

/// Why a trace could not be read to its end.
#[derive(Debug)]
pub struct TraceError {
    /// The number of the line, from 1. What is missing at the end is missing in the line behind the last.
    pub line: u64,
    /// What is wrong with it.
    pub wrong: Wrong,
}

/// What is wrong with a line of a trace.
#[derive(Debug)]
pub enum Wrong {
    /// Reading failed.
    Io(io::Error),
    /// It has no end: the file was cut there.
    Cut,
    /// It has more than this many bytes.
    Long(usize),
    /// Its byte of this number, from 1, begins no UTF-8.
    Bytes(usize),
    /// It is no event.
    NoEvent(ParseEventError),
    /// It begins like one of the lines that are no event, and cannot be read here.
    Header(HeaderError),
    /// It is such a line where none can be.
    Place,
    /// It stands behind the `end` line.
    Behind,
    /// The file begins with a byte order mark.
    Mark,
    /// It is not the event that follows the one before.
    Sequence {
        /// The number it must have.
        expected: u32,
        /// The number it has.
        found: u32,
    },
    /// It was earlier than what its core did before.
    Time {
        /// Which core.
        core: u8,
        /// The time of the core's event before.
        before: u64,
        /// The event's.
        found: u64,
    },
    /// It says how many lines or events there were before it, and there was another number.
    Count {
        /// What it says.
        said: u64,
        /// How many there were.
        found: u64,
    },
    /// The file ends here, and the trace does not.
    NoEnd,
    /// There is no event at all.
    Empty,
    /// By the lines before it something is still owed, in words: a run cannot begin there.
    Owed(&'static str),
    /// The rules would need more than this many bytes to go on.
    Memory(usize),
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.wrong)
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Io(error) => write!(f, "it cannot be read: {error}"),
            Wrong::Cut => f.write_str("it has no end: the trace was cut here; write it again"),
            Wrong::Long(most) => {
                write!(f, "it has more than {most} bytes: this is no trace, or line ends are lost")
            }
            Wrong::Bytes(at) => write!(f, "byte {at} is not UTF-8: this is no trace, or a damaged one"),
            Wrong::NoEvent(error) => write!(f, "{error}"),
            Wrong::Header(error) => write!(f, "{error}"),
            Wrong::Place => f.write_str(
                "this line cannot be here: the first line or the `run` line is missing, or lines are out of order",
            ),
            Wrong::Behind => f.write_str(
                "it stands behind the `end` line: check each trace in a file of its own",
            ),
            Wrong::Mark => f.write_str("the file begins with a byte order mark: write it as UTF-8 without one"),
            Wrong::Sequence { expected, found } => sequence(*expected, *found, f),
            Wrong::Time {
                core,
                before,
                found,
            } => write!(
                f,
                "time {found} on core {core}, which was at {before} before: lines are out of order, or of two traces"
            ),
            Wrong::Count { said, found } => write!(
                f,
                "it counts {said} before it, and there were {found}: lines are missing or too many; write the trace again"
            ),
            Wrong::NoEnd => f.write_str(
                "the trace ends without its `end` line: it was cut, or who wrote it has stopped before its end",
            ),
            Wrong::Empty => f.write_str("there is no event in it"),
            Wrong::Owed(what) => write!(
                f,
                "a run cannot begin here: by the lines before it, {what}"
            ),
            Wrong::Memory(most) => write!(
                f,
                "the rules would need more than {} MiB: tables, frames or debts of this number are no kernel's",
                most >> 20
            ),
        }
    }
}

fn sequence(expected: u32, found: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "event {found}, and {expected} is next: ")?;
    match found.wrapping_sub(expected) {
        missing @ ..=0x7fff_ffff => write!(
            f,
            "{missing} missing before it, or lines are out of order; the rules need every event in its place"
        ),
        _ => f.write_str("it is there twice, or lines are out of order"),
    }
}

impl std::error::Error for TraceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.wrong {
            Wrong::Io(error) => Some(error),
            Wrong::NoEvent(error) => Some(error),
            Wrong::Header(error) => Some(error),
            _ => None,
        }
    }
}
