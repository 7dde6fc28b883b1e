//! `report.json`: what was run, and what was counted.
//!
//! The kernel writes the rows, the runner adds the rest when it leaves the file ([`with_facts`]). Schema 2:
//! `{"schema", "complete", "verdict", "kernel", "machine", "arguments", "commit", "rows"}`. Further fields are allowed, missing ones are
//! not.
//!
//! | field | what |
//! |---|---|
//! | `schema` | 2 |
//! | `complete` | whether it has all rows of the runs on the command line; a kernel writes those that are done as it goes on |
//! | `verdict` | the boot's status |
//! | `kernel` | the image's file name |
//! | `machine` | `{"cpu", "smp", "mem", "gic", "el2", "icount", "qemu"}`: `gic` is `null` where it was left to QEMU, `icount` where it was off |
//! | `arguments` | the words of the kernel's command line; README.md has the default of what is not among them |
//! | `commit` | the commit of the working tree, with `+` where files were changed; `null` without git |
//! | `rows` | a row for each run under each policy |
//!
//! A row:
//!
//! | field | what |
//! |---|---|
//! | `run`, `policy` | names |
//! | `pages`, `k`, `seed` | the size |
//! | `stores` | descriptors stored; rows of the same run can be compared where these are equal |
//! | `pairs` | `dsb ishst; isb` that published stores |
//! | `dsb`, `isb`, `dmb`, `tlbi` | all that were executed, those of the pairs among them |
//! | `reach` | how many translations the TLBIs dropped at most; `null` where one dropped a whole ASID or everything |
//! | `depth` | the deepest nesting |
//! | `replay` | what each policy owes for the calls that were made: `{"calls", "hash", "pairs", "closed_form"}`; the last two have a number for each policy, by its table and by the closed form. `null` of a stress run |
//! | `tasks` | the tasks of a stress run: `{"task", "does", "rounds"}`, what happened to each (`docs/how-it-works.md`), and its own counts |
//! | `others` | who else has executed what such a row counts: `boot`, `cores` (handlers and switches), `idle`, each with its counts |
//! | `windows` | of each measured window what the plugin has seen: `{"instructions", "executed"}`, each kind of barrier and TLBI by itself; `null` where no plugin counted. Of a stress run, instructions are those of all cores |

mod facts;

use std::fmt;

pub use facts::{Facts, with_facts};
use mmu_check::event::Policy;
use serde_json::Value;

/// The name of the file, in the boot's working directory and in the target directory.
pub const FILE: &str = "report.json";

const NAMES: [&str; 2] = ["run", "policy"];
const COUNTS: [&str; 10] = [
    "pages", "k", "seed", "stores", "pairs", "dsb", "isb", "dmb", "tlbi", "depth",
];
const REACH: &str = "reach";
/// Those of a row's line.
const ORDER: [&str; 12] = [
    "run", "policy", "pages", "k", "stores", "pairs", "dsb", "isb", "dmb", "tlbi", REACH, "depth",
];

/// What is wrong with a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It is not JSON.
    NotJson(String),
    /// `schema` is not 2.
    Schema(String),
    /// `complete` is neither `true` nor `false`.
    Complete(String),
    /// There is no list `rows`.
    NoRows,
    /// A field of a row is missing or of the wrong kind.
    Field {
        /// Which row, from 0.
        row: usize,
        /// Which field.
        field: &'static str,
        /// What is there.
        found: String,
        /// What should be.
        wanted: &'static str,
    },
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson(why) => write!(f, "{FILE} is not JSON: {why}"),
            Self::Schema(found) => write!(f, "{FILE}: `schema` is {found}, not 2"),
            Self::Complete(found) => {
                write!(f, "{FILE}: `complete` is {found}, not true or false")
            }
            Self::NoRows => write!(f, "{FILE}: there is no list `rows`"),
            Self::Field {
                row,
                field,
                found,
                wanted,
            } => {
                write!(f, "{FILE}: row {row}: `{field}` is {found}, not {wanted}")
            }
        }
    }
}

impl std::error::Error for Flaw {}

/// A report that is sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its rows as lines, a space between the values: run, policy, pages, k, stores, pairs, dsb, isb, dmb, tlbi, reach, depth.
    pub rows: Vec<String>,
    /// Whether it has all rows of the runs on the command line.
    pub complete: bool,
}

/// Checks a report.
///
/// # Errors
/// The first [`Flaw`].
pub fn check(text: &str) -> Result<Report, Flaw> {
    let report: Value = serde_json::from_str(text).map_err(|e| Flaw::NotJson(e.to_string()))?;
    if report["schema"].as_u64() != Some(2) {
        return Err(Flaw::Schema(shown(report.get("schema"))));
    }
    let complete = match report.get("complete") {
        Some(Value::Bool(complete)) => *complete,
        other => return Err(Flaw::Complete(shown(other))),
    };
    let rows = report["rows"].as_array().ok_or(Flaw::NoRows)?;
    for (row, fields) in rows.iter().enumerate() {
        for field in NAMES {
            want(row, fields, field, "a name", |v| {
                v.as_str().is_some_and(|name| !name.is_empty())
            })?;
        }
        for field in COUNTS {
            want(row, fields, field, "a count", Value::is_u64)?;
        }
        want(row, fields, REACH, "a count or null", |v| {
            v.is_u64() || v.is_null()
        })?;
        want(row, fields, "replay", "null or a replay", |v| {
            v.is_null() || is_replay(v)
        })?;
        want(row, fields, "tasks", "a list of tasks", |v| {
            let tasks = v.as_array();
            tasks.is_some_and(|tasks| tasks.iter().all(is_task))
        })?;
        want(row, fields, "others", "an object", Value::is_object)?;
    }
    Ok(Report {
        rows: rows.iter().map(line).collect(),
        complete,
    })
}

