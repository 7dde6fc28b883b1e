//! `report.html`: what was counted, on one page that needs nothing else. No script, no file, no network.
//!
//! Every figure of the page is one of a report's or of `bench.json`; nothing is computed here but instructions per page, a quotient of two. A plot shows the figures of the table
//! below it, and beneath each stands the command that gives them.

mod bench;
mod plot;
pub mod runs;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;

pub use bench::Bench;
pub use plot::{HEIGHT, Series, WIDTH};

/// The name of the file.
pub const FILE: &str = "report.html";

/// The columns of a report's table, as in `report.json`.
const COLUMNS: [&str; 12] = [
    "run", "policy", "pages", "k", "stores", "pairs", "dsb", "isb", "dmb", "tlbi", "reach", "depth",
];

/// A report, and the command that gives it.
#[derive(Clone, Debug)]
pub struct Counted {
    /// As one types it.
    pub command: String,
    /// `report.json`, sound by [`crate::report::check`].
    pub report: Value,
    /// The plugin has counted as well, and found the same.
    pub witnessed: bool,
}

impl Counted {
    /// Its rows.
    fn rows(&self) -> &[Value] {
        self.report["rows"].as_array().map_or(&[], Vec::as_slice)
    }
}

/// The same run at several sizes.
#[derive(Clone, Debug)]
pub struct Growth {
    /// Which field of a row grows: `pages` or `k`.
    pub over: &'static str,
    /// What the page says about it.
    pub title: String,
    /// Why it grows as it does.
    pub about: &'static str,
    /// The reports, by size.
    pub points: Vec<Counted>,
}

impl Growth {
    /// The pairs of each policy by size, in the order in which the reports have them.
    #[must_use]
    pub fn series(&self) -> Vec<Series> {
        let mut all: Vec<Series> = Vec::new();
        for row in self.points.iter().flat_map(Counted::rows) {
            let (Some(policy), Some(size), Some(pairs)) = (
                row["policy"].as_str(),
                row[self.over].as_u64(),
                row["pairs"].as_u64(),
            ) else {
                continue;
            };
            let point = (size, pairs as f64);
            match all.iter_mut().find(|series| series.name == policy) {
                Some(series) => series.points.push(point),
                None => all.push(Series {
                    name: policy.to_owned(),
                    points: vec![point],
                }),
            }
        }
        all
    }
}

/// A picture, and the commands that give it.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Its heading.
    pub title: String,
    /// As one types them.
    pub command: String,
    /// An SVG element.
    pub svg: String,
}

/// All that the page shows.
#[derive(Clone, Debug)]
pub struct Page {
    /// The run itself.
    pub run: Counted,
    /// The debt time lines.
    pub pictures: Vec<Picture>,
    /// The plots.
    pub growth: Vec<Growth>,
    /// `bench.json`, if `make bench` has run.
    pub bench: Option<Bench>,
}

const STYLE: &str = "
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1b1f24; --faint: #59636e; --rule: #d1d9e0; --head: #f0f3f6; --link: #0550ae;
  --eager: #b37a00; --flat: #2a86b8; --reenter: #00805c; --v3: #c24f00; --linux7: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --paper: #0d1117; --ink: #f0f3f6; --faint: #9da7b3; --rule: #3d444d; --head: #1b222b; --link: #79b8ff;
  --eager: #e69f00; --flat: #56b4e9; --reenter: #2fd0a3; --v3: #ff8a3d; --linux7: #8ab4ff; } }
body { margin: 0 auto; padding: 1rem; max-width: 60rem; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; border-bottom: 1px solid var(--rule); } h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
a { color: var(--link); } p { overflow-wrap: anywhere; }
.wide { overflow-x: auto; } figure { margin: 1rem 0; } svg { max-width: 100%; height: auto; }
.wide > svg { min-width: 40rem; }
summary { cursor: pointer; } .note { color: var(--faint); font-size: .875rem; margin: .25rem 0; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--faint); padding-bottom: .25rem; }
th, td { padding: .15rem .6rem; text-align: right; border-bottom: 1px solid var(--rule); } thead th { background: var(--head); }
th.name, td.name { text-align: left; }
pre { margin: .5rem 0; padding: .5rem .75rem; background: var(--head); white-space: pre-wrap; overflow-wrap: anywhere; font-size: .8125rem; }
.plot text { font-family: inherit; fill: var(--ink); }
.plot [stroke='#111111'] { stroke: var(--ink); } .plot [stroke='#CCCCCC'] { stroke: var(--rule); }
";

