//! The one table: each row of this project's beside its floor, the peers, Linux, and its goals.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::data::{Data, Goal, Peer, What};
use super::rows::{Counted, Dropped, Key, Machine, OURS, Outcome, Rows};

/// A line, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    row: String,
    n: u64,
    /// The core, and `+debug`; the policy, where it is not the usual one.
    on: String,
    floor: String,
    ours: String,
    /// For each of `n`, where that is a number of things done.
    each: String,
    /// One for each peer.
    peers: Vec<String>,
    linux: String,
    ratio: String,
    barriers: String,
    dropped: String,
    goals: String,
}

/// The table, and how many goals were reached of those that are measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    lines: Vec<Line>,
    heads: Vec<String>,
    footnotes: Vec<String>,
    /// Goals that are reached.
    pub reached: usize,
    /// Goals that are not.
    pub missed: usize,
}

/// The policy of rows that do not say one.
const USUAL: &str = "v3";

/// The floor of an operation: the bare loop that it cannot be shorter than.
fn floor_of(row: &str) -> Option<&str> {
    match row {
        "map-run" => Some("map-run"),
        "map-list" | "map-each" | "replace" | "vmap" => Some("map-list"),
        "protect-ro" | "protect-back" | "protect-ro-each" | "protect-back-each" => {
            Some("protect-ro")
        }
        "unmap" | "unmap-sink" | "unmap-each" | "unmap-holes" | "vunmap" | "zap" => Some("unmap"),
        _ => None,
    }
}

/// Whether the `n` of a row is how many pages, calls or entries it is of; else it is what is there already, and the row is of one.
pub fn counts_things(row: &str) -> bool {
    !row.starts_with("nested-at") && !row.starts_with("area-")
}

/// Which rows are in the table; all are in `bench.json`. Each once: with the debug page allocator where that is what the row is
/// about, and on a core without range TLBI where a goal is.
fn is_shown(machine: &Machine, key: &Key, data: &Data) -> bool {
    if key.who != OURS || machine.smp > 1 {
        return false;
    }
    let allocates = |name: &str| {
        matches!(
            name,
            "alloc" | "free" | "free-batch" | "free-shuffled" | "zap"
        )
    };
    let loops = key.name.starts_with("entries");
    let workload = key.name.starts_with("run=");
    match (machine.cpu.as_str(), machine.debug) {
        ("max", false) => !loops && !workload,
        ("max", true) => loops && key.n >= 512 || workload || allocates(&key.name),
        _ => goals_of(machine, key, data).next().is_some(),
    }
}

fn goals_of<'d>(
    machine: &'d Machine,
    key: &'d Key,
    data: &'d Data,
) -> impl Iterator<Item = &'d Goal> {
    data.goals.iter().filter(move |goal| {
        goal.row == key.name
            && goal.n == key.n
            && goal.cpu == machine.cpu
            && goal.debug == machine.debug
            && key.policy == USUAL
    })
}

impl Table {
    /// Makes it of what was measured.
    #[must_use]
    pub fn of(all: &[(Machine, Rows)], data: &Data) -> Self {
        let mut table = Self {
            lines: Vec::new(),
            heads: data.peers.iter().map(|peer| peer.short.clone()).collect(),
            footnotes: footnotes(data),
            reached: 0,
            missed: 0,
        };
        for (machine, rows) in all {
            for (key, outcome) in &rows.rows {
                if let Outcome::Counted(counted) = outcome
                    && is_shown(machine, key, data)
                {
                    let line = table.line(machine, rows, key, counted, data);
                    table.lines.push(line);
                }
            }
        }
        table
    }

