//! The printed table of a stress run: a row for each task, and the machine's counts by who executed them.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use lazy_mmu::Policy;

use super::{Done, Outcome, handler};
use crate::println;
use crate::report::{OfTask, Run};
use crate::sched::Ended;
use crate::task::{Figures, Tally};

/// Prints it.
pub(super) fn print(run: Run, policy: Policy, outcome: &Outcome) {
    println!();
    println!("{run} under {policy}, task by task; (..): inside a section");
    println!(
        "{:>5} {:<13} {:>6} {:>8} {:>5} {:>7} {:>13} {:>13} {:>13} {:>5} {:>7} {:>7} {:>7} {:>5} {:>6}",
        "task",
        "does",
        "rounds",
        "sections",
        "depth",
        "carried",
        "preempted",
        "migrated",
        "interrupted",
        "spur",
        "pairs",
        "dsb",
        "isb",
        "dmb",
        "tlbi"
    );
    for task in of_tasks(outcome) {
        let id = format!("{}", task.id);
        print_task(&id, task.does, task.rounds, task.figures, task.tally);
    }
    let tallies = outcome.ends.iter().map(|end| end.tally);
    let tasks = tallies.fold(Tally::default(), |sum, tally| sum + tally);
    print_task("all", "", 0, outcome.figures(), tasks);
    let account = &outcome.account;
    print_record("boot", "creates, joins", account.boot);
    print_record("cores", "handlers, switches", account.cores);
    print_record("idle", "wakes", account.idle);
    print_record("sum", "the machine", account.machine);
    let handler::Done { pages, in_enable } = outcome.handlers;
    println!(
        "{pages} pages mapped, used and unmapped by handlers; {in_enable} of them inside the first `enable`; {} warnings",
        outcome.warnings
    );
}

/// The tasks' rows as data.
pub(super) fn of_tasks(outcome: &Outcome) -> Vec<OfTask> {
    let of_task = |end: &Ended<Done>| {
        let (does, rounds) = end.value.as_ref().map_or(("failed", 0), |value| *value);
        OfTask {
            id: end.id,
            does,
            rounds,
            figures: end.figures,
            tally: end.tally,
        }
    };
    outcome.ends.iter().map(of_task).collect()
}

fn print_task(id: &str, does: &str, rounds: u64, figures: Figures, tally: Tally) {
    let both = |all: u64, inside: u64| format!("{all} ({inside})");
    let Figures {
        sections,
        deepest,
        carried,
        spurious,
        ..
    } = figures;
    println!(
        "{id:>5} {does:<13} {rounds:>6} {sections:>8} {deepest:>5} {carried:>7} {:>13} {:>13} {:>13} {spurious:>5} {}",
        both(figures.preemptions, figures.preemptions_inside),
        both(figures.migrations, figures.migrations_inside),
        both(figures.interrupts, figures.interrupts_inside),
        counts(tally),
    );
}

fn print_record(name: &str, what: &str, tally: Tally) {
    println!("{name:>5} {what:<85} {}", counts(tally));
}

/// The last columns of every row.
fn counts(tally: Tally) -> String {
    let (pairs, [dsb, isb, dmb, tlbi]) = (tally.pairs, tally.totals());
    format!("{pairs:>7} {dsb:>7} {isb:>7} {dmb:>5} {tlbi:>6}")
}