fn is_replay(replay: &Value) -> bool {
    let has_all = |field: &str| {
        let numbers = &replay[field];
        Policy::ALL
            .iter()
            .all(|policy| numbers[policy.word()].is_u64())
    };
    replay["calls"].is_u64()
        && replay["hash"].is_string()
        && has_all("pairs")
        && has_all("closed_form")
}

fn is_task(task: &Value) -> bool {
    let counts = COUNTS[3..].iter().chain(&["task", "rounds"]);
    task["does"].is_string() && counts.copied().all(|field| task[field].is_u64())
}

fn line(row: &Value) -> String {
    let values = ORDER.map(|field| match &row[field] {
        Value::String(name) => name.clone(),
        other => other.to_string(),
    });
    values.join(" ")
}

fn want(
    row: usize,
    fields: &Value,
    field: &'static str,
    wanted: &'static str,
    fits: impl Fn(&Value) -> bool,
) -> Result<(), Flaw> {
    match fields.get(field) {
        Some(value) if fits(value) => Ok(()),
        other => Err(Flaw::Field {
            row,
            field,
            found: shown(other),
            wanted,
        }),
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "missing".to_owned(), Value::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = r#"{"run":"zap","policy":"flat","pages":512,"k":8,"stores":512,"pairs":1,"dsb":3,"isb":2,
        "dmb":0,"tlbi":1,"reach":null,"depth":2,"seed":1,"replay":null,"tasks":[],"others":{}}"#;

    fn report(row: &str) -> String {
        format!(r#"{{"schema":2,"complete":true,"rows":[{row}]}}"#)
    }

    #[test]
    fn good_ones() {
        let complete = |rows| {
            Ok(Report {
                rows,
                complete: true,
            })
        };
        let one = |row: &str| complete(vec![row.to_owned()]);
        assert_eq!(
            check(&report(ROW)),
            one("zap flat 512 8 512 1 3 2 0 1 null 2")
        );
        let bounded = ROW.replacen("null", "512", 1);
        assert_eq!(
            check(&report(&bounded)),
            one("zap flat 512 8 512 1 3 2 0 1 512 2")
        );
        assert_eq!(check(&report("")), complete(vec![]));
    }

    #[test]
    fn rows_that_are_done_so_far() {
        let text = report(ROW).replace("true", "false");
        let so_far = check(&text).unwrap();
        assert!(!so_far.complete && so_far.rows.len() == 1);
        assert_eq!(
            check(&text.replace("false", "0")),
            Err(Flaw::Complete("0".into()))
        );
    }

    #[test]
    fn every_field_is_wanted() {
        for field in NAMES
            .into_iter()
            .chain(COUNTS)
            .chain([REACH, "replay", "tasks", "others"])
        {
            let without = ROW.replace(&format!("\"{field}\""), "\"other\"");
            let flaw = check(&report(&without)).unwrap_err();
            assert!(
                matches!(flaw, Flaw::Field { row: 0, field: f, .. } if f == field),
                "{flaw}"
            );
        }
    }

    #[test]
    fn the_wrong_kind_is_named() {
        let flaw = check(&report(&ROW.replace("\"tlbi\":1", "\"tlbi\":-1"))).unwrap_err();
        assert_eq!(
            flaw.to_string(),
            "report.json: row 0: `tlbi` is -1, not a count"
        );
        assert!(matches!(check("{"), Err(Flaw::NotJson(_))));
        assert_eq!(
            check(r#"{"schema":1,"rows":[]}"#),
            Err(Flaw::Schema("1".into()))
        );
        assert_eq!(
            check(r#"{"schema":2}"#),
            Err(Flaw::Complete("missing".into()))
        );
        assert_eq!(check(r#"{"schema":2,"complete":true}"#), Err(Flaw::NoRows));
        let replay = r#"{"calls":1,"hash":"0","pairs":{"eager":1},"closed_form":{}}"#;
        let flaw = check(&report(
            &ROW.replace(r#""replay":null"#, &format!(r#""replay":{replay}"#)),
        ));
        assert!(
            matches!(
                flaw,
                Err(Flaw::Field {
                    field: "replay",
                    ..
                })
            ),
            "{flaw:?}"
        );
        let flaw = check(&report(&ROW.replace("[]", r#"[{"task":1}]"#)));
        assert!(
            matches!(flaw, Err(Flaw::Field { field: "tasks", .. })),
            "{flaw:?}"
        );
    }
}
