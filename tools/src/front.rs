//! What the programs that boot a kernel have in common: signals, the console, and the notes behind it.

use crate::boot::Boot;
use crate::outcome::Outcome;
use crate::verdict::Verdict;
use crate::{gdb, interrupt, places, say};

/// Boots with the console passed on, leaves the files in the target directory unless `keep` says otherwise, and prints what a
/// person should know. Without an outcome, no boot took place, and why was printed.
pub fn run(program: &str, mut boot: Boot) -> (Verdict, Option<Outcome>) {
    if let Err(why) = interrupt::heed() {
        say::error(format_args!("{program}: cannot listen for signals: {why}"));
        return (Verdict::NoBoot, None);
    }
    boot.echo = true;
    boot.keep.get_or_insert_with(places::target_dir);
    if let Some(port) = boot.debug {
        say::line(format_args!(
            "waiting for gdb: {}",
            gdb::command(&boot.kernel, port)
        ));
    }
    match boot.run() {
        Ok(outcome) => {
            for note in &outcome.notes {
                say::line(note);
            }
            (outcome.verdict, Some(outcome))
        }
        Err(error) => {
            say::error(format_args!("{program}: {error}"));
            (Verdict::NoBoot, None)
        }
    }
}

/// A variable of the environment. What cannot be read as text is refused as what it looks like, not taken for missing.
#[must_use]
pub fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}
