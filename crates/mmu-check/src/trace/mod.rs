//! Traces: an event a line, as [`Event`] prints and reads itself ([`event`](crate::event) has the
//! format). Empty lines and lines that begin with `#` are skipped.
//!
//! A kernel writes one with a [`Writer`], in which a run of stores is one line. The feature `machine` adds
//! what reads and checks it on a host.

#[cfg(feature = "machine")]
mod host;

#[cfg(feature = "machine")]
pub use host::{TraceError, check, read, write};

use core::fmt;

use crate::event::{Event, Merge};

/// Writes events as they come, a run of stores as one line.
///
/// A line is several calls of the writer below, which so keeps what it is given, where a call costs.
///
/// ```
/// use mmu_check::trace::Writer;
///
/// let mut writer = Writer::new(String::new());
/// for line in [
///     "7 core=0 task=1 store slot=0x3000 va=0x0 level=3 old=0x0 new=0x40000707",
///     "8 core=0 task=1 store slot=0x3008 va=0x1000 level=3 old=0x0 new=0x40001707",
/// ] {
///     writer.write(line.parse().unwrap()).unwrap();
/// }
/// assert_eq!(writer.finish().unwrap().lines().count(), 1);
/// ```
#[derive(Clone, Debug)]
pub struct Writer<W> {
    to: W,
    runs: Merge,
}

impl<W: fmt::Write> Writer<W> {
    /// Writes to `to`.
    pub const fn new(to: W) -> Self {
        Self {
            to,
            runs: Merge::new(),
        }
    }

    /// Writes the next event. A store is held for those that may follow it.
    ///
    /// # Errors
    /// Those of the writer below.
    pub fn write(&mut self, event: Event) -> fmt::Result {
        let mut complete = self.runs.push(event).into_iter().flatten();
        complete.try_for_each(|event| writeln!(self.to, "{event}"))
    }

    /// Writes what is held, and returns the writer below.
    ///
    /// # Errors
    /// Those of the writer below.
    pub fn finish(mut self) -> Result<W, fmt::Error> {
        if let Some(run) = self.runs.flush() {
            writeln!(self.to, "{run}")?;
        }
        Ok(self.to)
    }
}
