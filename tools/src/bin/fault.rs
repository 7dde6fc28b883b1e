//! `make fault`: the faults that can be injected and who sees each; with `FAULT=name`, the boots that show it. `fault --help` says how.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use lazy_mmu_tools::directive::Case;
use lazy_mmu_tools::faults::{self, Of, Shown};
use lazy_mmu_tools::options::{self, Request};
use lazy_mmu_tools::{Outcome, Verdict, front, interrupt, places, say};

const HELP: &str = "\
fault

Lists the faults that can be injected into the kernel, one at a time, and who must see each. FAULT=name boots those runs of
tests/faults.boots that show this one, each observer once, and prints its words. With ARGS as well, it boots these words instead, on
the machine that CPU, SMP, ... say, and passes the console on.";

fn main() -> ExitCode {
    if std::env::args_os().len() > 1 {
        say::error(HELP);
        return ExitCode::from(2);
    }
    let given = |name: &str| front::variable(name).filter(|value| !value.trim().is_empty());
    let verdict = match (faults::all(), given("FAULT")) {
        (Err(why), _) => failed(&why),
        (Ok(all), None) => {
            list(&all);
            Verdict::Good
        }
        (Ok(all), Some(name)) => match all.iter().find(|of| of.entry.name == name.trim()) {
            None => {
                list(&all);
                say::error(format_args!(
                    "fault: there is no fault `{name}`; there are those above"
                ));
                Verdict::BadArguments
            }
            Some(of) => {
                say::line(format_args!("{}: {}", of.entry.name, of.entry.what));
                places_of(of);
                match given("ARGS") {
                    Some(_) => own(of),
                    None => show(of),
                }
            }
        },
    };
    if verdict != Verdict::Good {
        say::line(verdict);
    }
    ExitCode::from(verdict.code())
}

fn failed(why: &str) -> Verdict {
    say::error(format_args!("fault: {why}"));
    Verdict::CheckFailed
}

fn list(all: &[Of]) {
    for of in all {
        let seen = faults::seen_by(of);
        say::line(format_args!(
            "{:<25} {}\n{:25} seen by {seen}",
            of.entry.name, of.entry.what, ""
        ));
    }
    say::line(format_args!(
        "\nmake fault FAULT={} shows one; docs/pictures/faults.svg shows all",
        all[0].entry.name
    ));
}

/// Prints where the fault is made.
fn places_of(of: &Of) {
    for (file, line) in faults::places_of(of.entry) {
        say::line(format_args!("made in {file}:{line}"));
    }
}

/// Boots the words of `ARGS` with the fault.
fn own(of: &Of) -> Verdict {
    let image = places::kernel(faults::IMAGE);
    let word = format!("fault={}", of.entry.name);
    match options::parse_with([image.into()], front::variable, &[&word]) {
        Ok(Request::Boot(boot)) => front::run("fault", *boot).0,
        Ok(Request::Help) => Verdict::Good,
        Err(bad) => {
            say::error(format_args!("fault: {bad}"));
            Verdict::BadArguments
        }
    }
}

/// Boots, for each observer, the first of the boots in which it must see the fault.
fn show(of: &Of) -> Verdict {
    if let Err(why) = interrupt::heed() {
        return failed(&why.to_string());
    }
    let mut shown = Vec::new();
    let mut verdict = Verdict::Good;
    for boot in &of.boots {
        let observers: Vec<_> = boot.seen.iter().map(|(by, _)| *by).collect();
        if observers.iter().all(|by| shown.contains(by)) {
            continue;
        }
        let number = shown.len() + 1;
        shown.extend(observers);
        if let Err(why) = run(of, boot, number) {
            verdict = failed(&why);
        }
    }
    verdict
}

fn run(of: &Of, shown: &Shown, number: usize) -> Result<(), String> {
    let Case { boot, verdict, .. } = &shown.case;
    say::line(format_args!("\n$ {}", faults::command(of.entry, boot)));
    let outcome = boot.run().map_err(|why| why.to_string())?;
    let said = everything(&outcome);
    let dir = places::target_dir().join("fault");
    let file = dir.join(format!("{}-{number}.txt", of.entry.name));
    keep(&dir, &file, &said)?;
    for (by, words) in &shown.seen {
        let line = said.lines().find(|line| line.contains(words.as_str()));
        let line = line.ok_or_else(|| {
            format!(
                "{} did not say `{words}`; see {}",
                by.name(),
                file.display()
            )
        })?;
        say::line(format_args!(
            "{}: {}\n    {}",
            by.name(),
            by.about(),
            line.trim()
        ));
    }
    if outcome.verdict != *verdict {
        return Err(format!(
            "it ended with {}, not with {verdict}; see {}",
            outcome.verdict,
            file.display()
        ));
    }
    say::line(format_args!(
        "{}, as it must be; all that was said: {}",
        outcome.verdict,
        file.display()
    ));
    Ok(())
}

/// The console, and the notes behind it.
fn everything(outcome: &Outcome) -> String {
    let mut said = outcome.console.clone();
    for note in &outcome.notes {
        said.push_str(note);
        said.push('\n');
    }
    said
}

fn keep(dir: &Path, file: &Path, said: &str) -> Result<(), String> {
    let written = fs::create_dir_all(dir).and_then(|()| fs::write(file, said));
    written.map_err(|why| format!("cannot write {}: {why}", file.display()))
}
