//! The product: runs what the command line asks for, prints the table, and says in one number
//! whether all of it was right.
use alloc::vec::Vec;

use lazy_mmu::Policy;
use mmu_check::Expected;

use crate::base::Verdict;
use crate::mem::frames;
use crate::observe::{ring, rules};
use crate::report::{Row, Run, Size};
use crate::workloads::{self, Failure, Stress, progress};
use crate::{Boot, println, report};

/// The product's `main`: see the module.
pub fn main(boot: &Boot) -> Verdict {
    describe(boot);
    let mut rows = Vec::new();
    let made = make_rows(boot, &mut rows);
    let complete = made.is_ok();
    let result = made.and_then(|()| workloads::check_same_work(&rows));
    if !rows.is_empty() {
        report::print_table(&rows);
    }
    if result.is_ok() && !rows.is_empty() {
        report::print_saving(&rows);
    }
    let written = report::write_json(&rows, complete);
    if let Err(error) = written {
        println!("{error}");
    }
    match result {
        Ok(()) if written.is_ok() => rules::reaches(expected(boot)),
        Ok(()) => Verdict::Failed,
        Err(failure) => {
            println!("FAILED {failure}");
            if boot.arguments.trace {
                ring::print_last();
            }
            Verdict::Failed
        }
    }
}

/// What the rules must have had to look at, for the runs that were asked for.
fn expected(boot: &Boot) -> Expected {
    let arguments = &boot.arguments;
    let pages = arguments.runs.iter().any(|run| *run != Run::Nesting);
    let stress = stress(boot);
    let tasks = arguments.runs.iter().any(|&run| {
        let mut policies = arguments.policies.iter();
        policies.any(|&policy| workloads::carries_for_sure(run, policy, stress))
    });
    Expected {
        pages,
        nested: pages && arguments.debug,
        tasks,
    }
}

fn describe(boot: &Boot) {
    let (machine, arguments) = (&boot.machine, &boot.arguments);
    println!(
        "lazy-mmu: {} MiB of RAM, {} core{} ({} used), {} frames free, debug {}, poison {}",
        machine.ram.bytes >> 20,
        machine.cores_in_tree,
        if machine.cores_in_tree == 1 { "" } else { "s" },
        boot.cores,
        frames::free_count(),
        if arguments.debug { "on" } else { "off" },
        if arguments.poison { "on" } else { "off" },
    );
}

fn stress(boot: &Boot) -> Stress {
    Stress {
        tasks: boot.arguments.tasks,
        seconds: boot.arguments.seconds,
    }
}

/// Makes the rows that were asked for, one after the other, and reports each as soon as it is there: whatever happens to a later
/// one, or to the boot, those that are done are kept.
fn make_rows(boot: &Boot, rows: &mut Vec<Row>) -> Result<(), Failure> {
    let arguments = &boot.arguments;
    let size = Size {
        pages: arguments.pages,
        k: arguments.k,
        seed: arguments.seed,
    };
    let parts: Vec<_> = arguments
        .runs
        .iter()
        .flat_map(|&run| parts(boot, run))
        .collect();
    for (number, &(run, policy)) in (1..).zip(&parts) {
        progress::begin(run, policy, number, parts.len());
        let row = if run.is_stress() {
            workloads::run_stress(run, policy, size, stress(boot)).map(Some)
        } else {
            workloads::run(run, policy, size)
        };
        rows.extend(row.map_err(|failure| failure.within(run, policy))?);
        report::write_json(rows, false).map_err(|error| Failure::new(error.into()))?;
        progress::finished();
    }
    Ok(())
}

/// A run under each of the policies that were asked for; but `nesting` has a policy of its own.
fn parts(boot: &Boot, run: Run) -> impl Iterator<Item = (Run, Policy)> {
    let policies = &boot.arguments.policies;
    let count = if run == Run::Nesting {
        1
    } else {
        policies.len()
    };
    policies[..count].iter().map(move |&policy| (run, policy))
}
