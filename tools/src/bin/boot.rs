//! Boots a kernel in QEMU; `boot --help` says how.

use std::env;
use std::process::ExitCode;

use lazy_mmu_tools::options::{self, Request};
use lazy_mmu_tools::{Boot, Verdict, places};

fn main() -> ExitCode {
    let request = options::parse(env::args_os().skip(1), |name| env::var(name).ok());
    let verdict = match request {
        Ok(Request::Help) => {
            print!("{}", options::HELP);
            return ExitCode::SUCCESS;
        }
        Ok(Request::Boot(boot)) => run(*boot),
        Err(bad) => {
            eprintln!("boot: {bad}");
            Verdict::BadArguments
        }
    };
    println!("{verdict}");
    ExitCode::from(verdict.code())
}

fn run(mut boot: Boot) -> Verdict {
    boot.echo = true;
    boot.keep = Some(places::target_dir());
    if boot.debug {
        println!(
            "waiting for gdb: gdb-multiarch -ex 'target remote :1234' {}",
            boot.kernel.display()
        );
    }
    match boot.run() {
        Ok(outcome) => {
            for note in &outcome.notes {
                println!("{note}");
            }
            outcome.verdict
        }
        Err(error) => {
            eprintln!("boot: {error}");
            Verdict::NoBoot
        }
    }
}
