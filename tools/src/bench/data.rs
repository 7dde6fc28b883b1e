//! What the figures are compared with: the files of `tests/bench` beside the baseline.
//!
//! | file | has |
//! |---|---|
//! | `goals.json` | what a row is to reach |
//! | `growth.json` | why a row's price for one page more grows, where it does |
//! | `peers.json` | each crate that is measured beside this project's: version, licence, and what is to be said of its rows, with where in its source that was seen |
//! | `linux.json` | Linux's counts, measured elsewhere |

use std::fmt;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// What a goal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Instructions of the whole row.
    Total,
    /// Instructions for each page, call or entry.
    Each,
    /// DSBs, ISBs, DMBs, TLBIs: the index into [`Counted::totals`](super::rows::Counted::totals).
    Barriers(usize),
    /// Translations that TLBIs dropped at most.
    Dropped,
    /// The fewest instructions of any peer, divided by this row's.
    AnyPeer,
    /// The same of the peers that do it correctly.
    CorrectPeers,
}

/// What a row is to reach.
#[derive(Clone, Debug, PartialEq)]
pub struct Goal {
    /// The row.
    pub row: String,
    /// Its size.
    pub n: u64,
    /// On which core.
    pub cpu: String,
    /// With the debug page allocator or without.
    pub debug: bool,
    /// What of it.
    pub what: What,
    /// The limit: the least of a ratio, the most of everything else.
    pub limit: f64,
    /// What the figure is made of where the goal is missed; may be empty.
    pub why: String,
}

impl Goal {
    /// Whether the limit is the least: more is better.
    #[must_use]
    pub fn is_least(&self) -> bool {
        matches!(self.what, What::AnyPeer | What::CorrectPeers)
    }

    /// Whether `value` reaches it.
    #[must_use]
    pub fn reached(&self, value: f64) -> bool {
        if self.is_least() {
            value >= self.limit
        } else {
            value <= self.limit
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = self.limit;
        match self.what {
            What::Total => write!(f, "total <= {limit}"),
            What::Each => write!(f, "each <= {limit}"),
            What::Barriers(index) => {
                write!(f, "{} <= {limit}", ["DSB", "ISB", "DMB", "TLBI"][index])
            }
            What::Dropped => write!(f, "dropped <= {limit}"),
            What::AnyPeer => write!(f, ">= {limit} x any peer"),
            What::CorrectPeers => write!(f, ">= {limit} x correct peers"),
        }
    }
}

/// What is to be said of some rows of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Which rows.
    pub rows: Vec<String>,
    /// Whether the operation is right there.
    pub correct: bool,
    /// The letter beside the number.
    pub mark: String,
    /// The sentence below the table.
    pub what: String,
}

/// A crate that is measured beside this project's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The head of its column.
    pub short: String,
    /// What is to be said.
    pub notes: Vec<Note>,
}

impl Peer {
    /// What is to be said of a row.
    #[must_use]
    pub fn note(&self, row: &str) -> Option<&Note> {
        self.notes
            .iter()
            .find(|note| note.rows.iter().any(|of| of == row))
    }
}

/// A row of Linux's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linux {
    /// The row that it stands beside.
    pub row: String,
    /// Its size.
    pub n: u64,
    /// With debug_pagealloc or without.
    pub debug: bool,
    /// The policy whose counterpart that kernel is.
    pub policy: String,
    /// The kernel's version.
    pub kernel: String,
    /// Instructions of the whole row.
    pub instructions: u64,
    /// DSBs, ISBs and TLBIs, where they are known.
    pub barriers: Option<[u64; 3]>,
}

impl fmt::Display for Linux {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.instructions)?;
        if let Some([dsb, isb, tlbi]) = self.barriers {
            write!(f, " {dsb}/{isb}/{tlbi}")?;
        }
        write!(f, " {}", self.kernel)
    }
}

/// Why a row is not flat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The row.
    pub row: String,
    /// The reason.
    pub why: String,
}

/// All of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Data {
    /// Goals.
    pub goals: Vec<Goal>,
    /// Peers, in the order of their columns.
    pub peers: Vec<Peer>,
    /// Rows that grow, and why.
    pub growth: Vec<Reason>,
    /// Linux.
    pub linux: Vec<Linux>,
    /// Where Linux's counts are from.
    pub linux_source: String,
}

