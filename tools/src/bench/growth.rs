//! What grows: the price of one page more over the sizes, of a section over the depth, of an area over those that are alive, and what
//! barriers more cores take.
//!
//! What is flat is listed by name. What is not must be in `growth.json`, with the reason.

use super::data::Reason;
use super::rows::{Counted, Key, Machine, OURS, Outcome, Rows};
use super::table::counts_things;

/// The lines, and what grows for no reason that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    /// For the report.
    pub lines: Vec<String>,
    /// A line for each row that grows and is not explained.
    pub unexplained: Vec<String>,
}

/// A price that rises by more than a tenth from the least size to a greater one is not flat.
const SLACK: f64 = 1.1;
/// Below this many pages the fixed price is most of it.
const FROM: u64 = 16;

/// Looks at all machines; `reasons` are rows with the reason why they grow.
#[must_use]
pub fn of(all: &[(Machine, Rows)], reasons: &[Reason]) -> Growth {
    let mut growth = Growth::default();
    for (machine, rows) in all {
        // Another core has the same code.
        if machine.smp == 1 && machine.cpu == "max" {
            growth.sizes(machine, rows, reasons);
        }
    }
    let one_core = |machine: &Machine| {
        let like = |(other, _): &&(Machine, Rows)| {
            other.smp == 1 && other.cpu == machine.cpu && other.debug == machine.debug
        };
        all.iter().find(like).map(|(_, rows)| rows)
    };
    for (machine, rows) in all {
        if machine.smp > 1
            && let Some(one) = one_core(machine)
        {
            growth.cores(machine, rows, one);
        }
    }
    growth
}

/// This project's rows of one name, by size, under the usual policy.
fn of_name(rows: &Rows, name: &str) -> Vec<(u64, u64)> {
    let counts = rows.rows.iter().filter_map(|(key, outcome)| match outcome {
        Outcome::Counted(counted) if ours(key) && key.name == name => {
            Some((key.n, counted.instructions?))
        }
        _ => None,
    });
    let mut counts: Vec<(u64, u64)> = counts.collect();
    counts.sort_unstable();
    counts
}

fn ours(key: &Key) -> bool {
    key.who == OURS && key.policy == "v3"
}

/// What one more costs: from each size to the next where `n` counts what is done, else the row itself.
fn prices(name: &str, counts: &[(u64, u64)]) -> Vec<(u64, f64)> {
    if !counts_things(name) {
        return counts.iter().map(|&(n, count)| (n, count as f64)).collect();
    }
    let large: Vec<_> = counts.iter().filter(|(n, _)| *n >= FROM).collect();
    let pairs = large.windows(2).map(|pair| {
        let (pages, more) = (pair[1].0 - pair[0].0, pair[1].1.saturating_sub(pair[0].1));
        (pair[1].0, more as f64 / pages as f64)
    });
    pairs.collect()
}

impl Growth {
    fn sizes(&mut self, machine: &Machine, rows: &Rows, reasons: &[Reason]) {
        let mut names: Vec<&str> = Vec::new();
        for (key, _) in &rows.rows {
            // The short loops are the break-even's.
            if ours(key) && !key.name.starts_with("entries") && !names.contains(&key.name.as_str())
            {
                names.push(&key.name);
            }
        }
        let mut flat = Vec::new();
        for name in names {
            let prices = prices(name, &of_name(rows, name));
            let (Some(first), Some(last)) = (prices.first(), prices.last()) else {
                continue;
            };
            if prices.len() < 2 {
                continue;
            }
            let most = prices.iter().map(|(_, price)| *price).fold(0.0, f64::max);
            if most <= first.1 * SLACK {
                flat.push(format!("{name} {:.1}", last.1));
                continue;
            }
            let steps: Vec<_> = prices
                .iter()
                .map(|(n, price)| format!("{price:.1} up to {n}"))
                .collect();
            self.grows(machine, name, &steps.join(", "), reasons);
        }
        if !flat.is_empty() {
            self.lines.push(format!(
                "growth on {machine}: flat, with the price of one more (page, call; section, area) at the largest size: {}",
                flat.join(", ")
            ));
        }
    }

    /// Barriers and TLBIs are as many on several cores as on one: for more there is no reason.
    fn cores(&mut self, machine: &Machine, rows: &Rows, one: &Rows) {
        let (mut same, mut differ) = (0, Vec::new());
        for (key, outcome) in &rows.rows {
            let Outcome::Counted(counted) = outcome else {
                continue;
            };
            let Some(alone) = one.counted(&key.name, &key.who, &key.policy, key.n) else {
                continue;
            };
            let all = |counted: &Counted| (counted.totals(), counted.dropped);
            if all(counted) == all(alone) {
                same += 1;
            } else {
                let steps = format!(
                    "DSB, ISB, DMB, TLBI {:?}, on one core {:?}",
                    counted.totals(),
                    alone.totals()
                );
                differ.push((key.name.clone(), steps));
            }
        }
        self.lines.push(format!(
            "growth on {machine}: {same} rows execute and drop as much as on one core"
        ));
        for (name, steps) in differ {
            self.grows(machine, &name, &steps, &[]);
        }
    }

