//! Boots a kernel in QEMU; `boot --help` says how.

use std::env;
use std::process::ExitCode;

use lazy_mmu_tools::options::{self, Request};
use lazy_mmu_tools::{Boot, Verdict, interrupt, places, say};

fn main() -> ExitCode {
    let request = options::parse(env::args_os().skip(1), variable);
    let verdict = match request {
        Ok(Request::Help) => {
            say::line(options::HELP.trim_end());
            return ExitCode::SUCCESS;
        }
        Ok(Request::Boot(boot)) => run(*boot),
        Err(bad) => {
            say::error(format_args!("boot: {bad}"));
            Verdict::BadArguments
        }
    };
    say::line(verdict);
    ExitCode::from(verdict.code())
}

/// What cannot be read as text is refused as what it looks like, not taken for missing.
fn variable(name: &str) -> Option<String> {
    env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

fn run(mut boot: Boot) -> Verdict {
    if let Err(why) = interrupt::heed() {
        say::error(format_args!("boot: cannot listen for signals: {why}"));
        return Verdict::NoBoot;
    }
    boot.echo = true;
    boot.keep.get_or_insert_with(places::target_dir);
    if boot.debug {
        say::line(format_args!(
            "waiting for gdb: gdb-multiarch -ex 'target remote :1234' {}",
            boot.kernel.display()
        ));
    }
    match boot.run() {
        Ok(outcome) => {
            for note in &outcome.notes {
                say::line(note);
            }
            outcome.verdict
        }
        Err(error) => {
            say::error(format_args!("boot: {error}"));
            Verdict::NoBoot
        }
    }
}
