//! The last words: who may say them, and what happens to those who come second.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use crate::arch::registers;
use crate::base::Verdict;
use crate::machine::console;
use crate::observe::rules;

/// Which core stopped the kernel, and for what: 0 while it runs, else the verdict in the top byte and the core's affinity.
static FIRST: AtomicU64 = AtomicU64::new(0);
/// How often that core has failed since.
static SINCE: AtomicU8 = AtomicU8::new(0);

const AFFINITY: u64 = 0xFF_00FF_FFFF;

/// Whether a core has failed, and reports that: the boot is about to end.
pub fn is_stopping() -> bool {
    FIRST.load(Relaxed) != 0
}

/// Proof that the kernel is stopping, on this core, and that this code is the one to say why.
/// Writes to the console.
pub(super) struct LastWords(Verdict);

impl LastWords {
    /// Stops the kernel for the reason of `verdict`: a panic or an exception. Returns only to the
    /// first caller. If a rule was broken before, that is the first failure, and this may be its consequence: the verdict is
    /// [`Verdict::Failed`].
    ///
    /// Another core waits for ever. The same core has failed while it was reporting: that ends the
    /// boot at once, after the one line `what`, with the verdict of the *first* failure, since
    /// the second may be its consequence.
    pub fn claim(verdict: Verdict, what: fmt::Arguments<'_>) -> Self {
        registers::mask_interrupts();
        let me = registers::affinity();
        let verdict = if rules::is_violated() {
            Verdict::Failed
        } else {
            verdict
        };
        let word = (verdict as u64) << 56 | me;
        match FIRST.compare_exchange(0, word, Relaxed, Relaxed) {
            Ok(_) => Self(verdict),
            Err(first) if first & AFFINITY == me => {
                let is_first = |verdict: &Verdict| first >> 56 == *verdict as u64;
                let first = [Verdict::Failed, Verdict::Panic].into_iter().find(is_first);
                Self(first.unwrap_or(Verdict::Exception)).give_up(what)
            }
            Err(_) => wait(),
        }
    }

    /// Does less each time, so that failures cannot go round for ever: a line and the exit; only
    /// the exit; nothing. (The exit can fail: the semihosting call is an undefined instruction
    /// where nobody serves it.)
    fn give_up(mut self, what: fmt::Arguments<'_>) -> ! {
        match SINCE.fetch_add(1, Relaxed) {
            0 => {
                let _ = writeln!(self, "\nfailed again while reporting: {what}");
                self.exit()
            }
            1 => self.exit(),
            _ => wait(),
        }
    }

    /// Ends the boot.
    pub fn exit(self) -> ! {
        crate::machine::exit::exit(self.0)
    }
}

impl Write for LastWords {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // SAFETY: a `LastWords` exists, so this core does not go back to what it was doing. Another
        // core that holds the console may still be writing; what is at stake is the order
        // of characters, as it drives the same registers of the same UART.
        unsafe { console::print_last(text) };
        Ok(())
    }
}

fn wait() -> ! {
    loop {
        registers::yield_now();
    }
}
