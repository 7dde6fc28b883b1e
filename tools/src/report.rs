//! `report.json`, the table a kernel writes.
//!
//! Schema 1: `{"schema":1,"complete":true,"rows":[{"run","policy","pages","k","stores","pairs","dsb","isb","dmb","tlbi",
//! "reach","depth"}]}`. `run` and `policy` are names, the others counts; `reach` is `null` where a full invalidation has no
//! bound. Further fields are allowed, missing ones are not, but for `complete`: a report without it is complete.
//!
//! A kernel may write the rows that are done with `"complete":false` as it goes on. What is kept of a boot that was not all good
//! says so too, and has its status as `verdict`.

use std::fmt;

use serde_json::{Map, Value};

use crate::verdict::Verdict;

/// The name of the file, in the boot's working directory and in the target directory.
pub const FILE: &str = "report.json";

const NAMES: [&str; 2] = ["run", "policy"];
const COUNTS: [&str; 9] = [
    "pages", "k", "stores", "pairs", "dsb", "isb", "dmb", "tlbi", "depth",
];
const REACH: &str = "reach";
/// All of them, as they stand above.
const ORDER: [&str; 12] = [
    "run", "policy", "pages", "k", "stores", "pairs", "dsb", "isb", "dmb", "tlbi", REACH, "depth",
];

/// What is wrong with a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It is not JSON.
    NotJson(String),
    /// `schema` is not 1.
    Schema(String),
    /// `complete` is there, and neither `true` nor `false`.
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
            Self::Schema(found) => write!(f, "{FILE}: `schema` is {found}, not 1"),
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
    /// Its rows as lines: the values in the order above, a space between them.
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
    if report["schema"].as_u64() != Some(1) {
        return Err(Flaw::Schema(shown(report.get("schema"))));
    }
    let complete = match report.get("complete") {
        None => true,
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
    }
    Ok(Report {
        rows: rows.iter().map(line).collect(),
        complete,
    })
}

/// The same report for those who come later: not complete, and with the verdict of its boot.
///
/// # Errors
/// When it is no JSON object.
pub fn incomplete(text: &str, verdict: Verdict) -> Result<String, Flaw> {
    let mut report: Map<String, Value> =
        serde_json::from_str(text).map_err(|e| Flaw::NotJson(e.to_string()))?;
    report.insert("complete".to_owned(), false.into());
    report.insert("verdict".to_owned(), verdict.code().into());
    Ok(format!("{:#}\n", Value::Object(report)))
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
        "dmb":0,"tlbi":1,"reach":null,"depth":2}"#;

    fn report(row: &str) -> String {
        format!(r#"{{"schema":1,"rows":[{row}]}}"#)
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
        let bounded = ROW.replace("null", "512");
        assert_eq!(
            check(&report(&bounded)),
            one("zap flat 512 8 512 1 3 2 0 1 512 2")
        );
        assert_eq!(check(&report("")), complete(vec![]));
    }

    #[test]
    fn rows_that_are_done_so_far() {
        let text = report(ROW).replace("\"rows\"", "\"complete\":false,\"rows\"");
        let so_far = check(&text).unwrap();
        assert!(!so_far.complete && so_far.rows.len() == 1);
        assert_eq!(
            check(&text.replace("false", "0")),
            Err(Flaw::Complete("0".into()))
        );
    }

    #[test]
    fn a_report_of_a_boot_that_failed_says_so() {
        let kept = incomplete(&report(ROW), Verdict::Timeout).unwrap();
        let again = check(&kept).unwrap();
        assert!(!again.complete && again.rows.len() == 1);
        assert!(kept.contains("\"verdict\": 124"), "{kept}");
        assert!(incomplete("[]", Verdict::Panic).is_err());
    }

    #[test]
    fn every_field_is_wanted() {
        for field in NAMES.into_iter().chain(COUNTS).chain([REACH]) {
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
            check(r#"{"schema":2,"rows":[]}"#),
            Err(Flaw::Schema("2".into()))
        );
        assert_eq!(check(r#"{"schema":1}"#), Err(Flaw::NoRows));
    }
}