    fn line(
        &mut self,
        machine: &Machine,
        rows: &Rows,
        key: &Key,
        counted: &Counted,
        data: &Data,
    ) -> Line {
        let beside = |name: &str, who: &str| {
            rows.counted(name, who, USUAL, key.n)
                .and_then(|counted| counted.instructions)
        };
        let floor = floor_of(&key.name).and_then(|name| beside(name, "floor"));
        let peers = data
            .peers
            .iter()
            .map(|peer| (peer, beside(&key.name, &peer.name)));
        let best = |all: bool| {
            let right = |peer: &Peer| peer.note(&key.name).is_none_or(|note| note.correct);
            let counts = peers.clone().filter(|(peer, _)| all || right(peer));
            let best = counts.filter_map(|(_, count)| count).min()?;
            Some(best as f64 / counted.instructions? as f64)
        };
        let values = Values {
            counted,
            n: key.n,
            any: best(true),
            correct: best(false),
        };
        let mut goals = Vec::new();
        for goal in goals_of(machine, key, data) {
            goals.push(self.judge(goal, &values));
        }
        let refused = |peer: &Peer| {
            rows.rows.iter().any(|(other, outcome)| {
                let same = other.name == key.name && other.n == key.n && other.who == peer.name;
                same && matches!(outcome, Outcome::Refused(_))
            })
        };
        let linux = data.linux.iter().find(|linux| {
            let same = linux.row == key.name && linux.n == key.n && linux.policy == key.policy;
            same && linux.debug == machine.debug && machine.cpu == "max"
        });
        let [dsb, isb, dmb, tlbi] = counted.totals();
        let policy = if key.policy == USUAL {
            String::new()
        } else {
            format!(" {}", key.policy)
        };
        let debug = if machine.debug { "+debug" } else { "" };
        Line {
            row: key.name.clone(),
            n: key.n,
            on: format!("{}{debug}{policy}", machine.cpu),
            floor: shown(floor),
            ours: shown(counted.instructions),
            each: match values.of(What::Each) {
                Some(each) if counts_things(&key.name) => format!("{each:.2}"),
                _ => "-".to_owned(),
            },
            peers: peers
                .map(|(peer, count)| {
                    let mark = peer.note(&key.name).map_or("", |note| &note.mark);
                    match count {
                        Some(count) => format!("{count}{mark}"),
                        None if refused(peer) => format!("refused{mark}"),
                        None => "-".to_owned(),
                    }
                })
                .collect(),
            linux: linux.map_or("-".to_owned(), |row| row.to_string()),
            ratio: values
                .correct
                .map_or("-".to_owned(), |ratio| format!("{ratio:.2}")),
            barriers: format!("{dsb}/{isb}/{dmb}/{tlbi}"),
            dropped: counted.dropped.to_string(),
            goals: goals.join("; "),
        }
    }

    /// Counts a goal, and says whether it is reached, and if not, what is there.
    fn judge(&mut self, goal: &Goal, values: &Values<'_>) -> String {
        match values.of(goal.what) {
            Some(value) if goal.reached(value) => {
                self.reached += 1;
                format!("{goal}: reached")
            }
            value => {
                self.missed += 1;
                let is = match value {
                    Some(value) => format!("it is {value:.2}"),
                    None => "not measured".to_owned(),
                };
                let why = if goal.why.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", goal.why)
                };
                format!("{goal}: MISSED, {is}{why}")
            }
        }
    }

    /// The table, the columns under their heads, and the footnotes.
    #[must_use]
    pub fn text(&self) -> String {
        let mut heads = vec!["row", "n", "on", "floor", "ours", "each"];
        heads.extend(self.heads.iter().map(String::as_str));
        heads.extend(["Linux", "ratio", "D/I/M/T", "dropped", "goals"]);
        let mut lines = vec![heads.into_iter().map(str::to_owned).collect::<Vec<_>>()];
        for line in &self.lines {
            let mut cells = vec![line.row.clone(), line.n.to_string(), line.on.clone()];
            cells.extend([&line.floor, &line.ours, &line.each].map(String::clone));
            cells.extend(line.peers.iter().cloned());
            cells.extend(
                [
                    &line.linux,
                    &line.ratio,
                    &line.barriers,
                    &line.dropped,
                    &line.goals,
                ]
                .map(String::clone),
            );
            lines.push(cells);
        }
        let columns = lines[0].len();
        let width = |column: usize| {
            lines
                .iter()
                .map(|line| line[column].len())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for line in &lines {
            let mut row = String::new();
            for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
                // Names and goals to the left, numbers to the right. Writing to a String does not fail.
                let _ = match column {
                    0 | 2 => write!(row, "{cell:<width$}  "),
                    last if last + 1 == columns => write!(row, "{cell}"),
                    _ => write!(row, "{cell:>width$}  "),
                };
            }
            text.push_str(row.trim_end());
            text.push('\n');
        }
        for note in &self.footnotes {
            text.push_str(note);
            text.push('\n');
        }
        text
    }

    /// The lines as `bench.json` has them.
    #[must_use]
    pub fn json(&self) -> Value {
        let lines = self.lines.iter().map(|line| {
            json!({
                "row": line.row, "n": line.n, "on": line.on, "floor": line.floor, "ours": line.ours,
                "each": line.each, "peers": line.peers, "linux": line.linux, "ratio": line.ratio, "barriers": line.barriers,
                "dropped": line.dropped, "goals": line.goals,
            })
        });
        Value::Array(lines.collect())
    }
}

/// What goals are about.
struct Values<'a> {
    counted: &'a Counted,
    n: u64,
    any: Option<f64>,
    correct: Option<f64>,
}

impl Values<'_> {
    fn of(&self, what: What) -> Option<f64> {
        let total = self.counted.instructions.map(|count| count as f64);
        match what {
            What::Total => total,
            What::Each => total.map(|total| total / self.n.max(1) as f64),
            What::Barriers(index) => Some(self.counted.totals()[index] as f64),
            What::Dropped => Some(match self.counted.dropped {
                Dropped::Pages(pages) => pages as f64,
                Dropped::All => f64::INFINITY,
            }),
            What::AnyPeer => self.any,
            What::CorrectPeers => self.correct,
        }
    }
}

fn shown(count: Option<u64>) -> String {
    count.map_or("-".to_owned(), |count| count.to_string())
}

