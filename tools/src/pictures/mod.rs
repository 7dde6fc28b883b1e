//! The pictures in `docs/pictures`, beside the [debt time line](crate::timeline): each from what a kernel did.
//!
//! What several cores do together comes out otherwise each time. So of those there is a *cut* beside the picture, the events that it is
//! drawn from, and the picture is drawn from that. The [address space](space) has a cut too, since the image's size depends on the compiler.

pub mod areas;
pub mod matrix;
pub mod migration;
pub mod space;
pub mod story;
pub mod tables;
pub mod wait;

use std::ops::Range;
use std::path::Path;

use mmu_check::Event;

use crate::events::{self, NoPicture};
use story::Story;

/// Finds a story among events: where they are, and what is drawn.
pub type Find = fn(&[Event]) -> Option<(Range<usize>, Story)>;

/// Reads all events of a trace's run, or of a cut.
///
/// # Errors
/// The file, or the first line of it that is wrong.
pub fn events(path: &Path) -> Result<Vec<Event>, NoPicture> {
    let run = events::Run::open(path).map_err(|why| NoPicture::Open(path.to_owned(), why))?;
    let events = run.map(|event| event.map_err(|why| NoPicture::Trace(path.to_owned(), why)));
    events.collect()
}

/// The events of a story as text, a line each, for [`events()`].
#[must_use]
pub fn cut(events: &[Event]) -> String {
    events.iter().map(|event| format!("{event}\n")).collect()
}

/// Events of a test: these lines, each with its number before it.
#[cfg(test)]
fn numbered(lines: &[&str]) -> Vec<Event> {
    let numbered = lines.iter().enumerate();
    let events = numbered.map(|(at, line)| format!("{at} {line}").parse());
    events.map(|event| event.unwrap()).collect()
}
