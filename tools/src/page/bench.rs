//! What `make bench` has counted: instructions per page by system, beside the floor, and what is said of growth.

use maud::{Markup, PreEscaped, html};
use serde_json::Value;

use super::plot::{self, Series};
use super::{cell, command, scrolling};
use crate::bench::data::Peer;
use crate::bench::rows::OURS;

/// What `bench.json` has, and the crates that are in it.
#[derive(Clone, Debug)]
pub struct Bench {
    /// `bench.json`.
    pub file: Value,
    /// The crates, with what is to be said of their rows.
    pub peers: Vec<Peer>,
}

/// The operations that have a plot, and what each is.
const OPERATIONS: [(&str, &str); 4] = [
    ("map-run", "Pages are mapped to a run of frames."),
    ("map-list", "Pages are mapped to frames from a list."),
    ("protect-ro", "Pages are made read-only."),
    ("unmap", "Pages are unmapped."),
];

/// Whether a row is of the machine of the plots. What an operation executes is the same on the others, or the table below has a line for
/// it.
fn is_plotted(row: &Value) -> bool {
    row["cpu"] == "max" && row["smp"] == 1 && row["debug"] == false
}

impl Bench {
    /// The systems that have rows of an operation: by size, the instructions and the quotient of the two.
    fn series(&self, operation: &str) -> Vec<Series> {
        let mut all: Vec<Series> = Vec::new();
        for row in self.file["rows"].as_array().into_iter().flatten() {
            let (Some(who), Some(n), Some(instructions)) = (
                row["who"].as_str(),
                row["n"].as_u64(),
                row["instructions"].as_u64(),
            ) else {
                continue;
            };
            if row["name"] != operation || !is_plotted(row) || n == 0 {
                continue;
            }
            let name = self.name(who, operation);
            let point = (n, instructions as f64 / n as f64);
            match all.iter_mut().find(|series| series.name == name) {
                Some(series) => series.points.push(point),
                None => all.push(Series {
                    name,
                    points: vec![point],
                }),
            }
        }
        all
    }

    /// A system's name, with the mark of what is to be said of it.
    fn name(&self, who: &str, operation: &str) -> String {
        let peer = self.peers.iter().find(|peer| peer.name == who);
        match peer.and_then(|peer| peer.note(operation)) {
            Some(note) => format!("{who} ({})", note.mark),
            None if who == OURS => "lazy-mmu".to_owned(),
            None => who.to_owned(),
        }
    }

    /// What the marks of an operation mean.
    fn notes(&self, operation: &str) -> Vec<String> {
        let notes = self.peers.iter().filter_map(|peer| {
            let note = peer.note(operation)?;
            Some(format!(
                "{} {} ({}): {}",
                peer.name, peer.version, note.mark, note.what
            ))
        });
        notes.collect()
    }

    fn operation(&self, name: &str, about: &str) -> Markup {
        let series = self.series(name);
        let title = format!("{name}: instructions per page");
        html! {
            h3 { (title) }
            p { (about) " On QEMU's CPU max, one core, the debug page allocator off." }
            @match plot::draw("pages", "instructions per page", &series) {
                Ok(svg) => figure class="wide plot" role="img" aria-label=(format!("{title}: a plot of the table below")) { (PreEscaped(svg)) },
                Err(why) => p { "There is no plot: " (why) },
            }
            (scrolling(&title, &plot::table("pages", &title, &series, |each| format!("{each:.1}"))))
            @for note in self.notes(name) { p class="note" { (note) } }
        }
    }

    fn lines(&self, field: &str) -> Markup {
        html! { ul { @for line in self.file[field].as_array().into_iter().flatten() { li { (cell(line)) } } } }
    }
}

/// The section.
pub fn section(bench: Option<&Bench>) -> Markup {
    let Some(bench) = bench else {
        return html! { p { "make bench has not run: there is no target/bench.json." } };
    };
    if !bench.file["rows"].is_array() {
        return html! { p { "target/bench.json has no list of rows." } };
    }
    let file = &bench.file;
    let short = file["short"] == Value::Bool(true);
    html! {
        p { "Commit " (file["commit"].as_str().unwrap_or("unknown")) ", " (cell(&file["rustc"])) ", QEMU " (cell(&file["qemu"])) ". The floor is a bare loop in assembly." }
        @for (name, about) in OPERATIONS { (bench.operation(name, about)) }
        h3 { "Growth, and from which length a section pays" }
        (bench.lines("growth"))
        (bench.lines("break_even"))
        details { summary { "All rows: instructions of the whole row, beside the floor, the other crates, Linux, and the goals" }
            (scrolling("All rows", &table(file))) }
        (command(if short { "make bench SHORT=on" } else { "make bench" }))
    }
}

/// The table of `bench.json`, as it is there.
fn table(file: &Value) -> Markup {
    let rows = || file["table"].as_array().into_iter().flatten();
    let columns = [
        "row", "n", "on", "floor", "ours", "each", "peers", "linux", "ratio", "barriers",
        "dropped", "goals",
    ];
    let shown = |value: &Value| match value.as_array() {
        Some(list) => list.iter().map(cell).collect::<Vec<_>>().join(" / "),
        None => cell(value),
    };
    html! { table {
        thead { tr { @for column in columns { th scope="col" class="name" { (column) } } } }
        tbody { @for row in rows() { tr { @for column in columns { td class="name" { (shown(&row[column])) } } } } }
    } }
}
