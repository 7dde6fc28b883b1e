//! What a run reports: the table and the lines below it, `report.json`, and the counts of windows for the witness.

mod json;
mod rows;
mod table;
mod windows;

pub use json::write_json;
pub use rows::{Detail, OfTask, Row, Run, Size};
pub use table::{print_saving, print_table};
pub use windows::{KIND_NAMES, in_window, note_measured, note_window, write_windows};

use alloc::boxed::Box;
use core::ffi::CStr;
use core::fmt;

use mmu_check::trace::Buffered;
use semihosting::fs::File;
use semihosting::io::Write as _;

use crate::observe::rules::TraceFile;

/// The host's clock in whole seconds since some start, by semihosting; `None` if it has none.
pub fn host_seconds() -> Option<u64> {
    let time = semihosting::sys::arm_compat::sys_time();
    time.ok().map(|seconds| seconds as u64)
}

const NOT_WRITTEN: &str =
    "a report could not be written: is semihosting on, and its folder writable?";

/// Writes a file in the boot's directory on the host, by semihosting.
///
/// # Errors
/// It could not be written.
pub fn write_file(name: &CStr, text: &str) -> Result<(), &'static str> {
    semihosting::fs::write(name, text).map_err(|_| NOT_WRITTEN)
}

/// Creates `events.trace` in the boot's directory on the host. Where that cannot be, writing to it fails.
pub fn trace_file() -> TraceFile {
    let mut file = File::create(c"events.trace").ok();
    Buffered::new(Box::new(move |text| {
        let file = file.as_mut().ok_or(fmt::Error)?;
        file.write_all(text.as_bytes()).map_err(|_| fmt::Error)
    }))
}
