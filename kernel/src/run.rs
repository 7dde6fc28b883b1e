//! The product: runs what the command line names, prints the table, and returns the verdict.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use lazy_mmu::Policy;
use mmu_check::Expected;

use crate::base::Verdict;
use crate::mem::frames;
use crate::observe::{ring, rules};
use crate::report::{Row, Run, Size};
use crate::workloads::hazards::{self, Outcome};
use crate::workloads::{self, Failure, Stress, progress};
use crate::{Boot, println, report};

/// The product's `main`.
pub fn main(boot: &Boot) -> Verdict {
    describe(boot);
    let refused = refuse_cores(boot).or_else(|| refuse_size(boot));
    if let Some(why) = refused {
        println!("bad argument {why}");
        return Verdict::BadArguments;
    }
    let (mut rows, mut outcomes) = (Vec::new(), Vec::new());
    let made = make_rows(boot, &mut rows, &mut outcomes);
    let complete = made.is_ok();
    let result = made.and_then(|()| workloads::check_same_work(&rows));
    if !rows.is_empty() {
        report::print_table(&rows);
    }
    if result.is_ok() && !rows.is_empty() {
        report::print_saving(&rows);
    }
    if !outcomes.is_empty() {
        hazards::print_table(&outcomes);
    }
    let result = result.and_then(|()| hazards::check(&outcomes));
    let written = report::write_json(&rows, complete);
    if let Err(error) = written {
        println!("{error}");
    }
    match result {
        Ok(()) if written.is_ok() => rules::reaches(expected(boot)),
        Ok(()) => Verdict::Failed,
        Err(failure) => {
            println!("FAILED {failure}");
            if boot.arguments.trace.is_some() {
                ring::print_last();
            }
            Verdict::Failed
        }
    }
}

/// Refuses a line of nothing but hazards that take more cores than there are.
fn refuse_cores(boot: &Boot) -> Option<String> {
    let runs = &boot.arguments.runs;
    let fits = |&run: &Run| hazards::cores_of(run) <= boot.cores;
    let refused = runs.first().filter(|_| !runs.iter().any(fits))?;
    let cores = hazards::cores_of(*refused);
    Some(format!(
        "`run={refused}`: it takes {cores} cores; allowed: with SMP={cores} or more"
    ))
}

/// Refuses what cannot fit this machine's memory.
fn refuse_size(boot: &Boot) -> Option<String> {
    let arguments = &boot.arguments;
    let mut runs = arguments.runs.iter();
    runs.find_map(|&run| workloads::refused(run, size(boot), stress(boot), arguments.check))
}

/// What the rules must have been given to check, at least, by the runs of the command line.
pub fn expected(boot: &Boot) -> Expected {
    let arguments = &boot.arguments;
    let is_workload = |run: &Run| *run != Run::Nesting && !run.is_hazard();
    let pages = arguments.runs.iter().any(is_workload);
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

/// Prints the machine and the switches of the allocator.
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

/// The size of the workloads.
fn size(boot: &Boot) -> Size {
    let arguments = &boot.arguments;
    Size {
        pages: arguments.pages,
        k: arguments.k,
        seed: arguments.seed,
        detail: arguments.detail,
    }
}

/// The size of the runs of many tasks.
fn stress(boot: &Boot) -> Stress {
    Stress {
        tasks: boot.arguments.tasks,
        seconds: boot.arguments.seconds,
    }
}

/// Runs everything, each run under each of its policies, and writes the report after every row. So rows that are done are kept,
/// whatever happens to a later one or to the boot.
///
/// A hazard has no row. What it shows stands in `outcomes`, and one that fails does not stop the others.
fn make_rows(boot: &Boot, rows: &mut Vec<Row>, outcomes: &mut Vec<Outcome>) -> Result<(), Failure> {
    let arguments = &boot.arguments;
    let size = size(boot);
    let parts: Vec<_> = arguments
        .runs
        .iter()
        .flat_map(|&run| parts(boot, run))
        .collect();
    for (number, &(run, policy)) in (1..).zip(&parts) {
        progress::begin(run, policy, number, parts.len());
        if run.is_hazard() {
            outcomes.push(hazards::run(run, policy, boot.cores));
            progress::finished();
            continue;
        }
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

/// A run with each of the policies of the command line. `nesting` is run once: its policy is always `v3`. A hazard is run under the
/// contracts among them.
fn parts(boot: &Boot, run: Run) -> impl Iterator<Item = (Run, Policy)> {
    let arguments = &boot.arguments;
    let policies: Vec<Policy> = match run {
        Run::Nesting => arguments.policies[..1].to_vec(),
        Run::Hazard(_) => arguments.contracts().collect(),
        _ => arguments.policies.clone(),
    };
    policies.into_iter().map(move |policy| (run, policy))
}
