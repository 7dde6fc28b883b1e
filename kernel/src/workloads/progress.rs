//! How far a run has come, for whoever waits for it: lines that begin with `progress: `.
//!
//! One after every row, and one inside a row, but none before five seconds have passed since the last: a run that is over soon prints
//! none. The boot runner quotes the last one of a boot that it had to end.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use lazy_mmu::Policy;

use super::Run;
use crate::arch::time;
use crate::base::Lock;
use crate::println;

/// Microseconds between two lines.
const EVERY: u64 = 5_000_000;

/// The row that is being made.
#[derive(Clone, Copy)]
struct Part {
    run: Run,
    policy: Policy,
    number: usize,
    of: usize,
    /// When the last line was printed, or the first row began.
    last: u64,
}

static PART: Lock<Option<Part>> = Lock::new(None);
/// Pages checked in this row by a workload that is alone; [`NOT_COUNTED`] while it is not.
static PAGES: AtomicU64 = AtomicU64::new(NOT_COUNTED);
const NOT_COUNTED: u64 = u64::MAX;
/// The clock is looked at after so many pages.
const PAGES_PER_LOOK: u64 = 256;

/// A row begins: number `number`, from 1, of `of`.
pub fn begin(run: Run, policy: Policy, number: usize, of: usize) {
    let mut part = PART.lock();
    let last = part.map_or_else(time::now, |part| part.last);
    *part = Some(Part {
        run,
        policy,
        number,
        of,
        last,
    });
    let alone = !run.is_of_tasks();
    PAGES.store(if alone { 0 } else { NOT_COUNTED }, Relaxed);
}

/// The row that was begun has ended well.
pub fn finished() {
    PAGES.store(NOT_COUNTED, Relaxed);
    say(format_args!("done"));
}

/// Says how far the row has come, if it is time to.
pub(super) fn say(how_far: fmt::Arguments<'_>) {
    let due = {
        let mut part = PART.lock();
        let now = time::now();
        let due = part.filter(|part| now - part.last >= time::from_micros(EVERY));
        if let (Some(part), Some(_)) = (part.as_mut(), due) {
            part.last = now;
        }
        due
    };
    if let Some(Part {
        run,
        policy,
        number,
        of,
        ..
    }) = due
    {
        println!("progress: {run} under {policy}, row {number} of {of}: {how_far}");
    }
}

/// A page was checked: in a run of one task those are its steps.
pub(super) fn page_checked() {
    let pages = PAGES.load(Relaxed);
    if pages == NOT_COUNTED {
        return;
    }
    // Nobody else counts: the workload is alone.
    PAGES.store(pages + 1, Relaxed);
    if pages.is_multiple_of(PAGES_PER_LOOK) {
        say(format_args!("{pages} pages checked"));
    }
}
