//! The product: runs what the command line asks for, prints the table, and says in one number
//! whether all of it was right.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;

use lazy_mmu::Policy;
use lazy_mmu_kernel::exit::Verdict;
use lazy_mmu_kernel::mem::frames;
use lazy_mmu_kernel::workloads::{self, Crowd, Failure, Row, Run, Size};
use lazy_mmu_kernel::{Boot, check, println, report, task};

lazy_mmu_kernel::entry!(main);

fn main(boot: &Boot) -> Verdict {
    describe(boot);
    #[cfg(feature = "planted")]
    lazy_mmu_kernel::planted::plant(boot.arguments.plant);
    match run_all(boot) {
        Ok(rows) => {
            if !rows.is_empty() {
                report::print_table(&rows);
                report::print_saving(&rows);
            }
            match report::write_json(&rows) {
                Ok(()) => check::reaches(&floors(boot)),
                Err(error) => {
                    println!("{error}");
                    Verdict::Failed
                }
            }
        }
        Err(failure) => {
            println!("FAILED {failure}");
            if boot.arguments.trace {
                task::core().events.print_last();
            }
            Verdict::Failed
        }
    }
}

/// What the rules must have had to look at, for the runs that were asked for.
fn floors(boot: &Boot) -> check::Floors {
    let arguments = &boot.arguments;
    let pages = arguments.runs.iter().any(|run| *run != Run::Nesting);
    let tasks = arguments
        .runs
        .iter()
        .any(|run| matches!(run, Run::Mixed | Run::Preempt | Run::Forced));
    check::Floors {
        pages,
        nested: pages && arguments.debug,
        // Eager never owes for long.
        tasks: tasks
            && arguments
                .policies
                .iter()
                .any(|policy| *policy != Policy::Eager),
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

fn run_all(boot: &Boot) -> Result<Vec<Row>, Failure> {
    let arguments = &boot.arguments;
    let size = Size {
        pages: arguments.pages,
        k: arguments.k,
        seed: arguments.seed,
    };
    let crowd = Crowd {
        tasks: arguments.tasks,
        seconds: arguments.seconds,
    };
    let mut rows = Vec::new();
    for &run in &arguments.runs {
        let policies = if run == Run::Nesting {
            &arguments.policies[..1]
        } else {
            &arguments.policies[..]
        };
        for &policy in policies {
            let row = if run.is_of_tasks() {
                workloads::run_tasks(run, policy, size, crowd).map(Some)
            } else {
                workloads::run(run, policy, size)
            };
            match row {
                Ok(row) => rows.extend(row),
                Err(failure) => return Err(failure.within(run, policy)),
            }
        }
    }
    workloads::check_same_work(&rows)?;
    Ok(rows)
}
