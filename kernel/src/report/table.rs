//! The table on the console, and the lines below it that say what nesting saves.

use alloc::format;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

use lazy_mmu::Policy;

use super::{Row, Run};
use crate::mem;
use crate::println;
use crate::task::Tally;

/// Prints the table, the rows of different runs apart.
pub fn print_table(rows: &[Row]) {
    println!();
    if !mem::SETTLES.load(Relaxed) {
        println!(
            "settle=off: pairs are paid besides the invalidations of the same stores, as in Linux"
        );
    }
    println!(
        "{:<13} {:<8} {:>6} {:>6} {:>7} {:>7} {:>7} {:>7} {:>5} {:>6} {:>7} {:>6}",
        "run",
        "policy",
        "pages",
        "k",
        "stores",
        "pairs",
        "dsb",
        "isb",
        "dmb",
        "tlbi",
        "reach",
        "depth"
    );
    for (index, row) in rows.iter().enumerate() {
        if index > 0 && rows[index - 1].run != row.run {
            println!();
        }
        let Tally { pairs, stores, .. } = row.tally;
        let [dsb, isb, dmb, tlbi] = row.tally.totals();
        println!(
            "{:<13} {:<8} {:>6} {:>6} {stores:>7} {pairs:>7} {dsb:>7} {isb:>7} {dmb:>5} {tlbi:>6} {:>7} {:>6}",
            row.run,
            row.policy,
            row.size.pages,
            row.size.k,
            row.reach_or("all"),
            row.depth()
        );
    }
    println!();
}

/// Prints what the rows say together: what nesting saves, what the policies that were not run would have paid, and what can be
/// compared where the rows did not do the same work.
pub fn print_saving(rows: &[Row]) {
    print_pairs(rows);
    print_owed(rows);
    print_rates(rows);
    print_sums(rows);
}

/// Prints the pairs of each workload where sections nest, beside those under the other policies.
fn print_pairs(rows: &[Row]) {
    for run in Run::ALL.into_iter().chain(Run::LINUX) {
        let of_run = || rows.iter().filter(move |row| row.run == run);
        let Some(nesting) = of_run().find(|row| row.policy.is_contract()) else {
            continue;
        };
        let others: Vec<_> = Policy::BASELINES
            .iter()
            .filter_map(|policy| of_run().find(|row| row.policy == *policy))
            .map(|row| format!("{} {}", row.policy, row.tally.pairs))
            .collect();
        if !others.is_empty() {
            println!(
                "{run:<13} {} pairs where sections nest; {}",
                nesting.tally.pairs,
                others.join(", ")
            );
        }
    }
}

/// Prints for each workload the pairs that the policies which were not run owe for the same calls: the replay has them.
fn print_owed(rows: &[Row]) {
    for run in Run::ALL.into_iter().chain(Run::LINUX) {
        let of_run = || rows.iter().filter(move |row| row.run == run);
        let Some(replay) = of_run().find_map(|row| row.replay.as_ref()) else {
            continue;
        };
        let was_run = |policy: &Policy| of_run().any(|row| row.policy == *policy);
        let owed: Vec<_> = Policy::ALL
            .into_iter()
            .filter(|policy| !was_run(policy))
            .map(|policy| format!("{policy} {}", replay.pairs(policy)))
            .collect();
        if !owed.is_empty() {
            println!(
                "{run:<13} not run, pairs for the same calls: {}",
                owed.join(", ")
            );
        }
    }
}

/// Prints the pairs per 1 000 stores of stress runs. They go on for a time and not for a number of calls.
fn print_rates(rows: &[Row]) {
    for run in Run::STRESS {
        let of_run = || rows.iter().filter(move |row| row.run == run);
        let work = |row: &Row| row.tally.stores;
        let differ = of_run().any(|row| Some(work(row)) != of_run().next().map(work));
        let rates: Vec<_> = of_run()
            .filter(|row| work(row) > 0)
            .map(|row| format!("{} {}", row.policy, 1000 * row.tally.pairs / work(row)))
            .collect();
        if !rates.is_empty() {
            println!(
                "{run:<13} {}pairs per 1000 stores: {}",
                if differ {
                    "the rows did different amounts of work; "
                } else {
                    ""
                },
                rates.join(", ")
            );
        }
    }
}

fn print_sums(rows: &[Row]) {
    let flat = pairs_under(rows, Policy::Flat);
    let nesting = Policy::CONTRACTS.map(|policy| pairs_under(rows, policy));
    let Some(nesting) = nesting.into_iter().find(|pairs| *pairs > 0) else {
        return;
    };
    if flat > 0 {
        println!(
            "in all, flat pays {flat} pairs and nesting {nesting}: nesting saves {} %",
            (100 * (flat as i64 - nesting as i64)) / flat as i64
        );
    }
}

/// The pairs of all workloads of one task. Stress runs go on for a time and not for a number of calls: their counts
/// cannot be compared.
fn pairs_under(rows: &[Row], policy: Policy) -> u64 {
    rows.iter()
        .filter(|row| row.policy == policy && !row.run.is_stress())
        .map(|row| row.tally.pairs)
        .sum()
}
