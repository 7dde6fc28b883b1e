//! `make bench`: boots the measuring image on every machine, prints the table, compares with the baseline, writes `bench.json`.
//!
//! Ends with 0 when the figures agree with each other and are not worse than the baseline; goals that are missed are said, and no
//! failure. 1 when they do not, 2 for bad arguments.

use std::env;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use lazy_mmu_tools::bench::baseline::{self, Baseline};
use lazy_mmu_tools::bench::options::{self, Options};
use lazy_mmu_tools::bench::rows::{self, Machine, Rows};
use lazy_mmu_tools::bench::table::Table;
use lazy_mmu_tools::bench::{boots, data, even, growth};
use lazy_mmu_tools::{Qemu, interrupt, places, say};
use serde_json::{Value, json};

fn main() -> ExitCode {
    let variable = |name: &str| env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    let options = match options::parse(variable) {
        Ok(options) => options,
        Err(why) => {
            say::error(format_args!("bench: {why}"));
            return ExitCode::from(2);
        }
    };
    match interrupt::heed()
        .map_err(|why| why.to_string())
        .and_then(|()| run(options))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say::error(format_args!("bench: FAILED\n{why}"));
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<(), String> {
    let began = Instant::now();
    let qemu = Qemu::find().map_err(|why| why.to_string())?;
    let data = data::read(&places::repository().join("tests/bench"))?;
    let plan = boots::plan(options.short);
    let count: u32 = plan.iter().map(|(.., times)| times).sum();
    say::line(format_args!("bench: {count} boots, two at a time"));
    let all = boots::run(&plan)?;
    let table = Table::of(&all, &data);
    let growth = growth::of(&all, &data.growth);
    let even = even::lines(&all);
    say::line(format_args!("\n{}", table.text()));
    growth.lines.iter().chain(&even).for_each(say::line);
    let rustc = all.first().map_or("", |(_, rows)| rows.rustc.as_str());
    let version = format!("{}.{}", qemu.version.0, qemu.version.1);
    let file = json!({
        "schema": 1, "commit": places::commit(), "rustc": rustc, "qemu": version, "short": options.short,
        "boots": boots::to_json(&plan), "rows": all_rows(&all), "table": table.json(), "growth": growth.lines,
        "break_even": even,
    });
    write(
        &places::target_dir().join("bench.json"),
        &format!("{file:#}\n"),
    )?;
    say::line(format_args!(
        "goals: {} reached, {} missed; {count} boots in {} s; kernel, PMU and plugin agree, and every second boot with the first",
        table.reached,
        table.missed,
        began.elapsed().as_secs()
    ));
    let path = baseline::path(rustc, qemu.version);
    let path = path.ok_or_else(|| format!("`{rustc}` is no version of rustc"))?;
    let now = Baseline::of(&all);
    if options.write_baseline {
        write(&path, &now.text())
    } else {
        let held = baseline::hold(&path, &now, options.short, growth.unexplained)?;
        say::line(held);
        Ok(())
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|why| format!("{}: {why}", path.display()))?;
    say::line(format_args!("written: {}", path.display()));
    Ok(())
}

fn all_rows(all: &[(Machine, Rows)]) -> Value {
    let rows = all.iter().flat_map(|(machine, rows)| {
        let rows = rows.rows.iter();
        rows.map(move |(key, outcome)| rows::to_json(machine, key, outcome))
    });
    Value::Array(rows.collect())
}
