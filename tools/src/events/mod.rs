//! The events of a run, for pictures: from `events.trace`, which a kernel writes under `check=on trace=on`.
//!
//! [`mmu_check::trace`] is the format, and its reader. The rules are not checked here: who draws believes the trace.

mod debt;
mod tag;

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use mmu_check::trace::{Entry, Reader, TraceError};
use mmu_check::{Event, What};

pub use debt::{Debt, Effect};
pub use tag::{RUNS, Tag};

/// The name of the file, where a boot leaves its files.
pub const FILE: &str = "events.trace";

/// The events of a trace's run, in their order; what was before the run is left out. Ends at the first line that is wrong.
pub struct Run {
    reader: Reader<BufReader<File>>,
}

impl Run {
    /// Opens a trace.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            reader: Reader::new(BufReader::with_capacity(1 << 16, File::open(path)?)),
        })
    }

    /// How many counts of an event's time are a second; 0 where that is not known. Once the first event was read.
    #[must_use]
    pub fn clock(&self) -> u64 {
        self.reader.header().map_or(0, |header| header.clock)
    }
}

impl Iterator for Run {
    type Item = Result<Event, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.reader.next()? {
                Ok(Entry::Event(event)) => return Some(Ok(event)),
                Ok(Entry::Stated(_) | Entry::Run(_)) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// Why a trace cannot be drawn.
#[derive(Debug)]
pub enum NoPicture {
    /// The file cannot be opened.
    Open(PathBuf, io::Error),
    /// A line of it is wrong.
    Trace(PathBuf, TraceError),
    /// What was to be drawn is not in it, or cannot be drawn: in words.
    Missing(String),
    /// The picture cannot be written.
    Write(PathBuf, io::Error),
}

impl fmt::Display for NoPicture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(path, why) => write!(
                f,
                "cannot open {}: {why}; a boot with check=on trace=on writes it",
                path.display()
            ),
            Self::Trace(path, why) => write!(f, "{}: {why}", path.display()),
            Self::Missing(what) => f.write_str(what),
            Self::Write(path, why) => write!(f, "cannot write {}: {why}", path.display()),
        }
    }
}

impl std::error::Error for NoPicture {}

/// A measured window of one task, with its events: interrupt handlers and other tasks are left out.
#[derive(Clone, Debug)]
pub struct Windowed {
    /// Which.
    pub tag: Tag,
    /// What its task did in it.
    pub what: Vec<What>,
}

/// Reads those windows of a trace whose tag is `wanted`.
///
/// # Errors
/// The file, or the first line of it that is wrong.
pub fn windows(path: &Path, wanted: impl Fn(Tag) -> bool) -> Result<Vec<Windowed>, NoPicture> {
    let run = Run::open(path).map_err(|why| NoPicture::Open(path.to_owned(), why))?;
    let mut found = Vec::new();
    let mut open: Option<(u16, Windowed)> = None;
    let mut in_handler = 0_u32;
    for event in run {
        let Event { task, what, .. } =
            event.map_err(|why| NoPicture::Trace(path.to_owned(), why))?;
        if let What::Window { tag, open: begins } = what {
            let tag = Tag(tag);
            if begins && wanted(tag) {
                let what = Vec::new();
                (open, in_handler) = (Some((task, Windowed { tag, what })), 0);
            } else if let Some((_, window)) = open.take_if(|_| !begins) {
                found.push(window);
            }
            continue;
        }
        let Some((_, window)) = open.as_mut().filter(|(owner, _)| *owner == task) else {
            continue;
        };
        match what {
            What::IrqEnter => in_handler += 1,
            What::IrqExit => in_handler = in_handler.saturating_sub(1),
            what if in_handler == 0 => window.what.push(what),
            _ => {}
        }
    }
    Ok(found)
}
