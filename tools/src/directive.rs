//! `@boot` lines.
//!
//! A line is a list of `key=value`, the value in double quotes where it has a space or a comma of its own (`\"` and `\\`
//! inside). The machine's keys may have alternatives, with commas between them:
//!
//! | key | means | without it |
//! |---|---|---|
//! | `cpu` `smp` `mem` `gic` `el2` `icount` | the machine, as the boot runner's options of that name | its defaults |
//! | `args` | the kernel's command line | empty |
//! | `verdict` | the status the boot must end with | 0 |
//! | `expect` | what the kernel, or the runner after it, must say; may come several times | nothing |
//! | `row` | a row that `report.json` must have, its values in order; may come several times | none |
//! | `rows` | how many rows it must have | any number, or no report |
//! | `timeout` | seconds until QEMU is killed | 60 |
//! | `witness` | `off`: do not compare with the plugin | `must` |

use std::fmt;

use crate::boot::Boot;
use crate::options;
use crate::verdict::Verdict;

/// A boot, and what must come of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// What distinguishes it from the other boots of the same kernel: `cortex-a72,smp=2`.
    pub name: String,
    /// The boot; the kernel is the one that was passed to [`parse`].
    pub boot: Boot,
    /// How it must end.
    pub verdict: Verdict,
    /// What its console must contain.
    pub expect: Vec<String>,
    /// Rows that its report must have.
    pub row: Vec<String>,
    /// How many those must be in all.
    pub rows: Option<usize>,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadDirective(String);

impl fmt::Display for BadDirective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for BadDirective {}

const MACHINE: [&str; 6] = ["cpu", "smp", "mem", "gic", "el2", "icount"];

/// Reads what follows `@boot` on a line; `boot` is the boot that it changes.
///
/// # Errors
/// When the line is not as above.
pub fn parse(line: &str, boot: &Boot) -> Result<Vec<Case>, BadDirective> {
    let first = Case {
        name: String::new(),
        boot: boot.clone(),
        verdict: Verdict::Good,
        expect: Vec::new(),
        row: Vec::new(),
        rows: None,
    };
    let mut cases = vec![(first, Vec::new())];
    let mut cpu_said = false;
    for (key, value) in words(line)? {
        if MACHINE.contains(&key.as_str()) {
            cpu_said |= key == "cpu";
            cases = multiply(&cases, &key, &value)?;
        } else {
            for (case, label) in &mut cases {
                set(case, label, &key, &value)?;
            }
        }
    }
    let named = cases.into_iter().map(|(mut case, mut label)| {
        if !cpu_said {
            label.insert(0, case.boot.cpu.clone());
        }
        case.name = label.join(",");
        case
    });
    Ok(named.collect())
}

type Labelled = (Case, Vec<String>);

/// Each case once for each alternative of a part of the machine.
fn multiply(cases: &[Labelled], key: &str, value: &str) -> Result<Vec<Labelled>, BadDirective> {
    let mut all = Vec::new();
    for (case, label) in cases {
        for alternative in value.split(',') {
            let (mut case, mut label) = (case.clone(), label.clone());
            options::set(&mut case.boot, key, alternative)
                .map_err(|e| BadDirective(format!("{key}={alternative}: {}", e.what())))?;
            label.push(if key == "cpu" {
                alternative.to_owned()
            } else {
                format!("{key}={alternative}")
            });
            all.push((case, label));
        }
    }
    Ok(all)
}

fn set(
    case: &mut Case,
    label: &mut Vec<String>,
    key: &str,
    value: &str,
) -> Result<(), BadDirective> {
    let bad = |wanted: &str| BadDirective(format!("{key}={value}: it must be {wanted}"));
    match key {
        "args" => {
            case.boot.args = value.split_whitespace().map(str::to_owned).collect();
            label.extend(case.boot.args.iter().cloned());
        }
        "verdict" => {
            let code = value.parse().map_err(|_| bad("a status, 0 to 255"))?;
            case.verdict = Verdict::from_code(code);
        }
        "expect" if value.is_empty() => return Err(bad("some text")),
        "expect" => case.expect.push(value.to_owned()),
        "row" if value.split(' ').count() != 12 => return Err(bad("twelve values")),
        "row" => case.row.push(value.to_owned()),
        "rows" => case.rows = Some(value.parse().map_err(|_| bad("a number"))?),
        "timeout" | "witness" => options::set(&mut case.boot, key, value)
            .map_err(|e| BadDirective(format!("{key}={value}: {}", e.what())))?,
        _ => return Err(BadDirective(format!("there is no key `{key}`"))),
    }
    Ok(())
}

