//! What a run says at the end: the table, the closing line, `report.json`, and the window counts
//! for the witness.

mod rows;

pub use rows::{Row, Run, Size, sum};

use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::CStr;
use core::fmt::Write;

use lazy_mmu::Policy;

use crate::arch::window::{self, Window};
use crate::base::Lock;
use crate::println;
use crate::task::Tally;

/// This kernel's counts of every closed window, a line each. The boot runner compares them with the
/// plugin's.
static WINDOWS: Lock<String> = Lock::new(String::new());

/// Notes the counts of a window that has just been closed.
pub fn note_window(tag: &[u8], window: Window, tally: Tally) {
    let Tally {
        dsb,
        isb,
        dmb,
        tlbi,
        ..
    } = tally;
    // Writing to a String does not fail.
    let _ = writeln!(
        WINDOWS.lock(),
        "{:x} {} {dsb} {isb} {dmb} {tlbi}",
        window::tag_value(tag),
        window as u8
    );
}

/// Writes what was noted for the witness, if anything was. To be called when the run ends, whatever
/// its verdict.
///
/// # Errors
/// What went wrong.
pub fn write_windows() -> Result<(), &'static str> {
    let lines = core::mem::take(&mut *WINDOWS.lock());
    if lines.is_empty() {
        Ok(())
    } else {
        write_file(c"windows.txt", &lines)
    }
}

/// The host's clock in whole seconds, by semihosting, from a start that does not matter; `None` if it has none.
pub fn host_seconds() -> Option<u64> {
    let time = semihosting::sys::arm_compat::sys_time();
    time.ok().map(|seconds| seconds as u64)
}

/// Writes `report.json` with these rows: `complete` says that they are all that was asked for.
///
/// It is there as a whole or not at all, the old one or the new: a boot may be ended at any time, and what it has left is read.
///
/// # Errors
/// What went wrong.
pub fn write_json(rows: &[Row], complete: bool) -> Result<(), &'static str> {
    let mut json = alloc::format!("{{\"schema\":1,\"complete\":{complete},\"rows\":[");
    for (index, row) in rows.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let Tally {
            pairs,
            dsb,
            isb,
            dmb,
            tlbi,
            stores,
            ..
        } = row.tally;
        let _ = write!(
            json,
            "{comma}\n{{\"run\":\"{}\",\"policy\":\"{}\",\"pages\":{},\"k\":{},\"stores\":{stores},\"pairs\":{pairs},\
             \"dsb\":{dsb},\"isb\":{isb},\"dmb\":{dmb},\"tlbi\":{tlbi},\"reach\":{},\"depth\":{}}}",
            row.run,
            row.policy,
            row.size.pages,
            row.size.k,
            row.reach()
                .map_or_else(|| String::from("null"), |pages| alloc::format!("{pages}")),
            row.depth(),
        );
    }
    json.push_str("\n]}\n");
    write_file(c"report.json.new", &json)?;
    semihosting::fs::rename(c"report.json.new", c"report.json").map_err(|_| NOT_WRITTEN)
}

const NOT_WRITTEN: &str =
    "a report could not be written: is semihosting on, and its folder writable?";

fn write_file(name: &CStr, text: &str) -> Result<(), &'static str> {
    semihosting::fs::write(name, text).map_err(|_| NOT_WRITTEN)
}

/// Prints the table.
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
    let mut last = None;
    for row in rows {
        if last.is_some_and(|run| run != row.run) {
            println!();
        }
        last = Some(row.run);
        let Tally {
            pairs,
            dsb,
            isb,
            dmb,
            tlbi,
            stores,
            ..
        } = row.tally;
        let reach = row
            .reach()
            .map_or_else(|| String::from("all"), |pages| alloc::format!("{pages}"));
        println!(
            "{:<13} {:<8} {:>6} {:>6} {stores:>7} {pairs:>7} {dsb:>7} {isb:>7} {dmb:>5} {tlbi:>6} {reach:>7} {:>6}",
            row.run,
            row.policy,
            row.size.pages,
            row.size.k,
            row.depth()
        );
    }
    println!();
}

/// Prints what nesting saves: the pairs of each workload under the nesting contract, beside those
/// under the others.
pub fn print_saving(rows: &[Row]) {
    let nested = |row: &&Row| matches!(row.policy, Policy::V3 | Policy::Linux7);
    let others = [Policy::Eager, Policy::Flat, Policy::Reenter];
    for run in Run::ALL {
        let of_run: Vec<&Row> = rows.iter().filter(|row| row.run == run).collect();
        let Some(nesting) = of_run.iter().copied().find(|row| nested(row)) else {
            continue;
        };
        let mut line = String::new();
        for policy in others {
            if let Some(other) = of_run.iter().find(|row| row.policy == policy) {
                let _ = write!(
                    line,
                    "{}{policy} {}",
                    if line.is_empty() { "" } else { ", " },
                    other.tally.pairs
                );
            }
        }
        if !line.is_empty() {
            println!(
                "{:<13} {} pairs where sections nest; {line}",
                run, nesting.tally.pairs
            );
        }
    }
    let total = |policy| sum(rows, policy).pairs;
    let nesting = [Policy::V3, Policy::Linux7].into_iter();
    let (Some(nesting), flat) = (
        nesting.map(total).find(|pairs| *pairs > 0),
        total(Policy::Flat),
    ) else {
        return;
    };
    if flat > 0 {
        println!(
            "in all, flat pays {flat} pairs and nesting {nesting}: nesting saves {} %",
            (100 * (flat as i64 - nesting as i64)) / flat as i64
        );
    }
}
