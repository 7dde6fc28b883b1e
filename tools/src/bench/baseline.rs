//! The committed counts: what is worse than they are fails.
//!
//! One file for each version of rustc and QEMU, since another compiler makes other code:
//! `tests/bench/baseline-rustc-1.95-qemu-7.2.json`. It has `{"schema": 1, "rows": {"<machine> <row>": [instructions, dsb, isb, dmb,
//! tlbi, dropped]}}` of this project's rows, a line each. With another version there is no file, and nothing is compared.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::rows::{Counted, Dropped, Key, Machine, OURS, Outcome, Rows};
use crate::places;

/// The counts of a row: instructions, DSB, ISB, DMB, TLBI, and what was dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Counts {
    instructions: Option<u64>,
    /// DSB, ISB, DMB, TLBI.
    barriers: [u64; 4],
    /// `None` is everything.
    dropped: Option<u64>,
}

impl Counts {
    fn of(counted: &Counted) -> Self {
        Self {
            instructions: counted.instructions,
            barriers: counted.totals(),
            dropped: match counted.dropped {
                Dropped::Pages(pages) => Some(pages),
                Dropped::All => None,
            },
        }
    }

    fn json(&self) -> Value {
        let [dsb, isb, dmb, tlbi] = self.barriers;
        json!([self.instructions, dsb, isb, dmb, tlbi, self.dropped])
    }

    fn read(value: &Value) -> Option<Self> {
        let [instructions, dsb, isb, dmb, tlbi, dropped] = value.as_array()?.as_slice() else {
            return None;
        };
        let number = |value: &Value| match value {
            Value::Null => Some(None),
            value => value.as_u64().map(Some),
        };
        let barriers = [dsb.as_u64()?, isb.as_u64()?, dmb.as_u64()?, tlbi.as_u64()?];
        Some(Self {
            instructions: number(instructions)?,
            barriers,
            dropped: number(dropped)?,
        })
    }

    /// What is worse than in `before`: more than 2 % more instructions, one more barrier or TLBI, more translations dropped.
    fn worse(&self, before: &Self) -> Vec<String> {
        let mut worse = Vec::new();
        match (before.instructions, self.instructions) {
            (Some(old), Some(new)) if u128::from(new) * 100 > u128::from(old) * 102 => {
                worse.push(format!("{old} -> {new} instructions"));
            }
            (Some(_), None) => worse.push("the instructions are not counted any more".to_owned()),
            _ => {}
        }
        let pairs = before.barriers.iter().zip(self.barriers);
        for (name, (old, new)) in ["DSB", "ISB", "DMB", "TLBI"].iter().zip(pairs) {
            if new > *old {
                worse.push(format!("{old} -> {new} {name}"));
            }
        }
        match (before.dropped, self.dropped) {
            (Some(old), None) => worse.push(format!("{old} -> all translations dropped")),
            (Some(old), Some(new)) if new > old => {
                worse.push(format!("{old} -> {new} translations dropped"));
            }
            _ => {}
        }
        worse
    }
}

/// The counts of this project's rows, by machine and row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Baseline(BTreeMap<String, Counts>);

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Why it fails, a line each.
    pub worse: Vec<String>,
    /// How many rows are better by more than 2 % or by a barrier.
    pub better: usize,
    /// How many rows were compared.
    pub rows: usize,
}

fn name(machine: &Machine, key: &Key) -> String {
    format!("{machine} {} {} {}", key.name, key.n, key.policy)
}

impl Baseline {
    /// What was measured now.
    #[must_use]
    pub fn of(all: &[(Machine, Rows)]) -> Self {
        let rows = all.iter().flat_map(|(machine, rows)| {
            rows.rows
                .iter()
                .filter_map(move |(key, outcome)| match outcome {
                    Outcome::Counted(counted) if key.who == OURS => {
                        Some((name(machine, key), Counts::of(counted)))
                    }
                    _ => None,
                })
        });
        Self(rows.collect())
    }

