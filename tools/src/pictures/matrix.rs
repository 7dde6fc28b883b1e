//! Which observer sees which injected fault.

use svg::node::element::{Group, Title};

use crate::faults::{Observer, Of, cell, seen_by};
use crate::pen::{WIDTH, centred, line, rectangle, sheet, text};

const STYLE: &str = "
.pic .seen { fill: var(--tlbi); } .pic .several { fill: none; stroke: var(--tlbi); stroke-width: 2; }
.pic .on { fill: var(--paper); font-size: 12px; font-weight: 600; } .pic .of { font-size: 12px; font-weight: 600; }
.pic .fault { font-family: ui-monospace, 'DejaVu Sans Mono', monospace; font-size: 12px; }
";

const TOP: f64 = 96.0;
const WHAT: f64 = 224.0;
const SEEN: f64 = 560.0;
const COLUMN: f64 = (WIDTH - SEEN - 12.0) / 6.0;
const LINE: f64 = 15.0;
/// How many characters of what is done wrong stand in a line.
const CHARACTERS: usize = 54;

/// Words in lines.
fn wrapped(words: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in words.split(' ') {
        let full = lines
            .last()
            .is_some_and(|line| line.len() + word.len() >= CHARACTERS);
        if full {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// Draws it.
#[must_use]
pub fn draw(all: &[Of]) -> String {
    let rows: Vec<(&Of, Vec<String>)> = all.iter().map(|of| (of, wrapped(of.entry.what))).collect();
    let height_of = |lines: &[String]| LINE * lines.len() as f64 + 7.0;
    let height = TOP + rows.iter().map(|(_, lines)| height_of(lines)).sum::<f64>() + 16.0;
    let title = format!(
        "{} faults, injected one at a time, and who sees each",
        all.len()
    );
    let mut document = sheet("faults", height, &title, &description(all), STYLE).add(legend());
    for (index, observer) in Observer::ALL.into_iter().enumerate() {
        let x = SEEN + COLUMN * (index as f64 + 0.5);
        document = document.add(centred("small", x, TOP - 10.0, observer.name()));
    }
    let mut y = TOP;
    for (index, (of, lines)) in rows.iter().enumerate() {
        let height = height_of(lines);
        if index % 2 == 0 {
            document = document.add(rectangle("band", 8.0, y, WIDTH - 16.0, height));
        }
        document = document.add(row(of, lines, y, height));
        y += height;
    }
    format!("{document}\n")
}

fn legend() -> Group {
    let y = 52.0;
    Group::new()
        .add(rectangle("seen", 16.0, y - 11.0, 28.0, 14.0))
        .add(text(
            "small",
            52.0,
            y,
            "a boot must fail with this observer's words (of the rules: which)",
        ))
        .add(rectangle("several", 458.0, y - 11.0, 28.0, 14.0))
        .add(text("small", 494.0, y, "the same, on two cores or more"))
        .add(line("rule", (16.0, TOP - 1.0), (WIDTH - 16.0, TOP - 1.0)))
}

fn row(of: &Of, lines: &[String], y: f64, height: f64) -> Group {
    let mut group = Group::new()
        .add(Title::new(format!(
            "{}: {}; seen by {}",
            of.entry.name,
            of.entry.what,
            seen_by(of)
        )))
        .add(text("fault", 16.0, y + 15.0, of.entry.name));
    for (index, words) in lines.iter().enumerate() {
        group = group.add(text(
            "small",
            WHAT,
            y + 15.0 + LINE * index as f64,
            words.as_str(),
        ));
    }
    for (index, observer) in Observer::ALL.into_iter().enumerate() {
        let Some((label, several)) = cell(of, observer) else {
            continue;
        };
        let x = SEEN + COLUMN * index as f64;
        let (class, on) = if several {
            ("several", "of")
        } else {
            ("seen", "on")
        };
        group = group
            .add(rectangle(class, x + 6.0, y + 3.0, COLUMN - 12.0, height - 6.0).set("rx", 3))
            .add(centred(on, x + COLUMN / 2.0, y + height / 2.0 + 4.0, label));
    }
    group
}

fn description(all: &[Of]) -> String {
    let faults = all
        .iter()
        .map(|of| format!("{}: {}", of.entry.name, seen_by(of)));
    format!(
        "For each fault who must see it. {}.",
        faults.collect::<Vec<_>>().join("; ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults;

    /// As many marks as the boots say, and in the description the same.
    #[test]
    fn each_observer_of_each_fault_has_a_mark() {
        let all = faults::all().unwrap();
        let drawn = draw(&all);
        let mut marks = 0;
        for of in &all {
            let mut by: Vec<Observer> = of
                .boots
                .iter()
                .flat_map(|shown| shown.seen.iter().map(|(by, _)| *by))
                .collect();
            by.sort();
            by.dedup();
            marks += by.len();
            let words = seen_by(of);
            for observer in by {
                assert!(
                    words.contains(observer.name()),
                    "{}: {words}",
                    of.entry.name
                );
            }
            assert!(drawn.contains(&format!("{}: {words}", of.entry.name)));
        }
        // Each mark has round corners; those of the legend have none.
        assert_eq!(drawn.matches("rx=\"3\"").count(), marks);
        assert!(
            seen_by(&all[0]).starts_with("rules (R1 R8), sums on two cores"),
            "{}",
            seen_by(&all[0])
        );
    }

    #[test]
    fn long_words_are_wrapped() {
        assert_eq!(wrapped("a b"), ["a b"]);
        let long = "word ".repeat(30);
        let lines = wrapped(long.trim());
        assert!(lines.len() > 2 && lines.iter().all(|line| line.len() <= CHARACTERS));
        assert_eq!(lines.join(" "), long.trim());
    }
}