/// The page as text.
#[must_use]
pub fn html(page: &Page) -> String {
    let complete = page.run.report["complete"] != Value::Bool(false);
    let mut counted = page.growth.iter().flat_map(|growth| &growth.points);
    let witnessed = page.run.witnessed && counted.all(|counted| counted.witnessed);
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "lazy-mmu: what was counted" }
                style { (PreEscaped(STYLE)) (PreEscaped(plot::style())) }
            }
            body {
                h1 { "lazy-mmu: what was counted" }
                p { "A pair is " code { "dsb ishst; isb" } ". The kernel counts where the barrier is executed. "
                    @if witnessed { "A QEMU plugin has counted each kind of barrier in the same windows, and the counts were equal." }
                    @else { strong { "No plugin has counted as well: the counts stand unchecked." } }
                }
                h2 { "The run" }
                (what_was_run(&page.run.report))
                @if !complete { p { strong { "Not complete: the boot was ended before all rows were done." } } }
                (rows_table(&page.run))
                (command(&page.run.command))
                h2 { "The debt time line" }
                p { "The same calls under each policy, in the order of events. From a store on, a pair is owed, up to the bar that pays." }
                @if page.pictures.is_empty() { p { "The run has no workload of one task, so there is no window to draw." } }
                @for picture in &page.pictures {
                    h3 { (picture.title) }
                    figure class="wide" tabindex="0" role="region" aria-label=(picture.title) { (PreEscaped(&picture.svg)) }
                    (command(&picture.command))
                }
                h2 { "How the pairs grow" }
                @for growth in &page.growth { (growth_section(growth)) }
                h2 { "Instructions per page" }
                (bench::section(page.bench.as_ref()))
            }
        }
    };
    markup.into_string()
}

/// What the report says of the boot.
fn what_was_run(report: &Value) -> Markup {
    let machine = report["machine"].as_object();
    let machine = machine
        .into_iter()
        .flatten()
        .filter(|(_, value)| !value.is_null());
    html! {
        p { "Commit " (report["commit"].as_str().unwrap_or("unknown")) ", verdict " (cell(&report["verdict"])) ", on a machine with "
            @for (index, (name, value)) in machine.enumerate() { @if index > 0 { ", " } (name) " " (cell(value)) } "." }
    }
}

fn command(command: &str) -> Markup {
    html! { pre { code { (command) } } }
}

/// A table that scrolls by itself where the window is narrow.
fn scrolling(label: &str, table: &Markup) -> Markup {
    html! { div class="wide" tabindex="0" role="region" aria-label=(label) { (table) } }
}

fn rows_table(counted: &Counted) -> Markup {
    let class = |column: &str| matches!(column, "run" | "policy").then_some("name");
    let table = html! {
        table {
            caption { "Each row is a run under a policy; the counts are those inside of its measured windows." }
            thead { tr { @for column in COLUMNS { th scope="col" class=[class(column)] { (column) } } } }
            tbody { @for row in counted.rows() {
                tr { @for column in COLUMNS { td class=[class(column)] { (cell(&row[column])) } } }
            } }
        }
    };
    scrolling("The run", &table)
}

/// A value as it is in the JSON; `null` is a reach without bound.
fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "all".to_owned(),
        other => other.to_string(),
    }
}

fn growth_section(growth: &Growth) -> Markup {
    let series = growth.series();
    let commands: Vec<&str> = growth
        .points
        .iter()
        .map(|point| point.command.as_str())
        .collect();
    html! {
        h3 { (growth.title) }
        p { (growth.about) }
        @match plot::draw(growth.over, "pairs", &series) {
            Ok(svg) => figure class="wide plot" role="img" aria-label=(format!("{}: a plot of the table below", growth.title)) { (PreEscaped(svg)) },
            Err(why) => p { "There is no plot: " (why) },
        }
        (scrolling(&growth.title, &plot::table(growth.over, &growth.title, &series, |pairs| format!("{pairs:.0}"))))
        (command(&commands.join("\n")))
    }
}