    /// Reads the committed file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Self, String> {
        let file: Value = serde_json::from_str(text).map_err(|why| why.to_string())?;
        if file["schema"] != 1 {
            return Err(format!("`schema` is {}, not 1", file["schema"]));
        }
        let rows = file["rows"].as_object().ok_or("there are no `rows`")?;
        let counts = rows.iter().map(|(name, value)| {
            let counts = Counts::read(value);
            let counts = counts.ok_or_else(|| format!("`{name}` is {value}"))?;
            Ok((name.clone(), counts))
        });
        counts.collect::<Result<_, String>>().map(Self)
    }

    /// As it is committed: a line for each row, so that a change shows which.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = "{\"schema\":1,\"rows\":{".to_owned();
        for (index, (name, counts)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            // Writing to a String does not fail.
            let _ = write!(
                text,
                "{comma}\n{}:{}",
                Value::from(name.as_str()),
                counts.json()
            );
        }
        text + "\n}}\n"
    }

    /// Compares what was measured `now` with this. All rows of a full run must be in both; a short one has fewer.
    #[must_use]
    pub fn compare(&self, now: &Self, short: bool) -> Compared {
        let mut found = Compared::default();
        for (name, counts) in &now.0 {
            let Some(before) = self.0.get(name) else {
                found.worse.push(format!(
                    "{name}: it is not in the baseline; BASELINE=write writes it"
                ));
                continue;
            };
            found.rows += 1;
            let worse = counts.worse(before);
            if !worse.is_empty() {
                found.worse.push(format!("{name}: {}", worse.join(", ")));
            } else if !before.worse(counts).is_empty() {
                found.better += 1;
            }
        }
        if !short {
            let gone = self.0.keys().filter(|name| !now.0.contains_key(*name));
            found
                .worse
                .extend(gone.map(|name| format!("{name}: it is not measured any more")));
        }
        found
    }
}

/// Compares with the baseline at `path`, if there is one, and says how; `grown` are rows that grow for no known reason, which are
/// worse too.
///
/// # Errors
/// What is worse, or a baseline that cannot be read.
pub fn hold(
    path: &Path,
    now: &Baseline,
    short: bool,
    grown: Vec<String>,
) -> Result<String, String> {
    let name = path.file_name().unwrap_or_default().display();
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(why) if why.kind() == io::ErrorKind::NotFound => {
            return Ok(format!(
                "no baseline for these versions ({name}): nothing is compared; BASELINE=write makes one"
            ));
        }
        Err(why) => return Err(format!("{name}: {why}")),
    };
    let before = Baseline::read(&text).map_err(|why| format!("{name}: {why}"))?;
    let mut found = before.compare(now, short);
    found.worse.extend(grown);
    if !found.worse.is_empty() {
        return Err(format!(
            "worse than {name} (a commit that means it to be says why, and has BASELINE=write):\n{}",
            found.worse.join("\n")
        ));
    }
    Ok(format!(
        "baseline: {} rows, none worse than {name}, {} better",
        found.rows, found.better
    ))
}

