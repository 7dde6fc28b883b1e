//! The kernel's command line: its keys and their defaults, its parser, and the errors, which say what is allowed.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use lazy_mmu::Policy;
use mmu_check::trace::Extent;

use crate::base::MAX_TASKS;
use crate::machine::exit;
use crate::report::{Detail, Run};

/// The values of all keys. The defaults show the nesting: every workload of one task under every policy, with the debug page
/// allocator on.
#[derive(Clone, Debug)]
pub struct Arguments {
    /// `run=`: what to run, in this order.
    pub runs: Vec<Run>,
    /// `policy=`: the policies to run under, in this order.
    pub policies: Vec<Policy>,
    /// `pages=`: how many pages a workload works on.
    pub pages: usize,
    /// `k=`: the frame allocator is called after this many entries.
    pub k: usize,
    /// `tasks=`: how many tasks `mixed` and `preempt` have.
    pub tasks: usize,
    /// `seconds=`: how long `mixed` and `preempt` run at least, under each policy.
    pub seconds: u64,
    /// `seed=`: the seed of the pseudo-random order of frames.
    pub seed: u64,
    /// `holes=`, `batch=`, `areas=`, `step=`, `frames=`: what only the runs of [`Run::LINUX`] take.
    pub detail: Detail,
    /// `debug=`: freed frames are unmapped from the linear map.
    pub debug: bool,
    /// `poison=`: freed frames are filled with a pattern, which is checked when they are
    /// allocated.
    pub poison: bool,
    /// `settle=`: an invalidation pays for the pair of the same stores, too. Linux pays both, as `settle=off` does.
    pub settle: bool,
    /// `check=`: the rules of page-table maintenance are checked at every event.
    pub check: bool,
    /// `trace=`: the last events of each core are kept, and printed when something fails. With `check=on` the events
    /// that the rules are given are written to `events.trace` besides.
    pub trace: Option<Extent>,
    /// The keys that only this image has, and their values: see [`entry!`](crate::entry).
    own: Vec<(String, String)>,
}

/// The default of `pages=`: one table's worth.
pub const DEFAULT_PAGES: usize = 512;
/// The default of `k=`.
pub const DEFAULT_K: usize = 16;
/// The default of `tasks=`.
pub const DEFAULT_TASKS: usize = 16;
/// The most of `tasks=`: of all tasks that there can be, one boots, and one is left free.
pub const TASKS_MAX: usize = MAX_TASKS - 2;
/// The most of `areas=`.
pub const AREAS_MAX: usize = 1024;
/// The most of `seconds=`: a day.
pub const SECONDS_MAX: usize = 86_400;

impl Default for Arguments {
    fn default() -> Self {
        Self {
            runs: Run::ALL.to_vec(),
            policies: Policy::ALL.to_vec(),
            pages: DEFAULT_PAGES,
            k: DEFAULT_K,
            tasks: DEFAULT_TASKS,
            seconds: 0,
            seed: 1,
            detail: Detail::default(),
            debug: true,
            poison: false,
            settle: true,
            check: false,
            trace: None,
            own: Vec::new(),
        }
    }
}

/// The first word of a command line that is wrong, why, and what is allowed instead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ArgumentError {
    word: String,
    wrong: &'static str,
    allowed: String,
}

