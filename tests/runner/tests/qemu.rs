//! Boots everything; names and filters are libtest's.

use std::process::ExitCode;

use lazy_mmu_tests::{found, judge};
use lazy_mmu_tools::places;
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let tests = found::all(&places::repository().join("tests"));
    let trials = tests.into_iter().map(|test| {
        let case = test.case;
        Trial::test(test.name, move || {
            let case = case.map_err(|mistake| Failed::from(mistake.to_string()))?;
            judge::run(&case).map_err(Failed::from)
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
