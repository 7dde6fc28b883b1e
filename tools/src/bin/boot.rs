//! Boots a kernel in QEMU; `boot --help` says how.

use std::env;
use std::process::ExitCode;

use lazy_mmu_tools::options::{self, Request};
use lazy_mmu_tools::{Verdict, front, say};

fn main() -> ExitCode {
    let request = options::parse(env::args_os().skip(1), front::variable);
    let verdict = match request {
        Ok(Request::Help) => {
            say::line(options::HELP.trim_end());
            return ExitCode::SUCCESS;
        }
        Ok(Request::Boot(boot)) => front::run("boot", *boot).0,
        Err(bad) => {
            say::error(format_args!("boot: {bad}"));
            Verdict::BadArguments
        }
    };
    say::line(verdict);
    ExitCode::from(verdict.code())
}