/// What the marks and columns mean.
fn footnotes(data: &Data) -> Vec<String> {
    let mut notes = vec![
        "All counts are of the whole row, in instructions; `each` is ours for one page, call or entry; `ratio` is the best correct peer's, divided by ours.".to_owned(),
        "D/I/M/T: DSB, ISB, DMB and TLBI executed; dropped: how many translations the TLBIs dropped at most. Peers run in TTBR0, in the same boot.".to_owned(),
        format!("Linux, with DSB/ISB/TLBI and the kernel's version behind the count: {}", data.linux_source),
    ];
    for peer in &data.peers {
        for note in &peer.notes {
            notes.push(format!(
                "{} {} {}: {}",
                note.mark, peer.name, peer.version, note.what
            ));
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{data, rows};

    fn made_up() -> Table {
        let all = [(Machine::new("max", false), rows::tests::made_up())];
        Table::of(&all, &data::tests::made_up())
    }

    #[test]
    fn a_line_has_everything_beside_it() {
        let table = made_up();
        let [line] = &*table.lines else {
            panic!("{table:?}")
        };
        assert_eq!(
            (line.ours.as_str(), &*line.peers),
            ("100", &["900".to_owned(), "50W".to_owned()][..])
        );
        // The better peer is wrong there, so the other one counts.
        assert_eq!(
            (line.ratio.as_str(), line.barriers.as_str()),
            ("9.00", "1/1/0/0")
        );
        assert_eq!(line.linux, "1600 4/0/2 7.3");
        assert_eq!(
            line.goals,
            "each <= 6: MISSED, it is 6.25 (it is made up); DSB <= 1: reached; >= 0.5 x any peer: reached; \
             >= 9 x correct peers: reached"
        );
        assert_eq!((table.reached, table.missed), (3, 1));
    }

    #[test]
    fn each_kind_of_barrier_is_in_its_place() {
        let mut rows = rows::tests::made_up();
        let rows::Outcome::Counted(counted) = &mut rows.rows[0].1 else {
            panic!("{rows:?}");
        };
        let executed = [
            ("dsb-ishst", 1),
            ("isb", 2),
            ("dmb-ish", 3),
            ("tlbi-vale1is", 4),
        ];
        counted.executed = executed.map(|(kind, n)| (kind.to_owned(), n)).into();
        let all = [(Machine::new("max", false), rows)];
        for (n, what) in (1..).zip(["dsb", "isb", "dmb", "tlbi"]) {
            let table = Table::of(&all, &data::tests::with_goal(what, n));
            assert_eq!(table.lines[0].barriers, "1/2/3/4");
            let name = what.to_uppercase();
            assert_eq!(table.lines[0].goals, format!("{name} <= {n}: reached"));
            let table = Table::of(&all, &data::tests::with_goal(what, n - 1));
            assert_eq!((table.reached, table.missed), (0, 1), "{what}");
        }
    }

    #[test]
    fn it_is_printed_with_its_notes() {
        let text = made_up().text();
        let mut lines = text.lines();
        let head = lines.next().unwrap();
        assert!(
            head.starts_with("row ") && head.ends_with("goals"),
            "{head}"
        );
        assert!(
            lines.next().unwrap().starts_with("map-run  16  max"),
            "{text}"
        );
        assert!(text.contains("W b 2.0: wrong\n"), "{text}");
        assert!(text.contains("elsewhere"), "{text}");
        assert_eq!(made_up().json()[0]["ours"], "100");
    }

    #[test]
    fn each_row_is_shown_once() {
        let data = data::tests::made_up();
        let key = |name: &str, who: &str| Key {
            name: name.to_owned(),
            who: who.to_owned(),
            policy: USUAL.to_owned(),
            n: 512,
        };
        let on = |name: &str| {
            let machines = [Machine::new("max", false), Machine::new("max", true)];
            machines.map(|machine| is_shown(&machine, &key(name, OURS), &data))
        };
        assert_eq!(on("map-run"), [true, false]);
        assert_eq!(on("entries"), [false, true]);
        assert_eq!(on("run=vmap"), [false, true]);
        assert_eq!(on("alloc"), [true, true]);
        assert!(!is_shown(
            &Machine::new("max", false),
            &key("map-run", "a"),
            &data
        ));
        assert!(!is_shown(
            &Machine::new("cortex-a72", false),
            &key("map-run", OURS),
            &data
        ));
    }

    #[test]
    fn a_goal_of_what_is_not_measured_is_missed() {
        let (mut table, data) = (made_up(), data::tests::made_up());
        let mut counted = match &rows::tests::made_up().rows[0].1 {
            Outcome::Counted(counted) => counted.clone(),
            Outcome::Refused(why) => panic!("{why}"),
        };
        counted.instructions = None;
        let values = Values {
            counted: &counted,
            n: 16,
            any: None,
            correct: None,
        };
        let said = table.judge(&data.goals[0], &values);
        assert_eq!(said, "each <= 6: MISSED, not measured (it is made up)");
    }
}
