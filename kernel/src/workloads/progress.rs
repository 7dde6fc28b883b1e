//! Progress lines: how far a run has come.
//!
//! Each begins with `progress: `. A line may come after every row and at many places inside a row, but at most one in five seconds: a
//! short run prints none. The boot runner quotes the last line of a boot that it had to end.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use lazy_mmu::Policy;

use crate::arch::time;
use crate::base::Lock;
use crate::println;
use crate::report::Run;

/// Microseconds between two lines, at least.
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
/// Pages checked in this row so far, by a workload of one task; [`NOT_COUNTED`] in a stress run.
static PAGES: AtomicU64 = AtomicU64::new(NOT_COUNTED);
const NOT_COUNTED: u64 = u64::MAX;
/// The clock is read after so many pages.
const PAGES_PER_LOOK: u64 = 256;

/// Begins a row: row number `number`, from 1, of `of`.
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
    let pages = if run.is_stress() { NOT_COUNTED } else { 0 };
    PAGES.store(pages, Relaxed);
}

/// Reports that the row has ended well.
pub fn finished() {
    PAGES.store(NOT_COUNTED, Relaxed);
    report(format_args!("done"));
}

/// Prints how far the row has come, if a line is due.
pub(super) fn report(how_far: fmt::Arguments<'_>) {
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

/// Counts a page that was checked. In a workload of one task, these are the steps.
pub(super) fn page_checked() {
    let pages = PAGES.load(Relaxed);
    if pages == NOT_COUNTED {
        return;
    }
    // No other task counts: the workload is alone.
    PAGES.store(pages + 1, Relaxed);
    if pages.is_multiple_of(PAGES_PER_LOOK) {
        report(format_args!("{pages} pages checked"));
    }
}