    fn grows(&mut self, machine: &Machine, name: &str, steps: &str, reasons: &[Reason]) {
        let what = format!("{machine} {name}");
        match reasons.iter().find(|reason| reason.row == name) {
            Some(Reason { why, .. }) => {
                self.lines
                    .push(format!("growth on {what}: not flat, {steps}: {why}"));
            }
            None => {
                self.lines.push(format!(
                    "growth on {what}: NOT FLAT, {steps}: no reason is given"
                ));
                self.unexplained.push(format!(
                    "{what}: it grows ({steps}), and growth.json does not say why"
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::rows::Dropped;

    fn rows(counts: &[(&str, u64, u64)]) -> Rows {
        let rows = counts.iter().map(|(name, n, instructions)| {
            let key = Key {
                name: (*name).to_owned(),
                who: OURS.to_owned(),
                policy: "v3".to_owned(),
                n: *n,
            };
            let counted = Counted {
                instructions: Some(*instructions),
                executed: [("isb".to_owned(), *n)].into(),
                dropped: Dropped::Pages(0),
            };
            (key, Outcome::Counted(counted))
        });
        Rows {
            rustc: String::new(),
            rows: rows.collect(),
        }
    }

    fn seen(counts: &[(&str, u64, u64)], reasons: &[(&str, &str)]) -> Growth {
        let reason = |(row, why): &(&str, &str)| Reason {
            row: (*row).to_owned(),
            why: (*why).to_owned(),
        };
        let reasons: Vec<_> = reasons.iter().map(reason).collect();
        of(&[(Machine::new("max", false), rows(counts))], &reasons)
    }

    #[test]
    fn a_fixed_price_is_no_growth() {
        let map = [
            ("map", 1, 500),
            ("map", 16, 590),
            ("map", 512, 4062),
            ("map", 4096, 29150),
        ];
        let growth = seen(&map, &[]);
        assert_eq!(growth.unexplained, Vec::<String>::new());
        assert!(growth.lines[0].ends_with("map 7.0"), "{growth:?}");
    }

    #[test]
    fn a_price_that_rises_needs_a_reason() {
        let sort = [
            ("sort", 16, 160),
            ("sort", 512, 5120),
            ("sort", 4096, 60000),
        ];
        let growth = seen(&sort, &[("sort", "it sorts")]);
        assert_eq!(growth.unexplained, Vec::<String>::new());
        assert!(
            growth.lines[0].contains("sort: not flat, 10.0 up to 512, 15.3 up to 4096: it sorts"),
            "{growth:?}"
        );
        assert_eq!(seen(&sort, &[("other", "why")]).unexplained.len(), 1);
        // A tenth is no growth, a little more is.
        for (last, unexplained) in [(5120 + 3584 * 11, 0), (5120 + 3584 * 11 + 36, 1)] {
            let sort = [("sort", 16, 160), ("sort", 512, 5120), ("sort", 4096, last)];
            assert_eq!(seen(&sort, &[]).unexplained.len(), unexplained, "{last}");
        }
    }

    #[test]
    fn what_is_there_already_must_not_count() {
        let flat = [("nested-at-depth", 1, 84), ("nested-at-depth", 254, 85)];
        assert!(seen(&flat, &[]).unexplained.is_empty());
        let grows = [("area-take", 1, 98), ("area-take", 1000, 9089)];
        assert_eq!(seen(&grows, &[]).unexplained.len(), 1);
    }

    #[test]
    fn more_cores_execute_no_more() {
        let eight = Machine {
            smp: 8,
            ..Machine::new("max", false)
        };
        let pair = |of_eight: &[(&str, u64, u64)]| {
            let one = (Machine::new("max", false), rows(&[("map", 512, 1000)]));
            of(&[one, (eight.clone(), rows(of_eight))], &[])
        };
        assert!(pair(&[("map", 512, 77)]).unexplained.is_empty());
        let mut more = rows(&[("map", 512, 77)]);
        if let Outcome::Counted(counted) = &mut more.rows[0].1 {
            counted.executed.insert("tlbi-vale1is".to_owned(), 8);
        }
        let one = (Machine::new("max", false), rows(&[("map", 512, 1000)]));
        let growth = of(&[one, (eight.clone(), more)], &[]);
        assert!(
            growth.unexplained[0].starts_with("max/8-cores/off map"),
            "{growth:?}"
        );
    }
}
