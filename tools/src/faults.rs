//! The faults that can be injected, and who sees each: from the list of faults, and from the boots that must show it.
//!
//! `tests/faults.boots` has for each fault boots that must fail, with the words that must be said there. The words are those of whoever
//! has noticed.

use std::collections::BTreeSet;
use std::fs;

use lazy_mmu_faults::{Entry, NAMES};

use crate::boot::{Boot, Witnessing};
use crate::directive::{self, Case};
use crate::places;
use crate::verdict::Verdict;

/// The image with the faults.
pub const IMAGE: &str = "lazy-mmu-fault-image";
/// Its boots, from the repository's root on.
pub const BOOTS: &str = "tests/faults.boots";

/// Who sees a fault.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Observer {
    /// The rules of `mmu-check`, at an event.
    Rules,
    /// QEMU: a stale translation is used.
    Qemu,
    /// The plugin, which counts what was executed.
    Witness,
    /// The replay of the calls, which says how many pairs are owed.
    Replay,
    /// The sums over tasks and cores, and that a pair has one DSB and one ISB.
    Sums,
    /// The workload, which checks its own pages, tables and frames.
    Workload,
}

impl Observer {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Rules,
        Self::Qemu,
        Self::Witness,
        Self::Replay,
        Self::Sums,
        Self::Workload,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rules => "rules",
            Self::Qemu => "QEMU",
            Self::Witness => "witness",
            Self::Replay => "replay",
            Self::Sums => "sums",
            Self::Workload => "workload",
        }
    }

    /// What it is, for who looks at its words.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Rules => {
                "the rules of mmu-check (check=on), which believe the events and know what the architecture demands"
            }
            Self::Qemu => {
                "QEMU's own TLB: the workload probes what must be gone, and it is still there"
            }
            Self::Witness => {
                "the plugin, which counts executed instructions and is compared with the kernel's counts"
            }
            Self::Replay => {
                "the replay, which says how many pairs the policy owes for the calls that were made"
            }
            Self::Sums => {
                "the sums: what tasks and cores have executed against what they owe, and a pair has one DSB and one ISB"
            }
            Self::Workload => "the workload, which checks its own pages, tables and frames",
        }
    }

    /// Whose words these are. `None` for details beside such words.
    #[must_use]
    pub fn of(words: &str) -> Option<Self> {
        const WORDS: [(&str, Observer); 24] = [
            ("VIOLATION R", Observer::Rules),
            ("the rules say R", Observer::Rules),
            ("is the old translation still in the TLB", Observer::Qemu),
            ("witness: DIFFERS", Observer::Witness),
            ("pairs were counted", Observer::Replay),
            ("undisturbed it pays", Observer::Replay),
            ("made other calls", Observer::Replay),
            ("by the closed form for", Observer::Replay),
            ("DSBs of pairs", Observer::Sums),
            ("task 1 has", Observer::Sums),
            ("the task that visits has", Observer::Sums),
            ("and owe", Observer::Sums),
            ("not one preemption", Observer::Sums),
            ("the tables say", Observer::Workload),
            ("already mapped", Observer::Workload),
            ("frames were taken and not given back", Observer::Workload),
            ("was overwritten", Observer::Workload),
            ("no frame", Observer::Workload),
            ("is used while its pair is pending", Observer::Workload),
            ("is allocated twice", Observer::Workload),
            ("have failed, one by one", Observer::Workload),
            ("lazy_mmu_mode_enable ran", Observer::Workload),
            ("came back to count=", Observer::Workload),
            ("FAILED H5 under v3", Observer::Workload),
        ];
        let found = WORDS.iter().find(|(part, _)| words.contains(part));
        found.map(|(_, observer)| *observer)
    }
}

/// The rules that words of theirs name, by number.
#[must_use]
pub fn rules(words: &str) -> Vec<u32> {
    let named = words.split(|c: char| !c.is_ascii_alphanumeric());
    let numbers = named.filter_map(|word| word.strip_prefix('R')?.parse().ok());
    numbers.collect()
}