/// Reads the four files in `folder`.
///
/// # Errors
/// Which file, and what is wrong with it.
pub fn read(folder: &Path) -> Result<Data, String> {
    let file = |name: &str| {
        let text = fs::read_to_string(folder.join(name));
        text.map_err(|why| format!("{name}: {why}"))
    };
    let [goals, peers] = [file("goals.json")?, file("peers.json")?];
    parse(&goals, &peers, &file("growth.json")?, &file("linux.json")?)
}

fn parse(goals: &str, peers: &str, growth: &str, linux: &str) -> Result<Data, String> {
    let linux_file = schema_1("linux.json", linux)?;
    Ok(Data {
        goals: each("goals.json", &schema_1("goals.json", goals)?["goals"], goal)?,
        peers: each("peers.json", &schema_1("peers.json", peers)?["peers"], peer)?,
        growth: each(
            "growth.json",
            &schema_1("growth.json", growth)?["grows"],
            |value| {
                Some(Reason {
                    row: text(value, "row")?,
                    why: text(value, "why")?,
                })
            },
        )?,
        linux: each("linux.json", &linux_file["rows"], linux_row)?,
        linux_source: text(&linux_file, "source").ok_or("linux.json: no `source`")?,
    })
}

fn schema_1(name: &str, text: &str) -> Result<Value, String> {
    let value: Value = serde_json::from_str(text).map_err(|why| format!("{name}: {why}"))?;
    if value["schema"] == 1 {
        Ok(value)
    } else {
        Err(format!("{name}: `schema` is {}, not 1", value["schema"]))
    }
}

fn each<T>(name: &str, list: &Value, read: fn(&Value) -> Option<T>) -> Result<Vec<T>, String> {
    let list = list
        .as_array()
        .ok_or_else(|| format!("{name}: there is no list"))?;
    let items = list.iter().map(|item| {
        let read = read(item);
        read.ok_or_else(|| format!("{name}: not understood: {item}"))
    });
    items.collect()
}

fn text(value: &Value, field: &str) -> Option<String> {
    value[field].as_str().map(str::to_owned)
}

/// A field that may be left out, and then is `usual`.
fn flag(value: &Value, field: &str, usual: bool) -> Option<bool> {
    match &value[field] {
        Value::Null => Some(usual),
        value => value.as_bool(),
    }
}

fn goal(value: &Value) -> Option<Goal> {
    let what = match value["what"].as_str()? {
        "total" => What::Total,
        "each" => What::Each,
        "dsb" => What::Barriers(0),
        "isb" => What::Barriers(1),
        "dmb" => What::Barriers(2),
        "tlbi" => What::Barriers(3),
        "dropped" => What::Dropped,
        "times-better-than-any-peer" => What::AnyPeer,
        "times-better-than-correct-peers" => What::CorrectPeers,
        _ => return None,
    };
    let mut goal = Goal {
        row: text(value, "row")?,
        n: value["n"].as_u64()?,
        cpu: match &value["cpu"] {
            Value::Null => "max".to_owned(),
            cpu => cpu.as_str()?.to_owned(),
        },
        debug: flag(value, "debug", false)?,
        what,
        limit: 0.0,
        why: text(value, "why").unwrap_or_default(),
    };
    let limit = if goal.is_least() {
        "at_least"
    } else {
        "at_most"
    };
    goal.limit = value[limit].as_f64()?;
    Some(goal)
}

fn peer(value: &Value) -> Option<Peer> {
    let notes = value["notes"].as_array()?.iter().map(|note| {
        let rows = note["rows"].as_array()?.iter();
        let rows = rows.map(|row| row.as_str().map(str::to_owned));
        Some(Note {
            rows: rows.collect::<Option<_>>()?,
            correct: note["correct"].as_bool()?,
            mark: text(note, "mark")?,
            what: text(note, "what")?,
        })
    });
    // Under which licence it is measured is said with its version.
    text(value, "licence")?;
    Some(Peer {
        name: text(value, "crate")?,
        version: text(value, "version")?,
        short: text(value, "short")?,
        notes: notes.collect::<Option<_>>()?,
    })
}

