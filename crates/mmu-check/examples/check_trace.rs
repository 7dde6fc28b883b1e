//! Checks traces: `cargo run --release -p mmu-check --example check_trace -- FILE...`
//!
//! Without a file, or for `-`, it checks standard input. It prints every violation as it is found, and then
//! what there was to check. It ends with
//!
//! - 0 if there is no violation;
//! - 1 if there are some;
//! - 2 if a trace cannot be read to its end, if there is nothing in one, or if the output cannot be written.
//!   What was wrong, and in which line, is on standard error; violations before that line are printed.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::ExitCode;

use mmu_check::trace::{self, Summary};
use mmu_check::{Checker, Coverage};

fn main() -> ExitCode {
    let mut names: Vec<OsString> = env::args_os().skip(1).collect();
    if names.is_empty() {
        names.push("-".into());
    }
    let mut out = io::stdout().lock();
    let mut worst = 0;
    for name in names {
        match check_named(&name, &mut out) {
            Ok(status) => worst = worst.max(status),
            // Nobody reads any further, and nothing more can be said.
            Err(_) => return ExitCode::from(2),
        }
    }
    ExitCode::from(worst)
}

/// # Errors
/// Those of `out`.
fn check_named(name: &OsStr, out: &mut impl Write) -> io::Result<u8> {
    if name == "-" {
        return check("standard input", io::stdin().lock(), out);
    }
    let path = Path::new(name);
    match File::open(path) {
        Ok(file) => check(&path.display().to_string(), BufReader::new(file), out),
        Err(error) => fail(&path.display().to_string(), &error.to_string()),
    }
}

/// # Errors
/// Those of `out`.
fn check(name: &str, from: impl BufRead, out: &mut impl Write) -> io::Result<u8> {
    let mut checker = Checker::new();
    let mut written = Ok(());
    let read = trace::check(&mut checker, from, trace::MEMORY_MAX, |violation| {
        if written.is_ok() {
            written = writeln!(out, "{violation}\n");
        }
    });
    written?;
    let coverage = checker.coverage();
    match read {
        Err(error) => fail(name, &error.to_string()),
        Ok(_) if *coverage == Coverage::default() => fail(name, "there is nothing in it to check"),
        Ok(summary) => {
            writeln!(out, "{name}: {}", describe(&summary, coverage))?;
            Ok(u8::from(summary.violations > 0))
        }
    }
}

fn describe(summary: &Summary, coverage: &Coverage) -> String {
    let Summary {
        violations, run, ..
    } = summary;
    let before = run.before;
    format!("{violations} violations; {coverage}, and {before} before the trace begins")
}

/// # Errors
/// Those of standard error.
fn fail(name: &str, why: &str) -> io::Result<u8> {
    writeln!(io::stderr(), "{name}: {why}")?;
    Ok(2)
}
