//! When a trace begins, and what becomes of one that cannot be written.

use core::fmt;

use super::Writer;
use crate::checker::Checker;
use crate::event::Event;

/// Which events a trace has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extent {
    /// Those of the run, behind what the rules knew when it began.
    Run,
    /// Those of the boot too.
    All,
}

/// Why a trace is not whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unwritten {
    /// The writer below has failed.
    Failed,
    /// From the beginning of the run on there was no moment at which nothing was owed.
    Owed(&'static str),
}

impl fmt::Display for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unwritten::Failed => f.write_str("the trace could not be written"),
            Unwritten::Owed(owed) => write!(
                f,
                "the trace could not begin: {owed}; one of all events has the boot too"
            ),
        }
    }
}

impl core::error::Error for Unwritten {}

/// A trace beside the rules: has what they are given, from the moment on at which it may begin.
///
/// [`hear`](Self::hear) each event before [`Checker::step`] has it, and call [`step`](Self::step) behind that.
#[derive(Debug)]
pub struct Recorder<W> {
    /// None once it has failed.
    writer: Option<Writer<W>>,
    begins: Begins,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Begins {
    WithTheRun,
    /// The run has begun: as soon as nothing is owed.
    Settled,
    /// It has.
    Begun,
}

impl<W: fmt::Write> Recorder<W> {
    /// A trace by `writer`, which has written nothing.
    pub const fn new(writer: Writer<W>, extent: Extent) -> Self {
        let begins = match extent {
            Extent::Run => Begins::WithTheRun,
            Extent::All => Begins::Begun,
        };
        Self {
            writer: Some(writer),
            begins,
        }
    }

    /// Writes an event that the rules are about to be given, if the trace has begun.
    pub fn hear(&mut self, event: Event) {
        if self.begins == Begins::Begun {
            self.write(|writer| writer.write(event));
        }
    }

    /// The rules were given an event: begins, where that is due, if nothing is owed now.
    pub fn step(&mut self, rules: &Checker) {
        if self.begins != Begins::Settled {
            return;
        }
        let mut owed = None;
        self.write(|writer| writer.state(rules).map(|still| owed = still));
        if owed.is_none() {
            self.begins = Begins::Begun;
        }
    }

    /// The boot is over: a trace of the run begins here, or as soon as nothing is owed.
    pub fn begin_run(&mut self, rules: &Checker) {
        if self.begins == Begins::WithTheRun {
            self.begins = Begins::Settled;
            self.step(rules);
        }
    }

    /// Ends the trace, and returns the writer below.
    ///
    /// # Errors
    /// [`Unwritten`]
    pub fn finish(self, rules: &Checker) -> Result<W, Unwritten> {
        if self.begins == Begins::Settled
            && let Some(owed) = rules.owed()
        {
            return Err(Unwritten::Owed(owed));
        }
        let written = self.writer.and_then(|writer| writer.finish().ok());
        written.ok_or(Unwritten::Failed)
    }

    fn write(&mut self, act: impl FnOnce(&mut Writer<W>) -> fmt::Result) {
        if let Some(writer) = &mut self.writer
            && act(writer).is_err()
        {
            self.writer = None;
        }
    }
}