/// A boot that must show a fault.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The boot and the words that must be said.
    pub case: Case,
    /// Who says them, and the words.
    pub seen: Vec<(Observer, String)>,
}

/// A fault, and the boots that show it.
#[derive(Clone, Debug)]
pub struct Of {
    /// The fault, in words.
    pub entry: &'static Entry,
    /// Its boots: none that end well.
    pub boots: Vec<Shown>,
}

/// All faults with their boots.
///
/// # Errors
/// The boots cannot be read, or one of them does not say who sees its fault; in words.
pub fn all() -> Result<Vec<Of>, String> {
    let text = fs::read_to_string(places::repository().join(BOOTS))
        .map_err(|why| format!("{BOOTS}: {why}"))?;
    read(&text, &places::kernel(IMAGE))
}

fn read(text: &str, image: &std::path::Path) -> Result<Vec<Of>, String> {
    let mut all: Vec<Of> = NAMES
        .iter()
        .map(|entry| Of {
            entry,
            boots: Vec::new(),
        })
        .collect();
    for line in text.lines().filter_map(|line| line.strip_prefix("@boot")) {
        let cases = directive::parse(line, &Boot::new(image))
            .map_err(|why| format!("{BOOTS}: {why}:{line}"))?;
        for case in cases {
            let name = case
                .boot
                .args
                .iter()
                .find_map(|word| word.strip_prefix("fault="));
            let of = all.iter_mut().find(|of| Some(of.entry.name) == name);
            let Some(of) = of else {
                continue;
            };
            let seen = case
                .expect
                .iter()
                .filter_map(|words| Some((Observer::of(words)?, words.clone())));
            let seen: Vec<_> = seen.collect();
            // In a boot that is good the fault is not made, or the kernel copes with it and says so.
            if seen.is_empty() && case.verdict == Verdict::Good {
                continue;
            }
            if seen.is_empty() {
                return Err(format!("{BOOTS}: who says any of {:?}?", case.expect));
            }
            of.boots.push(Shown { case, seen });
        }
    }
    Ok(all)
}

/// Whether an observer must see a fault: of the rules which, else an empty text; and whether all such boots are on several cores.
#[must_use]
pub fn cell(of: &Of, observer: Observer) -> Option<(String, bool)> {
    let (mut seen, mut several) = (BTreeSet::new(), true);
    let mut is_there = false;
    for shown in &of.boots {
        let its = shown.seen.iter().filter(|(by, _)| *by == observer);
        for (_, words) in its {
            is_there = true;
            several &= shown.case.boot.smp > 1;
            if observer == Observer::Rules {
                seen.extend(rules(words));
            }
        }
    }
    let rules: Vec<String> = seen.iter().map(|rule| format!("R{rule}")).collect();
    is_there.then(|| (rules.join(" "), several))
}

/// The observers of a fault, in words.
#[must_use]
pub fn seen_by(of: &Of) -> String {
    let seen = Observer::ALL.into_iter().filter_map(|observer| {
        let (rule, several) = cell(of, observer)?;
        let rule = if rule.is_empty() {
            rule
        } else {
            format!(" ({rule})")
        };
        let cores = if several { " on two cores" } else { "" };
        Some(format!("{}{rule}{cores}", observer.name()))
    });
    seen.collect::<Vec<_>>().join(", ")
}

/// Where a fault is made: files from the repository's root on, and lines.
#[must_use]
pub fn places_of(entry: &Entry) -> Vec<(String, usize)> {
    let name = format!("Fault::{:?}", entry.fault);
    let mut found = Vec::new();
    for dir in ["tests/faults/src", "tests/faults/image/src"] {
        let files = fs::read_dir(places::repository().join(dir))
            .into_iter()
            .flatten();
        for path in files.flatten().map(|file| file.path()) {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            // Not a longer name that begins with it.
            let is_there = |line: &str| {
                let rest = line.split_once(&name).map(|(_, rest)| rest);
                rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
            };
            let lines = (1..).zip(text.lines()).filter(|(_, line)| is_there(line));
            found.extend(lines.map(|(line, _)| (format!("{dir}/{file}"), line)));
        }
    }
    found.sort();
    found
}

