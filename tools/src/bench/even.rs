//! The break-even of a section: from how many entries on it pays.
//!
//! Computed from counts of this boot: `entries-no-section` pays a pair for each entry, `entries` stores the same ones in a section. The
//! section costs instructions and saves pairs, and how long a pair takes no count says; so it is computed for what a pair may cost.

use super::rows::{Machine, OURS, Rows};

/// What a pair may cost, in instructions that the core would execute meanwhile. A pair is two instructions itself.
const PAIRS: [u64; 4] = [2, 20, 50, 200];

/// The loops of one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Both {
    n: u64,
    without: u64,
    within: u64,
    /// Pairs that the section saves.
    saved: u64,
}

/// The longest loop that the line has; beyond it the section always pays.
const SHOWN: u64 = 16;

/// The break-even, a line for all machines that have the same.
#[must_use]
pub fn lines(all: &[(Machine, Rows)]) -> Vec<String> {
    let mut lines: Vec<(String, String)> = Vec::new();
    for (machine, rows) in all {
        let both = both(rows);
        if both.is_empty() {
            continue;
        }
        let line = line(&both);
        match lines.iter_mut().find(|(_, other)| *other == line) {
            Some((machines, _)) => *machines += &format!(" {machine}"),
            None => lines.push((machine.to_string(), line)),
        }
    }
    let lines = lines.into_iter();
    lines
        .map(|(machines, line)| format!("break-even on {machines}, {line}"))
        .collect()
}

fn both(rows: &Rows) -> Vec<Both> {
    let mut both: Vec<Both> = Vec::new();
    for (key, _) in &rows.rows {
        if key.name != "entries-no-section" || key.policy != "v3" {
            continue;
        }
        let counted = |name| rows.counted(name, OURS, "v3", key.n);
        let (Some(without), Some(within)) = (counted("entries-no-section"), counted("entries"))
        else {
            continue;
        };
        if let (Some(instructions), Some(inside)) = (without.instructions, within.instructions) {
            both.push(Both {
                n: key.n,
                without: instructions,
                within: inside,
                saved: without.totals()[1].saturating_sub(within.totals()[1]),
            });
        }
    }
    both.sort_by_key(|both| both.n);
    both
}

/// The least length that was measured from which on the section is never the dearer, where a pair costs `pair`.
fn from(both: &[Both], pair: u64) -> Option<u64> {
    // The instructions of the pairs, two each, are among those that were counted.
    let pays = |both: &&Both| both.within <= both.without + both.saved * (pair - 2);
    let paying = both.iter().rev().take_while(pays);
    paying.last().map(|both| both.n)
}

fn line(both: &[Both]) -> String {
    let cases = PAIRS.map(|pair| {
        let from = from(both, pair).map_or("no measured length".to_owned(), |n| n.to_string());
        format!("{from} where a pair costs {pair}")
    });
    let shown = both.iter().filter(|both| both.n <= SHOWN);
    let shown = shown.map(|both| format!("{}: {} / {}", both.n, both.without, both.within));
    let shown: Vec<String> = shown.collect();
    format!(
        "computed from the counts of this boot: a section of entries pays from {} instructions \
         (n: without / within a section, pairs included: {})",
        cases.join(", "),
        shown.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEASURED: [Both; 4] = [
        Both {
            n: 1,
            without: 70,
            within: 160,
            saved: 0,
        },
        Both {
            n: 2,
            without: 125,
            within: 180,
            saved: 1,
        },
        Both {
            n: 3,
            without: 180,
            within: 200,
            saved: 2,
        },
        Both {
            n: 4,
            without: 235,
            within: 220,
            saved: 3,
        },
    ];

    #[test]
    fn the_dearer_a_pair_the_sooner_it_pays() {
        assert_eq!(from(&MEASURED, 2), Some(4));
        assert_eq!(from(&MEASURED, 12), Some(3));
        assert_eq!(from(&MEASURED, 57), Some(2));
        assert_eq!(from(&MEASURED, 1000), Some(2));
        assert_eq!(from(&MEASURED[..3], 2), None);
        assert_eq!(from(&[], 2), None);
    }

    #[test]
    fn the_line_says_where_it_is_from() {
        let line = line(&MEASURED);
        assert!(
            line.starts_with("computed from the counts of this boot"),
            "{line}"
        );
        assert!(
            line.contains("from 4 where a pair costs 2,") && line.contains("2: 125 / 180"),
            "{line}"
        );
    }

    #[test]
    fn rows_without_the_loops_have_none() {
        let rows = crate::bench::rows::tests::made_up();
        assert_eq!(
            lines(&[(Machine::new("max", false), rows)]),
            Vec::<String>::new()
        );
    }
}
