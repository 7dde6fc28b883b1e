//! How a run ends: one number, through semihosting.
//!
//! QEMU ends with that number. But it ends with 0 in other cases too (it was sent SIGTERM, the machine was switched off), so the
//! boot runner accepts a 0 only with a mark: sixteen hexadecimal digits, new for each boot, that it puts on the command line and
//! that the kernel writes to a file, with its verdict, as the last thing it does.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::base::Verdict;

/// The key on the command line that holds the mark. It is the boot runner's, and changes nothing of a run.
pub const MARK_KEY: &str = "mark";

/// What the mark takes of a command line, in bytes, with the space before it.
pub const MARK_BYTES: usize = " mark=0123456789abcdef".len();

/// The file the mark is written to.
const MARK_FILE: &core::ffi::CStr = c"mark.txt";

/// This boot's mark; 0 is none: it was booted by hand, or has not read its command line yet.
static MARK: AtomicU64 = AtomicU64::new(0);

/// The value of a mark: sixteen hexadecimal digits that are not all 0.
pub fn parse_mark(digits: &str) -> Option<u64> {
    let sixteen = digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mark = u64::from_str_radix(digits, 16).ok().filter(|_| sixteen)?;
    (mark != 0).then_some(mark)
}

/// Takes the mark from a command line, if it holds exactly one. Done before anything can end the boot that can be avoided.
pub fn take_mark(command_line: &str) {
    let words = command_line.split_ascii_whitespace();
    let mut marks = words.filter_map(|word| match word.split_once('=') {
        Some((MARK_KEY, digits)) => Some(parse_mark(digits)),
        _ => None,
    });
    if let (Some(Some(mark)), None) = (marks.next(), marks.next()) {
        MARK.store(mark, Relaxed);
    }
}

/// Writes `DIGITS VERDICT` to the mark's file. Without a heap: a boot that ends in a panic comes here too.
fn write_mark(verdict: Verdict) {
    let mark = MARK.load(Relaxed);
    if mark == 0 {
        return;
    }
    let mut line = *b"0000000000000000 v\n";
    for (place, digit) in line[..16].iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(mark >> (60 - 4 * place)) as usize & 0xF];
    }
    line[17] = b'0' + verdict as u8;
    // Where it cannot be written the runner misses it, and says so.
    let _ = semihosting::fs::write(MARK_FILE, line);
}

/// Ends the boot with `verdict`.
pub fn exit(verdict: Verdict) -> ! {
    write_mark(verdict);
    semihosting::process::exit(verdict as i32)
}
