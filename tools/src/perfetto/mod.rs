//! `trace.json`: a run's events for Perfetto, with times.
//!
//! A row for each core, with the tasks that it ran and its interrupts; a row for each task, with its windows, sections, pauses, the
//! allocator's re-entries and the exceptions that no probe expected, and as instants its stores, pairs and TLBIs; a row for each
//! task that breaks entries. Counters are the stores that a task owes for, and the barriers of a core. An arrow leads from the core that
//! a task has left to the core where it goes on.
//!
//! The file is bounded: a trace of many tasks has millions of events. Each measured window gets its share of the bytes, and what
//! comes in it after that is left out up to the next one; [`Written`] says how much.

mod out;
mod rows;
mod tracks;

use std::fs;
use std::path::Path;

use mmu_check::What;
use serde_json::json;

use crate::events::{self, NoPicture, Run};
use tracks::Tracks;

/// The name of the file.
pub const FILE: &str = "trace.json";

/// How many bytes of events are written at most. What is open when it is cut, and the names, come on top: with them a file is
/// below 20 MB.
pub const BYTES_MAX: usize = 19_000_000;

/// What was written.
#[derive(Debug)]
pub struct Written {
    /// The events of the run, each run of stores as one.
    pub events: u64,
    /// How many of them came when their window's share was used up.
    pub left_out: u64,
    /// How large the file is, in bytes.
    pub bytes: usize,
    /// Why the trace was not read to its end, if it was not.
    pub cut: Option<NoPicture>,
}

/// Writes `to` from the trace `from`, in about `bytes` at most.
///
/// A trace that ends before its end, as that of a kernel that panicked, is written as far as it goes.
///
/// # Errors
/// The trace cannot be opened or has no event, or the file cannot be written.
pub fn write(from: &Path, to: &Path, bytes: usize) -> Result<Written, NoPicture> {
    let open = || Run::open(from).map_err(|why| NoPicture::Open(from.to_owned(), why));
    let begins = |what: &What| matches!(what, What::Window { open: true, .. });
    let windows = open()?
        .flatten()
        .filter(|event| begins(&event.what))
        .count();
    let mut run = open()?;
    let mut tracks = Tracks::new();
    let (mut events, mut left_out, mut cut) = (0, 0, None);
    // The first share is for what comes before the first window.
    let mut shares = windows + 1;
    let mut most = bytes / shares;
    while let Some(event) = run.next() {
        let event = match event {
            Ok(event) => event,
            Err(why) => {
                cut = Some(NoPicture::Trace(from.to_owned(), why));
                break;
            }
        };
        if begins(&event.what) {
            // What a window leaves of its share goes to the others.
            shares = (shares - 1).max(1);
            most = tracks.bytes() + bytes.saturating_sub(tracks.bytes()) / shares;
            tracks.resume(event.time);
        } else if tracks.bytes() > most {
            tracks.cut(event.time);
        }
        events += 1;
        left_out += u64::from(tracks.is_cut());
        tracks.add(&event, run.clock());
    }
    if events == 0 {
        return Err(cut
            .unwrap_or_else(|| NoPicture::Missing(format!("{}: it has no events", events::FILE))));
    }
    let about = json!({"events": events, "left_out": left_out, "clock": run.clock()});
    let text = tracks.finish(&about);
    fs::write(to, &text).map_err(|why| NoPicture::Write(to.to_owned(), why))?;
    Ok(Written {
        events,
        left_out,
        bytes: text.len(),
        cut,
    })
}
