//! The boots: every machine twice, and the figures of both must be the same.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::rows::{self, Machine, Rows};
use crate::boot::{Boot, Witnessing};
use crate::outcome::Outcome;
use crate::places;
use crate::verdict::Verdict;

/// The image.
pub const IMAGE: &str = "lazy-mmu-bench";
/// Enough for 32 768 pages, their frames, and as many again.
const MEM: &str = "1G";
/// A boot with the plugin takes seconds on an idle machine.
const LIMIT: Duration = Duration::from_secs(600);
/// How many boots at once: each is one busy thread.
const AT_ONCE: usize = 2;

/// What is booted: the machines, with the word of the image's command line, and how often.
#[must_use]
pub fn plan(short: bool) -> Vec<(Machine, &'static str, u32)> {
    let extent = if short { "short" } else { "full" };
    let mut plan = Vec::new();
    for cpu in ["max", "cortex-a72"] {
        for debug in [false, true] {
            plan.push((Machine::new(cpu, debug), extent, 2));
        }
    }
    if !short {
        for smp in [2, 4, 8] {
            let machine = Machine {
                smp,
                ..Machine::new("max", true)
            };
            plan.push((machine, "cores", 1));
        }
    }
    plan
}

fn boot(machine: &Machine, extent: &str) -> Boot {
    let debug = if machine.debug { "on" } else { "off" };
    Boot {
        args: vec![format!("bench={extent}"), format!("debug={debug}")],
        cpu: machine.cpu.clone(),
        smp: machine.smp,
        mem: MEM.to_owned(),
        // With several cores they would take turns, and nobody counts instructions then.
        icount: (machine.smp == 1).then(|| "shift=0".to_owned()),
        timeout: Some(LIMIT),
        witness: Witnessing::Required,
        ..Boot::new(places::kernel(IMAGE))
    }
}

