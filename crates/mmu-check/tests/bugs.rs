//! The injected bugs: who sees which. Prints the matrix, and fails where somebody does not see what
//! he should, or sees what is not there. Then each rule is taken away in turn, which must not go
//! unnoticed either.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use lazy_mmu::Policy;
use mmu_check::machine::{Bug, Chance, Intrusion, NOT_HERE, Setup, Site, run, scenario};
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

impl Seen {
    /// What is not as it should be.
    fn judge(&self, bug: Bug) -> Result<(), String> {
        let expected = bug.expected();
        let names = |rules: &[Rule]| rules.iter().map(|r| r.name()).collect::<Vec<_>>().join(" ");
        let rules: Vec<Rule> = self.rules.keys().copied().collect();
        if rules != expected.rules {
            let (found, wanted) = (names(&rules), names(&expected.rules));
            return Err(format!("rules: found [{found}], expected [{wanted}]"));
        }
        if (self.machine > 0) != expected.machine {
            return Err(format!(
                "machine: {} of {} runs, expected {}: {}",
                self.machine,
                self.runs,
                if expected.machine { "some" } else { "none" },
                self.example
            ));
        }
        if rules.is_empty() && !expected.machine {
            return Err("nobody sees it".into());
        }
        Ok(())
    }
}

fn setup(bug: Bug, seed: u64) -> Setup {
    let intrusion = match (bug, seed % 6) {
        // What is lost only if the task is moved between two certain instructions: all of them, in
        // turn.
        (Bug::Omitted(Site::SwitchDsb), _)
        | (Bug::RecordedOnly(Site::SwitchDsb) | Bug::ExecutedOnly(Site::SwitchDsb), _) => {
            Some((seed * 2 + seed % 5, Intrusion::Migration))
        }
        (_, 3) => Some((seed * 7 % 61, Intrusion::Migration)),
        (_, 4) => Some((seed * 7 % 61, Intrusion::Interrupt)),
        (_, 5) => Some((seed * 7 % 61, Intrusion::Neighbour)),
        _ => None,
    };
    Setup {
        policy: if seed.is_multiple_of(2) {
            Policy::V3
        } else {
            Policy::Linux7
        },
        features: Features {
            range: seed & 4 != 0,
            ttl: seed & 8 != 0,
        },
        debug: !seed.is_multiple_of(5),
        bug: Some(bug),
        intrusion,
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

/// Does all of `work` on all cores, and returns the results in order.
fn on_all_cores<T: Sync, R: Send>(work: &[T], each: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let (next, results) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Relaxed);
                    let Some(item) = work.get(n) else { break };
                    let result = each(item);
                    results.lock().unwrap().insert(n, result);
                }
            });
        }
    });
    results.into_inner().unwrap().into_values().collect()
}

fn print(bugs: &[Bug], results: &[Seen]) {
    println!(
        "{:44} {:24} {:14} {:>12}  {:5} {:6}",
        "injected bug", "stands for", "rules (runs)", "machine", "QEMU*", "plugin*"
    );
    for (bug, seen) in bugs.iter().zip(results) {
        let rules = seen.rules.iter();
        let rules: Vec<String> = rules.map(|(r, n)| format!("{}:{n}", r.name())).collect();
        let expected = bug.expected();
        let yes = |sees: bool| if sees { "yes" } else { "-" };
        println!(
            "{:44} {:24} {:14} {:>4} of {:>4}  {:5} {:6} {}",
            bug.name(),
            bug.stands_for(),
            if rules.is_empty() {
                "-".into()
            } else {
                rules.join(" ")
            },
            seen.machine,
            seen.runs,
            yes(expected.qemu),
            yes(expected.plugin),
            seen.judge(*bug)
                .err()
                .map_or(String::new(), |e| format!("<- {e}"))
        );
    }
    println!("* expected; shown by the kernel's own tests");
    for (hazard, why) in NOT_HERE {
        println!("{hazard} is no lost barrier: {why}");
    }
}

fn main() -> ExitCode {
    let bugs = Bug::all();
    let results = on_all_cores(&bugs, |bug| look(*bug, Checker::new));
    print(&bugs, &results);
    let mut failed = bugs
        .iter()
        .zip(&results)
        .filter(|(b, s)| s.judge(**b).is_err())
        .count();

    println!("\neach rule taken away: which bug shows it");
    let shown = on_all_cores(&Rule::ALL, |rule| {
        let sees = |bug: &&Bug| bug.expected().rules == [*rule];
        let bug = bugs.iter().find(sees).copied();
        let without = bug.map(|bug| look(bug, || Checker::without(*rule)).judge(bug));
        (bug, without)
    });
    for (rule, (bug, without)) in Rule::ALL.iter().zip(shown) {
        let bug = bug.map_or("no bug".into(), Bug::name);
        match without {
            Some(Err(what)) => println!("{:4} {bug}: {what}", rule.name()),
            _ => {
                println!("{:4} {bug}: NOT NOTICED", rule.name());
                failed += 1;
            }
        }
    }
    if failed == 0 {
        println!(
            "\n{} injected bugs, all seen by whom they should be",
            bugs.len()
        );
        ExitCode::SUCCESS
    } else {
        println!("\n{failed} failed");
        ExitCode::FAILURE
    }
}
