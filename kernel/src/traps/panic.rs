//! A panic says where, and in what, and ends the boot with status 3.

use core::fmt::{self, Write};
use core::panic::PanicInfo;

use super::last::LastWords;
use super::report;
use crate::base::Verdict;

/// The message first: it is what is wanted if the rest fails, which ends the boot as well
/// ([`LastWords::claim`]).
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let mut out = LastWords::claim(Verdict::Panic, format_args!("panic at {}", Place(info)));
    // Nothing to do about an error: the console does not report any.
    let _ = writeln!(out, "\npanic at {}", Place(info));
    let _ = writeln!(out, "  {}", info.message());
    let _ = report::who(&mut out);
    out.exit()
}

/// file:line:column.
struct Place<'a>(&'a PanicInfo<'a>);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.location() {
            Some(place) => write!(f, "{place}"),
            None => f.write_str("an unknown place"),
        }
    }
}
