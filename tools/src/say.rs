//! Printing where a printer may be gone: `make run | head -1` closes the pipe, a disk is full. The boot goes on to its verdict,
//! which is the status; `println!` would panic.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::sync::Once;

/// A line on standard output.
pub fn line(text: impl fmt::Display) {
    let mut out = io::stdout().lock();
    if let Err(why) = writeln!(out, "{text}").and_then(|()| out.flush()) {
        lost(&why);
    }
}

/// A line on standard error.
pub fn error(text: impl fmt::Display) {
    // An error in printing errors has nowhere to be printed.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Output was lost, and why. Said once; not of a reader that has gone, who knows.
pub fn lost(why: &io::Error) {
    static SAID: Once = Once::new();
    if why.kind() != ErrorKind::BrokenPipe {
        SAID.call_once(|| error(format_args!("boot: the output is not complete: {why}")));
    }
}