/// Splits `key=value key="a value"`.
fn words(line: &str) -> Result<Vec<(String, String)>, BadDirective> {
    let mut words = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let Some((key, after)) = rest.split_once('=') else {
            return Err(BadDirective(format!("`{rest}` is not key=value")));
        };
        if key.is_empty() || key.contains(char::is_whitespace) {
            return Err(BadDirective(format!("`{key}` is not a key")));
        }
        let (value, left) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted)
                .ok_or_else(|| BadDirective(format!("`{key}=\"` has no second quote")))?,
            None => {
                let end = after.find(char::is_whitespace).unwrap_or(after.len());
                (after[..end].to_owned(), &after[end..])
            }
        };
        if !left.is_empty() && !left.starts_with(char::is_whitespace) {
            return Err(BadDirective(format!(
                "`{key}`: there is no space before `{left}`"
            )));
        }
        words.push((key.to_owned(), value));
        rest = left.trim_start();
    }
    Ok(words)
}

/// The text up to the closing quote, and what follows it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn cases(line: &str) -> Vec<Case> {
        parse(line, &Boot::new("k")).unwrap()
    }

    fn error(line: &str) -> String {
        parse(line, &Boot::new("k")).unwrap_err().to_string()
    }

    #[test]
    fn the_plain_boot() {
        let cases = cases("");
        assert_eq!(
            (cases.len(), cases[0].name.as_str(), cases[0].verdict),
            (1, "max", Verdict::Good)
        );
    }

    #[test]
    fn everything_at_once() {
        let cases = cases(
            r#" verdict=4 cpu=cortex-a72 smp=2 mem=64M gic=3 el2=on args="run=zap pages=8" expect="a \"b\", c" expect=d timeout=7"#,
        );
        let [case] = &cases[..] else {
            panic!("{cases:?}")
        };
        assert_eq!(
            case.name,
            "cortex-a72,smp=2,mem=64M,gic=3,el2=on,run=zap,pages=8"
        );
        assert_eq!(case.verdict, Verdict::Exception);
        assert_eq!(case.expect, ["a \"b\", c", "d"]);
        assert_eq!(
            (case.boot.smp, case.boot.gic, case.boot.el2),
            (2, Some(3), true)
        );
        assert_eq!(case.boot.args, ["run=zap", "pages=8"]);
        assert_eq!(case.boot.timeout, Some(Duration::from_secs(7)));
    }

    #[test]
    fn alternatives_multiply() {
        let names: Vec<_> = cases("smp=1,2 cpu=max,cortex-a53 verdict=3")
            .into_iter()
            .map(|c| c.name)
            .collect();
        assert_eq!(
            names,
            [
                "smp=1,max",
                "smp=1,cortex-a53",
                "smp=2,max",
                "smp=2,cortex-a53"
            ]
        );
        assert!(
            cases("smp=1,2 verdict=3")
                .iter()
                .all(|case| case.verdict == Verdict::Panic)
        );
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(error("cpus=max"), "there is no key `cpus`");
        assert_eq!(error("smp=two"), "smp=two: it must be 1 to 512");
        assert_eq!(
            error("verdict=good"),
            "verdict=good: it must be a status, 0 to 255"
        );
        assert_eq!(error("smp"), "`smp` is not key=value");
        assert_eq!(error("oops smp=2"), "`oops smp` is not a key");
        assert_eq!(error("expect=\"x"), "`expect=\"` has no second quote");
        assert_eq!(
            error("expect=\"x\"smp=2"),
            "`expect`: there is no space before `smp=2`"
        );
        assert_eq!(error("expect=\"\""), "expect=: it must be some text");
    }
}
