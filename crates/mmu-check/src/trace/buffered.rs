//! Text that is written in large pieces.

use alloc::string::String;
use core::fmt::{self, Write};

/// Keeps what is written to it until it is 8 KiB, and hands that on at once: where each call out costs more than a line, as a call of
/// the host does.
///
/// ```
/// use core::fmt::Write;
/// use mmu_check::trace::Buffered;
///
/// let mut pieces = Vec::new();
/// let mut out = Buffered::new(|text: &str| Ok(pieces.push(text.len())));
/// (0..5000).try_for_each(|_| out.write_str("abcd")).unwrap();
/// out.flush().unwrap();
/// drop(out);
/// assert_eq!(pieces, [8192, 8192, 3616]);
/// ```
#[derive(Debug)]
pub struct Buffered<W> {
    write: W,
    kept: String,
}

/// How many bytes are kept at least before they are handed on.
const KEPT: usize = 8192;

impl<W: FnMut(&str) -> fmt::Result> Buffered<W> {
    /// With nothing kept yet, to be written by `write`.
    pub const fn new(write: W) -> Self {
        Self {
            write,
            kept: String::new(),
        }
    }

    /// Hands on what is kept.
    ///
    /// # Errors
    /// `write`'s. What was kept is dropped all the same.
    pub fn flush(&mut self) -> fmt::Result {
        let written = (self.write)(&self.kept);
        self.kept.clear();
        written
    }
}

impl<W: FnMut(&str) -> fmt::Result> Write for Buffered<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.kept.push_str(text);
        if self.kept.len() < KEPT {
            return Ok(());
        }
        self.flush()
    }
}
