//! Boots everything; names and filters are libtest's. `TESTS` may hold more of them, for make. `LAZY_MMU_TESTS` is another folder with
//! test kernels' sources and lists of boots: `harness.rs` has such.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use lazy_mmu_tests::{choice, found, judge};
use lazy_mmu_tools::{interrupt, places};
use libtest_mimic::{Arguments, Failed, Trial};

/// The status of tests that could not be run, as libtest's.
const NOT_RUN: u8 = 101;

fn main() -> ExitCode {
    let (names, options) = choice::split(&env::var("TESTS").unwrap_or_default());
    let arguments = Arguments::from_iter(env::args().chain(options));
    if let Err(why) = interrupt::heed() {
        eprintln!("cannot listen for signals: {why}");
        return ExitCode::from(NOT_RUN);
    }
    let folder = env::var_os("LAZY_MMU_TESTS").map(PathBuf::from);
    let tests = found::all(&folder.unwrap_or_else(|| places::repository().join("tests")));
    let tests = match choice::of(tests, &names, arguments.exact) {
        Ok(tests) => tests,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(NOT_RUN);
        }
    };
    let trials = tests.into_iter().map(|test| {
        let case = test.case;
        Trial::test(test.name, move || {
            let case = case.map_err(|invalid| Failed::from(invalid.to_string()))?;
            judge::run(&case).map_err(Failed::from)
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