fn linux_row(value: &Value) -> Option<Linux> {
    Some(Linux {
        row: text(value, "row")?,
        n: value["n"].as_u64()?,
        debug: flag(value, "debug", false)?,
        policy: text(value, "policy")?,
        kernel: text(value, "kernel")?,
        instructions: value["instructions"].as_u64()?,
        barriers: match &value["dsb"] {
            Value::Null => None,
            dsb => Some([
                dsb.as_u64()?,
                value["isb"].as_u64()?,
                value["tlbi"].as_u64()?,
            ]),
        },
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::places;

    const GOALS: &str = r#"{"schema":1,"goals":[
        {"row":"map-run","n":16,"what":"each","at_most":6,"why":"it is made up"},
        {"row":"map-run","n":16,"what":"dsb","at_most":1},
        {"row":"map-run","n":16,"what":"times-better-than-any-peer","at_least":0.5},
        {"row":"map-run","n":16,"what":"times-better-than-correct-peers","at_least":9}]}"#;
    const PEERS: &str = r#"{"schema":1,"peers":[
        {"crate":"a","version":"1.0","licence":"MIT","short":"a","notes":[{"rows":["replace"],"correct":true,"mark":"r","what":"refuses"}]},
        {"crate":"b","version":"2.0","licence":"MIT","short":"b","notes":[{"rows":["map-run"],"correct":false,"mark":"W","what":"wrong"}]}]}"#;
    const LINUX: &str = r#"{"schema":1,"source":"elsewhere","rows":[
        {"row":"map-run","n":16,"policy":"v3","kernel":"7.3","instructions":1600,"dsb":4,"isb":0,"tlbi":2}]}"#;
    const GROWTH: &str = r#"{"schema":1,"grows":[{"row":"sort","why":"it sorts"}]}"#;

    /// Made-up data, which fits the made-up rows.
    pub fn made_up() -> Data {
        parse(GOALS, PEERS, GROWTH, LINUX).unwrap()
    }

    /// The same with this one goal.
    pub fn with_goal(what: &str, at_most: u64) -> Data {
        let goals = format!(
            r#"{{"schema":1,"goals":[{{"row":"map-run","n":16,"what":"{what}","at_most":{at_most}}}]}}"#
        );
        parse(&goals, PEERS, GROWTH, LINUX).unwrap()
    }

    #[test]
    fn the_files_are_sound_and_the_crates_are_those_that_are_built() {
        let root = places::repository();
        let data = read(&root.join("tests/bench")).unwrap();
        assert!(!data.goals.is_empty() && !data.linux.is_empty());
        let lock = fs::read_to_string(root.join("Cargo.lock")).unwrap();
        for peer in &data.peers {
            let entry = format!("name = \"{}\"\nversion = \"{}\"\n", peer.name, peer.version);
            assert!(
                lock.contains(&entry),
                "Cargo.lock has another {}",
                peer.name
            );
        }
    }

    #[test]
    fn limits() {
        let data = made_up();
        let reached = |index: usize, value| data.goals[index].reached(value);
        assert!(reached(0, 6.0) && !reached(0, 6.1) && reached(1, 1.0) && !reached(1, 2.0));
        assert!(reached(2, 0.5) && !reached(2, 0.4));
        let shown: Vec<_> = data.goals.iter().map(Goal::to_string).collect();
        assert_eq!(
            shown,
            [
                "each <= 6",
                "DSB <= 1",
                ">= 0.5 x any peer",
                ">= 9 x correct peers"
            ]
        );
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (from, to) in [
            ("\"what\":\"dsb\"", "\"what\":\"dsbs\""),
            ("\"at_most\":6", "\"at_least\":6"),
            ("\"n\":16", "\"n\":\"16\""),
            ("\"schema\":1", "\"schema\":2"),
        ] {
            assert!(
                parse(&GOALS.replacen(from, to, 1), PEERS, GROWTH, LINUX).is_err(),
                "{to}"
            );
        }
        assert!(
            parse(
                GOALS,
                &PEERS.replacen("\"licence\":\"MIT\",", "", 1),
                GROWTH,
                LINUX
            )
            .is_err()
        );
        assert!(parse(GOALS, PEERS, GROWTH, &LINUX.replacen("1600", "1.5", 1)).is_err());
        assert!(parse(GOALS, PEERS, GROWTH, &LINUX.replacen("\"isb\":0,", "", 1)).is_err());
        assert!(parse(GOALS, PEERS, &GROWTH.replacen("why", "because", 1), LINUX).is_err());
        assert!(parse(GOALS, "[]", GROWTH, LINUX).is_err());
    }
}
