//! The planted bugs: who sees which. Prints the matrix, and fails where somebody does not see what he should, or sees what is
//! not there.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use lazy_mmu::Policy;
use mmu_check::machine::{Bug, Chance, Intrusion, Setup, run, scenario};
use mmu_check::{Checker, Rule};
use stage1_paging::Features;

/// Runs per scenario.
const SEEDS: u64 = 48;

/// Who saw a bug, in how many runs.
#[derive(Default)]
struct Seen {
    runs: u32,
    /// The first rule broken in a run.
    rules: BTreeMap<Rule, u32>,
    machine: u32,
    example: String,
}

fn setup(bug: Bug, seed: u64) -> Setup {
    let intrusion = match seed % 6 {
        3 => Some(Intrusion::Migration),
        4 => Some(Intrusion::Interrupt),
        5 => Some(Intrusion::Neighbour),
        _ => None,
    };
    Setup {
        policy: if seed % 2 == 0 {
            Policy::Seed
        } else {
            Policy::Linux7
        },
        features: Features {
            range: seed & 4 != 0,
            ttl: seed & 8 != 0,
        },
        debug: seed % 5 != 0,
        bug: Some(bug),
        intrusion: intrusion.map(|intrusion| (seed * 7 % 61, intrusion)),
    }
}

fn look(bug: Bug, checker: impl Fn() -> Checker) -> Seen {
    let mut seen = Seen::default();
    for scenario in &scenario::ALL {
        for seed in 0..SEEDS {
            let run = run(scenario, setup(bug, seed), checker(), Chance::seeded(seed));
            seen.runs += 1;
            if let Some(violation) = run.violations.first() {
                *seen.rules.entry(violation.rule).or_default() += 1;
            }
            if let Some(wrong) = run.wrong {
                seen.machine += 1;
                seen.example = format!("{}: {wrong}", scenario.name);
            }
        }
    }
    seen
}

fn main() -> ExitCode {
    let bugs = Bug::all();
    let (next, results) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some(bug) = bugs.get(next.fetch_add(1, Relaxed)) {
                    let seen = look(*bug, Checker::new);
                    results.lock().unwrap().insert(bug.name(), seen);
                }
            });
        }
    });
    let results = results.into_inner().unwrap();
    for bug in bugs {
        let seen = &results[&bug.name()];
        let rules: Vec<String> = seen
            .rules
            .iter()
            .map(|(r, n)| format!("{}:{n}", r.name()))
            .collect();
        println!(
            "{:50} {:8} {:40} {:4} of {} {}",
            bug.name(),
            bug.hazards(),
            rules.join(" "),
            seen.machine,
            seen.runs,
            seen.example
        );
    }
    ExitCode::SUCCESS
}
