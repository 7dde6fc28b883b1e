//! A panic says where, and in what, and ends the boot with status 3.

use core::fmt::Write;
use core::panic::PanicInfo;

use super::last::LastWords;
use super::report;
use crate::base::Verdict;

/// The message first: it is what is wanted if the rest fails, which ends the boot as well
/// ([`LastWords::claim`]).
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let mut out = LastWords::claim(Verdict::Panic, format_args!("{info}"));
    // Nothing to do about an error: the console does not report any.
    let _ = writeln!(out, "\n{info}");
    let _ = report::who(&mut out);
    out.exit()
}
