//! Writes a trace.

use core::fmt;

use super::header::{End, Header, Run};
use crate::checker::Checker;
use crate::event::{Event, Merge};

/// Writes events as they come, a run of stores as one line.
///
/// A line is several calls of the writer below, which so keeps what it is given, where a call costs.
///
/// ```
/// use mmu_check::trace::{Header, Writer};
///
/// let mut writer = Writer::new(String::new(), Header { clock: 62_500_000 });
/// for line in [
///     "7 core=0 task=1 store slot=0x3000 va=0x0 level=3 old=0x0 new=0x40000707",
///     "8 core=0 task=1 store slot=0x3008 va=0x1000 level=3 old=0x0 new=0x40001707",
/// ] {
///     writer.write(line.parse().unwrap()).unwrap();
/// }
/// assert_eq!(writer.finish().unwrap(), "\
/// mmu-check trace 1 clock=62500000
/// run first=7 stated=0 before=0
/// 7 core=0 task=1 stores slot=0x3000 va=0x0 level=3 old=0x0 new=0x40000707 \
/// old-step=0x0 new-step=0x1000 count=2
/// end events=2
/// ");
/// ```
#[derive(Clone, Debug)]
pub struct Writer<W> {
    to: W,
    header: Header,
    runs: Merge,
    run: Run,
    /// The first line is written.
    headed: bool,
    /// The `run` line is written.
    begun: bool,
    events: u64,
}

impl<W: fmt::Write> Writer<W> {
    /// Writes to `to`.
    pub const fn new(to: W, header: Header) -> Self {
        Self {
            to,
            header,
            runs: Merge::new(),
            run: Run {
                first: 0,
                stated: 0,
                before: 0,
            },
            headed: false,
            begun: false,
            events: 0,
        }
    }

    /// Writes how things stand, as the rules know it: the trace begins here, with what `checker` is given next. To be
    /// called before anything else is written. If something is still owed nothing is written, and it is
    /// returned in words.
    ///
    /// # Errors
    /// Those of the writer below, or that something was written before.
    pub fn state(&mut self, checker: &Checker) -> Result<Option<&'static str>, fmt::Error> {
        if self.headed {
            return Err(fmt::Error);
        }
        let mut written = Ok(());
        let described = checker.describe(&mut |event| {
            if !self.headed {
                written = self.head();
            }
            self.run.stated += 1;
            written = written.and_then(|()| self.line(event));
        });
        if described.is_ok() {
            self.run.before = checker.coverage().events;
        }
        written.map(|()| described.err())
    }

    /// Writes the next event. A store is held for those that may follow it.
    ///
    /// # Errors
    /// Those of the writer below.
    pub fn write(&mut self, event: Event) -> fmt::Result {
        if !self.begun {
            self.run.first = event.sequence;
            self.begin()?;
        }
        self.events += event.count();
        self.line(event)
    }

    fn line(&mut self, event: Event) -> fmt::Result {
        let mut complete = self.runs.push(event).into_iter().flatten();
        complete.try_for_each(|event| writeln!(self.to, "{event}"))
    }

    fn head(&mut self) -> fmt::Result {
        self.headed = true;
        writeln!(self.to, "{}", self.header)
    }

    fn begin(&mut self) -> fmt::Result {
        self.begun = true;
        if !self.headed {
            self.head()?;
        }
        self.flush()?;
        writeln!(self.to, "{}", self.run)
    }

    fn flush(&mut self) -> fmt::Result {
        let held = self.runs.flush();
        held.map_or(Ok(()), |run| writeln!(self.to, "{run}"))
    }

    /// Writes what is held and the last line, and returns the writer below.
    ///
    /// # Errors
    /// Those of the writer below.
    pub fn finish(mut self) -> Result<W, fmt::Error> {
        if !self.begun {
            self.begin()?;
        }
        self.flush()?;
        let events = self.events;
        writeln!(self.to, "{}", End { events })?;
        Ok(self.to)
    }
}
