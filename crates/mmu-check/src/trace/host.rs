//! Traces on a host: read, and checked.

use std::io::BufRead;

use super::error::{TraceError, Wrong};
use super::header::{Header, Run};
use super::reader::{Entry, Reader};
use crate::checker::Checker;
use crate::violation::Violation;

/// How many bytes the rules may well take for what a trace says: a quarter of a million
/// tables that are zeroed, or some millions of debts at once.
pub const MEMORY_MAX: usize = 1 << 30;

/// What a trace was, apart from what was wrong in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Summary {
    /// Its first line, if it has one.
    pub header: Option<Header>,
    /// Its `run` line.
    pub run: Run,
    /// How many violations there were.
    pub violations: u64,
}

/// Lets `checker`, a new one, go over a trace to its end, and calls `found` with each violation as it is found:
/// of a run of stores with that of each.
///
/// The trace is read line by line and not kept. The rules remember what it says, in about `memory` bytes at most:
/// [`MEMORY_MAX`] is much for a kernel.
///
/// # Errors
/// The first line that is wrong. `found` has been called with what was found before it.
pub fn check(
    checker: &mut Checker,
    from: impl BufRead,
    memory: usize,
    mut found: impl FnMut(Violation),
) -> Result<Summary, TraceError> {
    let mut reader = Reader::new(from);
    let (mut run, mut violations) = (Run::default(), 0);
    while let Some(entry) = reader.next() {
        match entry? {
            Entry::Stated(event) => checker.assume(&event),
            Entry::Run(line) => {
                if let Some(owed) = checker.owed() {
                    return Err(wrong(&reader, Wrong::Owed(owed)));
                }
                run = line;
            }
            Entry::Event(event) => {
                for single in event.singles() {
                    if let Err(violation) = checker.step(&single) {
                        violations += 1;
                        found(*violation);
                    }
                }
            }
        }
        if checker.memory() > memory {
            return Err(wrong(&reader, Wrong::Memory(memory)));
        }
    }
    Ok(Summary {
        header: reader.header(),
        run,
        violations,
    })
}

fn wrong<R: BufRead>(reader: &Reader<R>, wrong: Wrong) -> TraceError {
    let line = reader.line();
    TraceError { line, wrong }
}
