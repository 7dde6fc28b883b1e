//! Reads a trace line by line, in constant memory, and checks that nothing of it is missing.

use std::io::{self, BufRead};
use std::vec::Vec;

use super::error::{TraceError, Wrong};
use super::header::{End, Header, NAME, Run};
use crate::event::Event;
use crate::ledger::MAX_CORES;

/// The most bytes of a line. The longest event has 230.
const LINE_MAX: usize = 4096;

/// What a line of a trace says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    /// How things stood before the run: what a checker has to know, and nothing to be checked.
    Stated(Event),
    /// The run begins.
    Run(Run),
    /// An event of the run.
    Event(Event),
}

/// The entries of a trace, one by one, until its end or the first line that is wrong.
pub struct Reader<R> {
    lines: Lines<R>,
    part: Part,
    header: Option<Header>,
    order: Order,
    events: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    First,
    Stated,
    Run,
    Ended,
    Failed,
}

impl<R: BufRead> Reader<R> {
    /// Reads from there.
    pub fn new(from: R) -> Self {
        Reader {
            lines: Lines {
                from,
                number: 0,
                line: Vec::new(),
            },
            part: Part::First,
            header: None,
            order: Order::default(),
            events: 0,
        }
    }

    /// The first line, once it was read; none where the trace has none.
    pub fn header(&self) -> Option<Header> {
        self.header
    }

    /// The number of the line that was read last, from 1.
    pub fn line(&self) -> u64 {
        self.lines.number
    }

    fn read(&mut self) -> Result<Option<Entry>, Wrong> {
        loop {
            let Some(line) = self.lines.next()? else {
                return self.end();
            };
            if self.part == Part::First && line.starts_with('\u{feff}') {
                return Err(Wrong::Mark);
            }
            if self.part == Part::First && line.split_ascii_whitespace().next() == Some(NAME) {
                self.header = Some(line.parse().map_err(Wrong::Header)?);
                (self.part, self.order.next) = (Part::Stated, Some(0));
                continue;
            }
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if self.part == Part::First {
                self.part = Part::Run;
            }
            let mut words = line.split_ascii_whitespace();
            match (words.next(), self.part) {
                (_, Part::Ended) => return Err(Wrong::Behind),
                (Some("run"), Part::Stated) => {
                    let run: Run = line.parse().map_err(Wrong::Header)?;
                    counted(run.stated, self.events)?;
                    (self.part, self.events) = (Part::Run, 0);
                    self.order = Order::default();
                    self.order.next = Some(run.first);
                    return Ok(Some(Entry::Run(run)));
                }
                (Some("end"), Part::Run) if self.header.is_some() => {
                    let end: End = line.parse().map_err(Wrong::Header)?;
                    counted(end.events, self.events)?;
                    self.part = Part::Ended;
                }
                (Some("run" | "end" | NAME), _) => return Err(Wrong::Place),
                (_, part) => {
                    let event: Event = line.parse().map_err(Wrong::NoEvent)?;
                    self.order.check(&event)?;
                    self.events += event.count();
                    return Ok(Some(if part == Part::Stated {
                        Entry::Stated(event)
                    } else {
                        Entry::Event(event)
                    }));
                }
            }
        }
    }

    /// The file has no more lines.
    fn end(&mut self) -> Result<Option<Entry>, Wrong> {
        let complete = self.part == Part::Ended || self.header.is_none();
        if complete && self.events > 0 {
            return Ok(None);
        }
        // What is missing would be in the next line.
        self.lines.number += 1;
        Err(if complete { Wrong::Empty } else { Wrong::NoEnd })
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Entry, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.part == Part::Failed {
            return None;
        }
        self.read()
            .map_err(|wrong| {
                self.part = Part::Failed;
                TraceError {
                    line: self.lines.number,
                    wrong,
                }
            })
            .transpose()
    }
}

fn counted(said: u64, found: u64) -> Result<(), Wrong> {
    if said == found {
        return Ok(());
    }
    Err(Wrong::Count { said, found })
}

/// Which event is next, and when it cannot have been.
#[derive(Default)]
struct Order {
    next: Option<u32>,
    times: [u64; MAX_CORES],
}

impl Order {
    fn check(&mut self, event: &Event) -> Result<(), Wrong> {
        let found = event.sequence;
        let expected = self.next.unwrap_or(found);
        if found != expected {
            return Err(Wrong::Sequence { expected, found });
        }
        // A run has a number for each of its stores, 512 at most.
        self.next = Some(found.wrapping_add(event.count() as u32));
        let before = &mut self.times[usize::from(event.core)];
        if event.time != 0 && event.time < *before {
            return Err(Wrong::Time {
                core: event.core,
                before: *before,
                found: event.time,
            });
        }
        *before = event.time.max(*before);
        Ok(())
    }
}

/// Lines of a bounded length.
struct Lines<R> {
    from: R,
    number: u64,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// The next line, with its end.
    fn next(&mut self) -> Result<Option<&str>, Wrong> {
        self.line.clear();
        loop {
            let bytes = match self.from.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.number += u64::from(self.line.is_empty());
                    return Err(Wrong::Io(error));
                }
                Ok(bytes) => bytes,
            };
            if bytes.is_empty() {
                return if self.line.is_empty() {
                    Ok(None)
                } else {
                    Err(Wrong::Cut)
                };
            }
            self.number += u64::from(self.line.is_empty());
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(bytes.len(), |end| end + 1);
            if self.line.len() + taken > LINE_MAX {
                return Err(Wrong::Long(LINE_MAX));
            }
            self.line.extend_from_slice(&bytes[..taken]);
            self.from.consume(taken);
            if end.is_some() {
                break;
            }
        }
        match std::str::from_utf8(&self.line) {
            Ok(line) => Ok(Some(line)),
            Err(error) => Err(Wrong::Bytes(error.valid_up_to() + 1)),
        }
    }
}
