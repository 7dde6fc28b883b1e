//! The boots behind the page.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde_json::Value;

use super::{Bench, Counted, Growth, Picture};
use crate::bench::data;
use crate::boot::Boot;
use crate::events;
use crate::places;
use crate::report;
use crate::timeline::{TimeLine, svg};
use crate::verdict::Verdict;

/// The variables that choose the machine, and so belong to a command.
const MACHINE: [&str; 6] = ["CPU", "SMP", "MEM", "GIC", "EL2", "ICOUNT"];

/// The sizes of the plots: each is a boot.
const PAGES: [u64; 5] = [64, 128, 256, 512, 1024];
const KS: [u64; 5] = [4, 8, 16, 32, 64];
/// The size of a time line, in which each store can be seen.
const SMALL: &str = "pages=12 k=4";

/// Boots the kernel again, with other words, on the machine of the first boot.
pub struct Runs<'a> {
    /// The first boot.
    pub boot: &'a Boot,
    /// Looks a variable up.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Where their files go, each in a directory of its own.
    pub dir: &'a Path,
}

impl Runs<'_> {
    /// How the boot with these words is typed.
    #[must_use]
    pub fn command(&self, args: &[String]) -> String {
        let mut command = "make run".to_owned();
        for name in MACHINE {
            if let Some(value) = (self.variable)(name).filter(|value| !value.is_empty()) {
                command += &format!(" {name}={}", quoted(&value));
            }
        }
        if !args.is_empty() {
            command += &format!(" ARGS={}", quoted(&args.join(" ")));
        }
        command
    }

    /// The words of the first boot that others take over: policies, and what the kernel is like.
    fn kept(&self) -> impl Iterator<Item = String> {
        let keys = ["policy=", "seed=", "debug=", "poison="];
        let words = self.boot.args.iter().cloned();
        words.filter(move |word| keys.iter().any(|key| word.starts_with(key)))
    }

    /// Boots with these words beside those taken over. Returns where its files are, too.
    ///
    /// # Errors
    /// What went wrong, in words, and the verdict.
    fn boot(&self, name: &str, words: &str) -> Result<(Counted, PathBuf), (String, Verdict)> {
        let mut args: Vec<String> = words.split(' ').map(str::to_owned).collect();
        args.extend(self.kept());
        let command = self.command(&args);
        let keep = self.dir.join(name);
        let mut boot = Boot {
            args,
            keep: Some(keep.clone()),
            echo: false,
            debug: None,
            ..self.boot.clone()
        };
        // The limit of the first boot was for its own words.
        boot.timeout = boot.timeout.map(|limit| limit.max(crate::limit::of(&boot)));
        let outcome = boot
            .run()
            .map_err(|why| (why.to_string(), Verdict::NoBoot))?;
        if outcome.verdict != Verdict::Good {
            let why = format!(
                "{command}: {}: {}",
                outcome.verdict,
                outcome.notes.join("; ")
            );
            return Err((why, outcome.verdict));
        }
        let dir = outcome.kept.unwrap_or(keep);
        let report = read(&dir.join(report::FILE)).map_err(|why| (why, Verdict::CheckFailed))?;
        let witnessed = outcome.windows.is_some();
        let counted = Counted {
            command,
            report,
            witnessed,
        };
        Ok((counted, dir))
    }

    /// The plots: `vmap` over pages, and over k.
    ///
    /// # Errors
    /// As of a boot.
    pub fn growth(&self) -> Result<Vec<Growth>, (String, Verdict)> {
        let of = |over: &'static str, sizes: [u64; 5], rest: &str| {
            let points = sizes.into_iter().map(|size| {
                let words = format!("run=vmap {over}={size} {rest}");
                let booted = self.boot(&format!("{over}-{size}"), &words);
                booted.map(|(counted, _)| counted)
            });
            points.collect::<Result<Vec<_>, _>>()
        };
        Ok(vec![
            Growth {
                over: "pages",
                title: "vmap, pairs over pages, k=16".to_owned(),
                about: "k stays, so there are more re-entries with more pages: every policy grows in proportion, and the \
                        distance between two policies is a factor.",
                points: of("pages", PAGES, "k=16")?,
            },
            Growth {
                over: "k",
                title: "vmap, pairs over k, pages=512".to_owned(),
                about: "The fewer re-entries, the less is paid where sections nest; eager and flat pay for every store all \
                        the same.",
                points: of("k", KS, "pages=512")?,
            },
        ])
    }

    /// The time lines of these runs, from one boot.
    ///
    /// # Errors
    /// As of a boot; or the trace cannot be drawn.
    pub fn pictures(&self, runs: &[&str]) -> Result<Vec<Picture>, (String, Verdict)> {
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        let words = format!("run={} {SMALL} check=on trace=on", runs.join(","));
        let (counted, dir) = self.boot("time-line", &words)?;
        let trace = dir.join(events::FILE);
        let pictures = runs.iter().map(|run| {
            let line = TimeLine::read(&trace, run)?;
            Ok(Picture {
                title: format!("{run}, {SMALL}"),
                command: format!(
                    "{}\ncargo run --profile host -p lazy-mmu-tools --bin timeline -- {run} target/{} {run}.svg",
                    counted.command,
                    events::FILE
                ),
                svg: svg::draw(&line),
            })
        });
        pictures
            .collect::<Result<Vec<_>, events::NoPicture>>()
            .map_err(|why| (why.to_string(), Verdict::CheckFailed))
    }
}

/// The runs of one task that a report has rows of, and that have stores to show.
#[must_use]
pub fn drawable(report: &Value) -> Vec<&str> {
    let mut runs: Vec<&str> = Vec::new();
    for row in report["rows"].as_array().into_iter().flatten() {
        if let Some(run) = row["run"].as_str()
            && ["vmap", "remap-kernel", "remap-task", "zap", "protect"].contains(&run)
            && !runs.contains(&run)
        {
            runs.push(run);
        }
    }
    runs
}

/// Reads a JSON file.
///
/// # Errors
/// It cannot be read or is no JSON, in words.
pub fn read(path: &Path) -> Result<Value, String> {
    let text =
        fs::read_to_string(path).map_err(|why| format!("cannot read {}: {why}", path.display()))?;
    serde_json::from_str(&text).map_err(|why| format!("{} is not JSON: {why}", path.display()))
}

/// What `make bench` has left in a directory, if it has run.
///
/// # Errors
/// A file of it, or of `tests/bench`, is wrong; in words.
pub fn bench(dir: &Path) -> Result<Option<Bench>, String> {
    let Some(file) = read_if_there(&dir.join("bench.json"))? else {
        return Ok(None);
    };
    let data = data::read(&places::repository().join("tests/bench"))?;
    Ok(Some(Bench {
        file,
        peers: data.peers,
    }))
}

/// Reads a JSON file, if there is one.
///
/// # Errors
/// As [`read`], but for a file that is not there.
pub fn read_if_there(path: &Path) -> Result<Option<Value>, String> {
    match fs::metadata(path) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        _ => read(path).map(Some),
    }
}

/// A word for the shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+,./:".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
