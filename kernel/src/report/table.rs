//! The table on the console, and the lines below it that say what nesting saves.

use alloc::format;
use alloc::vec::Vec;

use lazy_mmu::Policy;

use super::{Row, Run};
use crate::println;
use crate::task::Tally;

/// Prints the table, the rows of different runs apart.
pub fn print_table(rows: &[Row]) {
    println!();
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

/// The policies under which sections nest, and those to compare with.
const NESTING: [Policy; 2] = [Policy::V3, Policy::Linux7];
const OTHERS: [Policy; 3] = [Policy::Eager, Policy::Flat, Policy::Reenter];

/// Prints the pairs of each workload where sections nest, beside those under the other policies; and the
/// sums.
pub fn print_saving(rows: &[Row]) {
    for run in Run::ALL.into_iter().chain(Run::LINUX) {
        let of_run = || rows.iter().filter(move |row| row.run == run);
        let Some(nesting) = of_run().find(|row| NESTING.contains(&row.policy)) else {
            continue;
        };
        let others: Vec<_> = OTHERS
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
    let flat = pairs_under(rows, Policy::Flat);
    let nesting = NESTING.map(|policy| pairs_under(rows, policy));
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