/// Where the baseline of these versions is: `rustc` as `rustc --version` says it. `None` where that names no version.
#[must_use]
pub fn path(rustc: &str, qemu: (u32, u32)) -> Option<PathBuf> {
    let version = rustc.strip_prefix("rustc ")?;
    let mut parts = version.split('.');
    let (major, minor) = (parts.next()?, parts.next()?);
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    (number(major) && number(minor)).then(|| {
        let file = format!(
            "baseline-rustc-{major}.{minor}-qemu-{}.{}.json",
            qemu.0, qemu.1
        );
        places::repository().join("tests/bench").join(file)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::rows::tests::made_up;
    use crate::places::WorkDir;

    fn measured(change: impl FnOnce(&mut Counted)) -> Baseline {
        let mut rows = made_up();
        if let Outcome::Counted(counted) = &mut rows.rows[0].1 {
            change(counted);
        }
        Baseline::of(&[(Machine::new("max", false), rows)])
    }

    #[test]
    fn what_is_written_is_read() {
        let baseline = measured(|_| {});
        assert_eq!(
            baseline.text(),
            "{\"schema\":1,\"rows\":{\n\"max/off map-run 16 v3\":[100,1,1,0,0,0]\n}}\n"
        );
        assert_eq!(Baseline::read(&baseline.text()), Ok(baseline));
        let all = measured(|counted| counted.dropped = Dropped::All);
        assert_eq!(Baseline::read(&all.text()), Ok(all));
    }

    #[test]
    fn what_is_worse_or_grows_fails() {
        let dir = WorkDir::new().unwrap();
        let path = dir.path().join("baseline.json");
        let now = measured(|_| {});
        let said = hold(&path, &now, false, Vec::new()).unwrap();
        assert!(said.starts_with("no baseline"), "{said}");
        fs::write(&path, measured(|_| {}).text()).unwrap();
        let said = hold(&path, &now, false, Vec::new()).unwrap();
        assert_eq!(
            said,
            "baseline: 1 rows, none worse than baseline.json, 0 better"
        );
        let worse = measured(|counted| counted.instructions = Some(200));
        let why = hold(&path, &worse, false, Vec::new()).unwrap_err();
        assert!(why.contains("100 -> 200 instructions"), "{why}");
        let why = hold(&path, &now, false, vec!["map: it grows".to_owned()]).unwrap_err();
        assert!(why.ends_with("\nmap: it grows"), "{why}");
        for bad in ["", "{}"] {
            fs::write(&path, bad).unwrap();
            assert!(hold(&path, &now, false, Vec::new()).is_err(), "{bad}");
        }
        assert!(hold(dir.path(), &now, false, Vec::new()).is_err());
    }

    #[test]
    fn two_per_cent_and_no_more() {
        let before = measured(|_| {});
        let now = |count| measured(|counted| counted.instructions = Some(count));
        for count in [100, 102] {
            let found = before.compare(&now(count), false);
            assert_eq!((found.worse, found.better, found.rows), (vec![], 0, 1));
        }
        assert_eq!(
            before.compare(&now(103), true).worse,
            ["max/off map-run 16 v3: 100 -> 103 instructions"]
        );
        assert_eq!(before.compare(&now(90), false).better, 1);
    }

    #[test]
    fn one_more_of_anything_else_fails() {
        let before = measured(|_| {});
        for (kind, what) in [
            ("dsb-ish", "1 -> 2 DSB"),
            ("dmb-ish", "0 -> 1 DMB"),
            ("tlbi-vale1is", "0 -> 1 TLBI"),
        ] {
            let now = measured(|counted| counted.executed.extend([(kind.to_owned(), 1)]));
            let found = before.compare(&now, false);
            assert_eq!(found.worse, [format!("max/off map-run 16 v3: {what}")]);
            assert_eq!(now.compare(&before, false).better, 1);
        }
        let more = measured(|counted| counted.executed.extend([("isb".to_owned(), 2)]));
        assert_eq!(
            before.compare(&more, false).worse,
            ["max/off map-run 16 v3: 1 -> 2 ISB"]
        );
        for (dropped, what) in [(Dropped::All, "0 -> all"), (Dropped::Pages(1), "0 -> 1")] {
            let now = measured(|counted| counted.dropped = dropped);
            let found = before.compare(&now, false).worse;
            assert!(found[0].contains(what), "{found:?}");
        }
        let uncounted = measured(|counted| counted.instructions = None);
        assert_eq!(before.compare(&uncounted, false).worse.len(), 1);
    }

    #[test]
    fn rows_that_come_and_go() {
        let (with, without) = (measured(|_| {}), Baseline(BTreeMap::new()));
        assert!(without.compare(&with, true).worse[0].contains("not in the baseline"));
        assert!(with.compare(&without, false).worse[0].contains("not measured any more"));
        assert_eq!(with.compare(&without, true), Compared::default());
    }

    #[test]
    fn a_file_that_is_none_is_refused() {
        for text in [
            "",
            "{}",
            "{\"schema\":2,\"rows\":{}}",
            "{\"schema\":1,\"rows\":[]}",
            "{\"schema\":1,\"rows\":{\"a\":[1,2,3]}}",
            "{\"schema\":1,\"rows\":{\"a\":[1,null,1,0,0,0]}}",
            "{\"schema\":1,\"rows\":{\"a\":[-1,0,1,0,0,0]}}",
        ] {
            assert!(Baseline::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_versions_are_in_the_name() {
        let path = path("rustc 1.95.0 (59807616e 2026-04-14)", (7, 2)).unwrap();
        assert!(path.ends_with("tests/bench/baseline-rustc-1.95-qemu-7.2.json"));
        for rustc in ["", "clang 1.2", "rustc x.1", "rustc 1"] {
            assert_eq!(super::path(rustc, (7, 2)), None, "{rustc}");
        }
    }
}
