//! Measured regions: their marks, and the kernel's own counts of them for the witness.
//!
//! The witness is a QEMU plugin that counts executed instructions between the marks. The kernel writes down what
//! it has counted in the same window, and the boot runner fails the boot if the two differ.

use alloc::string::String;
use core::fmt::Write;
use core::ops::Sub;

use mmu_check::What;

use crate::arch::window::{self, Window};
use crate::base::Lock;
use crate::observe;
use crate::task::Tally;
use crate::task::kinds::KINDS;

/// The names of the kinds in [`task::kinds`](crate::task::kinds), as the plugin has them; those of barriers in the order of
/// [`stage1_hw::Barrier`].
pub const KIND_NAMES: [&str; KINDS] = [
    "dsb-ish",
    "dsb-ishst",
    "dsb-ishld",
    "dsb-nsh",
    "dsb-sy",
    "dmb-ish",
    "dmb-ishst",
    "dmb-ishld",
    "dmb-nsh",
    "dmb-sy",
    "isb",
    "tlbi-vae1is",
    "tlbi-vale1is",
    "tlbi-vaae1is",
    "tlbi-vaale1is",
    "tlbi-rvae1is",
    "tlbi-rvale1is",
    "tlbi-rvaae1is",
    "tlbi-rvaale1is",
    "tlbi-aside1is",
    "tlbi-vmalle1is",
    "tlbi-vmalle1",
];

/// This kernel's counts of every closed window, a line each.
static WINDOWS: Lock<String> = Lock::new(String::new());

/// Runs `work` between the marks of a [`Window::Work`]. Returns what it returns, and what `counts` gives at the
/// end of the window less what it gives at the start.
pub fn in_window<R, C: Sub<Output = C>>(
    tag: &[u8],
    counts: impl Fn() -> C,
    work: impl FnOnce() -> R,
) -> (R, C) {
    let report = |open| {
        observe::report(|| What::Window {
            tag: window::tag_value(tag),
            open,
        });
    };
    report(true);
    window::start(Window::Work, tag);
    let before = counts();
    let result = work();
    let after = counts();
    window::end(Window::Work);
    report(false);
    (result, after - before)
}

/// Notes the counts of a window that has just been closed, each kind of barrier and TLBI by itself.
pub fn note_window(tag: &[u8], window: Window, tally: Tally) {
    note_measured(tag, window, Some(tally), None);
}

/// As [`note_window`], of a window in which instructions were counted as well, by the PMU: as many as the plugin must have
/// seen. Where code ran that this kernel does not count, `tally` is `None`: the barriers and TLBIs are the plugin's to say.
pub fn note_measured(tag: &[u8], window: Window, tally: Option<Tally>, instructions: Option<u64>) {
    let mut windows = WINDOWS.lock();
    // Writing to a String does not fail.
    let _ = write!(windows, "{:x} {}", window::tag_value(tag), window as u8);
    if let Some(instructions) = instructions {
        let _ = write!(windows, " instructions={instructions}");
    }
    match tally {
        None => windows.push_str(" uncounted"),
        Some(tally) => {
            for (name, count) in KIND_NAMES.iter().zip(tally.executed) {
                if count > 0 {
                    let _ = write!(windows, " {name}={count}");
                }
            }
        }
    }
    windows.push('\n');
}

/// Writes what was noted to `windows.txt`, if anything was. To be called when the run ends, whatever
/// its verdict.
///
/// # Errors
/// The file could not be written.
pub fn write_windows() -> Result<(), &'static str> {
    let lines = core::mem::take(&mut *WINDOWS.lock());
    if lines.is_empty() {
        Ok(())
    } else {
        super::write_file(c"windows.txt", &lines)
    }
}