/// How a boot with the fault is typed.
#[must_use]
pub fn command(entry: &Entry, boot: &Boot) -> String {
    let usual = Boot::new("");
    let mut command = format!("make fault FAULT={}", entry.name);
    if boot.cpu != usual.cpu {
        command += &format!(" CPU={}", boot.cpu);
    }
    if boot.smp != usual.smp {
        command += &format!(" SMP={}", boot.smp);
    }
    if let Some(gic) = boot.gic {
        command += &format!(" GIC={gic}");
    }
    if boot.witness == Witnessing::Off {
        command += " WITNESS=off";
    }
    let own = format!("fault={}", entry.name);
    let words: Vec<&str> = boot
        .args
        .iter()
        .map(String::as_str)
        .filter(|word| *word != own)
        .collect();
    command + &format!(" ARGS=\"{}\"", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_who_sees_it() {
        let all = all().unwrap();
        assert_eq!(all.len(), NAMES.len());
        for of in &all {
            assert!(!of.boots.is_empty(), "{}", of.entry.name);
            let seen: Vec<_> = of.boots.iter().flat_map(|shown| &shown.seen).collect();
            // The list names the rules, QEMU, the witness and the replay by these names.
            for who in of.entry.seen.split(", ") {
                let is = |observer: Observer| seen.iter().any(|(by, _)| *by == observer);
                let as_listed = match who.split(' ').next().unwrap() {
                    "QEMU" => is(Observer::Qemu),
                    "witness" => is(Observer::Witness),
                    "replay" => is(Observer::Replay),
                    "with" => true,
                    "workload" | "the" => {
                        is(Observer::Workload) || is(Observer::Sums) || is(Observer::Replay)
                    }
                    rule => seen
                        .iter()
                        .any(|(by, words)| *by == Observer::Rules && rules(words) == rules(rule)),
                };
                assert!(as_listed, "{}: {who}, of {seen:?}", of.entry.name);
            }
        }
    }

    #[test]
    fn every_fault_is_made_somewhere() {
        for entry in NAMES {
            let found = places_of(entry);
            assert!(!found.is_empty(), "{}", entry.name);
            for (file, line) in found {
                let text = fs::read_to_string(places::repository().join(&file)).unwrap();
                let line = text.lines().nth(line - 1).unwrap();
                assert!(
                    line.contains(&format!("{:?}", entry.fault)),
                    "{file}: {line}"
                );
            }
        }
    }

    #[test]
    fn a_command_is_as_one_types_it() {
        let boot = Boot {
            cpu: "cortex-a72".to_owned(),
            smp: 2,
            args: ["run=zap", "fault=tlbi-none", "k=1"]
                .map(str::to_owned)
                .into(),
            ..Boot::new("k")
        };
        let entry = NAMES
            .iter()
            .find(|entry| entry.name == "tlbi-none")
            .unwrap();
        let typed = "make fault FAULT=tlbi-none CPU=cortex-a72 SMP=2 ARGS=\"run=zap k=1\"";
        assert_eq!(command(entry, &boot), typed);
    }

    #[test]
    fn a_boot_that_does_not_say_who_sees_its_fault_is_refused() {
        let read = |line: &str| read(line, std::path::Path::new("k"));
        let why = read("@boot verdict=1 args=fault=tlbi-none expect=\"something\"").unwrap_err();
        assert!(why.contains("who says any of [\"something\"]"), "{why}");
        assert!(read("@boot verdict=1 args=fault=tlbi-none expect=\"VIOLATION R3\"").is_ok());
        assert!(read("@boot args=fault=tlbi-none").is_ok());
        assert!(read("@boot oops").is_err());
    }
}
