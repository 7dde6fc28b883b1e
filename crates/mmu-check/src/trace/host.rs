//! Traces on a host: written at once, read, and checked.

use std::fmt;
use std::io::{self, BufRead, Write};
use std::vec::Vec;

use crate::checker::Checker;
use crate::event::{Event, ParseEventError};
use crate::violation::Violation;

/// Why a trace could not be read.
#[derive(Debug)]
pub enum TraceError {
    /// The line of this number (from 1) is no event.
    Line(usize, ParseEventError),
    /// Reading failed.
    Io(io::Error),
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TraceError::Line(number, error) => write!(f, "line {number}: {error}"),
            TraceError::Io(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for TraceError {}

/// Writes events.
///
/// # Errors
/// Those of the writer.
pub fn write(to: &mut impl Write, events: &[Event]) -> io::Result<()> {
    events.iter().try_for_each(|event| writeln!(to, "{event}"))
}

/// The events of a trace, one by one.
pub fn read(from: impl BufRead) -> impl Iterator<Item = Result<Event, TraceError>> {
    from.lines().enumerate().filter_map(|(n, line)| {
        let line = match line {
            Ok(line) => line,
            Err(error) => return Some(Err(TraceError::Io(error))),
        };
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        Some(line.parse().map_err(|e| TraceError::Line(n + 1, e)))
    })
}

/// Lets `checker` go over a trace to its end, and returns the violations: of a run of stores those of
/// each.
///
/// # Errors
/// The first line that is no event.
pub fn check(checker: &mut Checker, from: impl BufRead) -> Result<Vec<Violation>, TraceError> {
    let mut violations = Vec::new();
    for event in read(from) {
        for single in event?.singles() {
            if let Err(violation) = checker.step(&single) {
                violations.push(*violation);
            }
        }
    }
    Ok(violations)
}
