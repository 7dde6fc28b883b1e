//! `ring FILE`: prints events that a kernel keeps in memory as words ([`Event::to_words`]), a line each. For gdb: `tools/gdb/lazy_mmu.py`
//! reads them from the rings.

use std::env;
use std::fs;
use std::process::ExitCode;

use lazy_mmu_tools::say;
use mmu_check::Event;

fn main() -> ExitCode {
    let words: Vec<_> = env::args_os().skip(1).collect();
    let [file] = words.as_slice() else {
        say::error("ring FILE");
        return ExitCode::from(2);
    };
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(why) => {
            say::error(format_args!("ring: {}: {why}", file.display()));
            return ExitCode::FAILURE;
        }
    };
    for event in bytes.chunks(8 * Event::WORDS) {
        let mut words = [0; Event::WORDS];
        for (word, bytes) in words.iter_mut().zip(event.chunks_exact(8)) {
            *word = bytes
                .iter()
                .rev()
                .fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        match Event::from_words(words) {
            Some(event) => say::line(format_args!("  {event}")),
            // A core may have been stopped while it wrote one.
            None => say::line("  (no event)"),
        }
    }
    ExitCode::SUCCESS
}