impl fmt::Display for ArgumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}`: {}; allowed: {}",
            self.word, self.wrong, self.allowed
        )
    }
}

const KEYS: &str = "run= policy= pages= k= tasks= seconds= seed= holes= batch= areas= step= frames= debug= poison= settle= check= trace=";

impl Arguments {
    /// Whether a command line has `check=on`. The size of the heap depends on it, so it is known before the line is parsed, which needs
    /// the heap.
    pub fn has_check(line: &str) -> bool {
        line.split_ascii_whitespace().any(|word| word == "check=on")
    }

    /// The value of a key that only this image has, if it was given.
    pub fn own(&self, key: &str) -> Option<&str> {
        let found = self.own.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.as_str())
    }

    /// Parses a command line. `pages_max` is the most of `pages=` that this machine's memory allows; `own_keys` are the keys that only
    /// this image has.
    ///
    /// # Errors
    /// [`ArgumentError`].
    pub fn parse(line: &str, pages_max: usize, own_keys: &[&str]) -> Result<Self, ArgumentError> {
        let mut arguments = Self {
            pages: DEFAULT_PAGES.min(pages_max),
            ..Self::default()
        };
        let mut keys: Vec<&str> = Vec::new();
        for word in line.split_ascii_whitespace() {
            let error = |Wrong(wrong, allowed)| ArgumentError {
                word: word.to_string(),
                wrong,
                allowed,
            };
            let (key, value) = word
                .split_once('=')
                .ok_or_else(|| error(Wrong("not of the form key=value", KEYS.to_string())))?;
            if keys.contains(&key) {
                return Err(error(Wrong("given twice", "each key once".to_string())));
            }
            keys.push(key);
            if own_keys.contains(&key) {
                arguments.own.push((key.to_string(), value.to_string()));
            } else {
                arguments.set(key, value, pages_max).map_err(error)?;
            }
        }
        arguments.check_runs()?;
        // The bound of both is `pages`, which may come later on the line.
        let Self {
            pages, k, detail, ..
        } = &mut arguments;
        let pages = *pages;
        for (key, value, default) in [
            ("k", k, DEFAULT_K),
            ("areas", &mut detail.areas, Detail::default().areas),
        ] {
            if !keys.contains(&key) {
                *value = default.min(pages);
            } else if *value > pages {
                return Err(ArgumentError {
                    word: alloc::format!("{key}={value}"),
                    wrong: "more than pages=",
                    allowed: range(1, pages),
                });
            }
        }
        Ok(arguments)
    }

    /// The contracts among the policies: a hazard is run under those.
    pub fn contracts(&self) -> impl Iterator<Item = Policy> {
        let policies = self.policies.iter().copied();
        policies.filter(|policy| policy.is_contract())
    }

    /// That hazards, and the linear aliases, can be run as the line has it.
    fn check_runs(&self) -> Result<(), ArgumentError> {
        let error = |run: &Run, wrong, allowed: &str| ArgumentError {
            word: alloc::format!("run={run}"),
            wrong,
            allowed: allowed.to_string(),
        };
        if !self.debug && self.runs.contains(&Run::ProtectAlias) {
            let wrong = "a page of the linear map can be protected only where that is in pages";
            return Err(error(&Run::ProtectAlias, wrong, "debug=on"));
        }
        let Some(first) = self.runs.iter().find(|run| run.is_hazard()) else {
            return Ok(());
        };
        let error = |wrong, allowed| error(first, wrong, allowed);
        if self.contracts().next().is_none() {
            return Err(error(
                "a hazard is about a contract",
                "policy=v3 policy=linux7",
            ));
        }
        if !self.debug {
            return Err(error("a hazard needs the debug page allocator", "debug=on"));
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: &str, pages_max: usize) -> Result<(), Wrong> {
        match key {
            "run" => {
                self.runs = list(value, &RUNS).ok_or_else(|| Wrong("no such run", names(&RUNS)))?;
            }
            "policy" => {
                self.policies = list(value, &POLICIES)
                    .ok_or_else(|| Wrong("no such policy", names(&POLICIES)))?;
            }
            // `pages_max` is a quarter of RAM's frames: a workload takes up to two for each page, and tables.
            "pages" => self.pages = number(value, 1, pages_max)?,
            "k" => self.k = number(value, 1, self.pages.max(pages_max))?,
            "tasks" => self.tasks = number(value, 1, TASKS_MAX)?,
            "seconds" => self.seconds = number(value, 0, SECONDS_MAX)? as u64,
            "seed" => {
                self.seed = u64::from_str(value)
                    .map_err(|_| Wrong("not a number", "0 to 2^64 - 1".to_string()))?;
            }
            // A range with a hole after every page is twice as long.
            "holes" => self.detail.holes = number(value, 0, pages_max)?,
            "batch" => self.detail.batch = number(value, 1, Detail::BATCH_MAX)?,
            "areas" => self.detail.areas = number(value, 1, AREAS_MAX)?,
            "step" => self.detail.step = number(value, 0, pages_max)?,
            "frames" => {
                self.detail.contiguous = match value {
                    "scattered" => false,
                    "contiguous" => true,
                    _ => return Err(Wrong("not an order", "scattered contiguous".to_string())),
                }
            }
            "debug" => self.debug = switch(value)?,
            "poison" => self.poison = switch(value)?,
            "settle" => self.settle = switch(value)?,
            "check" => self.check = switch(value)?,
            "trace" => {
                self.trace = match value {
                    "off" => None,
                    "on" => Some(Extent::Run),
                    "all" => Some(Extent::All),
                    _ => return Err(Wrong("not one of them", "on off all".to_string())),
                }
            }
            // The boot runner adds this key, and `exit` has read it before there was a heap. It is not among the listed keys,
            // because nobody types it.
            exit::MARK_KEY => {
                exit::parse_mark(value).ok_or_else(|| {
                    let allowed = "16 hexadecimal digits, from the boot runner";
                    Wrong("not a mark", allowed.to_string())
                })?;
            }
            _ => return Err(Wrong("no such key", KEYS.to_string())),
        }
        Ok(())
    }
}

/// What is wrong with a value, and what is allowed.
struct Wrong(&'static str, String);

fn range(least: usize, most: usize) -> String {
    alloc::format!("{least} to {most}")
}

fn number(value: &str, least: usize, most: usize) -> Result<usize, Wrong> {
    match usize::from_str(value) {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(Wrong("not a number in range", range(least, most))),
    }
}

fn switch(value: &str) -> Result<bool, Wrong> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(Wrong("not a switch", "on off".to_string())),
    }
}

/// Items, by groups, and the name that stands for all of a group, if one does.
type Groups<'a, T> = [(Option<&'static str>, &'a [T])];

const RUNS: [(Option<&str>, &[Run]); 4] = [
    (Some("all"), &Run::ALL),
    (None, &Run::STRESS),
    (Some("linux"), &Run::LINUX),
    (Some("hazards"), &Run::HAZARDS),
];
const POLICIES: [(Option<&str>, &[Policy]); 1] = [(Some("all"), &Policy::ALL)];

/// The items that `a,b,c` names, each by its own name or by its group's. A name given twice counts once.
fn list<T: Copy + PartialEq + fmt::Display>(value: &str, groups: &Groups<'_, T>) -> Option<Vec<T>> {
    let mut chosen: Vec<T> = Vec::new();
    for name in value.split(',') {
        let group = groups.iter().find(|(group, _)| *group == Some(name));
        let found: &[T] = match group {
            Some((_, items)) => items,
            None => {
                let mut known = groups.iter().flat_map(|(_, items)| *items);
                core::slice::from_ref(known.find(|item| item.to_string() == name)?)
            }
        };
        for &item in found {
            if !chosen.contains(&item) {
                chosen.push(item);
            }
        }
    }
    Some(chosen)
}

/// The names that [`list`] knows.
fn names<T: fmt::Display>(groups: &Groups<'_, T>) -> String {
    let names = groups.iter().flat_map(|(group, items)| {
        let group = group.iter().map(ToString::to_string);
        group.chain(items.iter().map(ToString::to_string))
    });
    names.collect::<Vec<_>>().join(" ")
}