/// Boots all of `plan` and returns the rows of each machine, in its order.
///
/// # Errors
/// What went wrong in the first boot that failed, or where two boots of a machine differ.
pub fn run(plan: &[(Machine, &'static str, u32)]) -> Result<Vec<(Machine, Rows)>, String> {
    let jobs: Vec<(usize, u32)> = plan
        .iter()
        .enumerate()
        .flat_map(|(index, (.., times))| (0..*times).map(move |time| (index, time)))
        .collect();
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(&(index, time)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (machine, extent, _) = &plan[index];
                    let rows = one(machine, extent);
                    if rows.is_err() {
                        // No further boot is begun.
                        next.store(jobs.len(), Ordering::Relaxed);
                    }
                    let mut done = done.lock().unwrap_or_else(|e| e.into_inner());
                    done.push((index, time, rows));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(|e| e.into_inner());
    done.sort_by_key(|&(index, time, _)| (index, time));
    together(
        done.into_iter()
            .map(|(index, _, rows)| (&plan[index].0, rows)),
    )
}

/// The rows of each machine once, whose boots follow each other.
fn together<'a>(
    boots: impl Iterator<Item = (&'a Machine, Result<Rows, String>)>,
) -> Result<Vec<(Machine, Rows)>, String> {
    let mut all: Vec<(Machine, Rows)> = Vec::new();
    for (machine, rows) in boots {
        let rows = rows?;
        match all.last() {
            Some((last, first)) if last == machine => same(machine, first, &rows)?,
            _ => all.push((machine.clone(), rows)),
        }
    }
    Ok(all)
}

fn one(machine: &Machine, extent: &str) -> Result<Rows, String> {
    let outcome = boot(machine, extent).run();
    rows_of(
        machine,
        outcome.map_err(|error| format!("{machine}: {error}"))?,
    )
}

fn rows_of(machine: &Machine, outcome: Outcome) -> Result<Rows, String> {
    if outcome.verdict != Verdict::Good {
        let notes = outcome.notes.join("\n");
        return Err(format!(
            "{machine}: {}\n{}\n{}\n{notes}",
            outcome.verdict, outcome.command, outcome.console
        ));
    }
    if machine.smp == 1
        && !outcome
            .console
            .contains("bench: the PMU counts instructions")
    {
        return Err(format!(
            "{machine}: this QEMU's PMU does not count instructions"
        ));
    }
    let text = outcome.measured.unwrap_or_default();
    let windows = outcome.windows.unwrap_or_default();
    rows::read(&text, &windows).map_err(|why| format!("{machine}: {why}"))
}

/// Two boots of the same machine have the same rows.
fn same(machine: &Machine, first: &Rows, second: &Rows) -> Result<(), String> {
    if first.rows.len() != second.rows.len() {
        return Err(format!("{machine}: a second boot has other rows"));
    }
    for ((key, one), (other, two)) in first.rows.iter().zip(&second.rows) {
        if key != other || one != two {
            return Err(format!(
                "{machine}: a second boot of the same image gives other figures: {key}: {one:?}, and {other}: {two:?}"
            ));
        }
    }
    Ok(())
}

/// The boots as `bench.json` has them.
#[must_use]
pub fn to_json(plan: &[(Machine, &'static str, u32)]) -> Value {
    let boots = plan.iter().map(|(machine, extent, times)| {
        let boot = boot(machine, extent);
        json!({
            "cpu": machine.cpu, "smp": machine.smp, "debug": machine.debug, "mem": boot.mem,
            "icount": boot.icount, "args": boot.args, "times": times,
        })
    });
    Value::Array(boots.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::rows::tests::{FILE_TEXT, PLUGIN, made_up};
    use crate::outcome::tests::good;
    use crate::witness;

    #[test]
    fn a_difference_between_two_boots_is_an_error() {
        let (machine, first) = (Machine::new("max", false), made_up());
        assert_eq!(same(&machine, &first, &made_up()), Ok(()));
        let mut second = made_up();
        second.rows.pop();
        assert!(same(&machine, &first, &second).is_err());
        let mut second = made_up();
        if let rows::Outcome::Counted(counted) = &mut second.rows[0].1 {
            counted.instructions = Some(101);
        }
        let error = same(&machine, &first, &second).unwrap_err();
        assert!(error.contains("map-run 16 v3 ours"), "{error}");
        let other = Machine::new("max", true);
        let boots = |last: Rows| {
            let boots = [(&machine, first.clone()), (&machine, last)];
            let boots = boots.into_iter().chain([(&other, made_up())]);
            together(boots.map(|(machine, rows)| (machine, Ok(rows))))
        };
        assert_eq!(boots(second), Err(error));
        assert_eq!(boots(made_up()).unwrap().len(), 2);
    }

    #[test]
    fn a_boot_that_was_not_good_has_no_rows() {
        let machine = Machine::new("max", false);
        let of = |verdict, console: &str| {
            let outcome = Outcome {
                verdict,
                console: console.to_owned(),
                windows: Some(witness::parse_plugin(PLUGIN).unwrap().windows),
                measured: Some(FILE_TEXT.to_owned()),
                notes: vec!["witness: DIFFERS".to_owned()],
                ..good()
            };
            rows_of(&machine, outcome)
        };
        let counts = "bench: the PMU counts instructions";
        assert_eq!(of(Verdict::Good, counts), Ok(made_up()));
        assert!(of(Verdict::Good, "").is_err());
        let why = of(Verdict::CheckFailed, counts).unwrap_err();
        assert!(why.ends_with("witness: DIFFERS"), "{why}");
    }

    #[test]
    fn every_machine_is_booted_twice() {
        for short in [false, true] {
            let plan = plan(short);
            assert!(
                plan.iter()
                    .all(|(machine, _, times)| *times == 2 || machine.smp > 1)
            );
            assert_eq!(plan.iter().any(|(machine, ..)| machine.smp == 8), !short);
            let json = to_json(&plan);
            assert_eq!(json[0]["icount"], "shift=0");
        }
    }
}
