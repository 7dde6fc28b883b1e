//! Checks traces, or standard input: `cargo run --release -p mmu-check --example check_trace --
//! FILE...`
//!
//! Prints every violation and what there was to check. Ends with 0 if there is none, 1 if there
//! are, 2 if a trace cannot be read.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::process::ExitCode;

use mmu_check::{Checker, trace};

fn main() -> ExitCode {
    let files: Vec<String> = std::env::args().skip(1).collect();
    let mut worst = 0;
    if files.is_empty() {
        worst = check("standard input", io::stdin().lock());
    }
    for name in files {
        worst = worst.max(match File::open(&name) {
            Ok(file) => check(&name, BufReader::new(file)),
            Err(error) => {
                eprintln!("{name}: {error}");
                2
            }
        });
    }
    ExitCode::from(worst)
}

fn check(name: &str, from: impl BufRead) -> u8 {
    let mut checker = Checker::new();
    match trace::check(&mut checker, from) {
        Err(error) => {
            eprintln!("{name}: {error}");
            2
        }
        Ok(violations) => {
            violations.iter().for_each(|v| println!("{v}\n"));
            println!(
                "{name}: {} violations; {}",
                violations.len(),
                checker.coverage()
            );
            if checker.coverage().counts().iter().all(|(_, n)| *n == 0) {
                eprintln!("{name}: there is nothing in it");
                return 2;
            }
            u8::from(!violations.is_empty())
        }
    }
}
