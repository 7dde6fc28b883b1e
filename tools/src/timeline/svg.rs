//! The time line as an SVG file: light and dark by what the reader prefers, and a description for who does not see it.

use mmu_check::event::Policy;
use svg::Document;
use svg::node::element::{
    Description, Group, Line, Path, Rectangle, Style, Text, Title, path::Data,
};

use super::{Bar, Lane, Step, TimeLine};

/// How wide it is: a README's column.
const WIDTH: f64 = 900.0;
const LEFT: f64 = 178.0;
const RIGHT: f64 = 92.0;
const TOP: f64 = 96.0;
/// From one lane to the next.
const LANE: f64 = 84.0;
/// From the top of a lane to where its depth is 0, and how much each level is.
const BASE: f64 = 54.0;
const LEVEL: f64 = 18.0;
/// More steps than these cannot be told apart.
pub const STEPS_MAX: usize = 80;

/// Colours of Okabe and Ito, which people with any kind of colour vision can distinguish; the dark ones are lighter.
const STYLE: &str = "
.tl { --paper: #ffffff; --ink: #1b1f24; --faint: #59636e; --rule: #d1d9e0; --band: #f0f3f6; --depth: #009e73; --pair: #d55e00; --owed: #e69f00; --tlbi: #0072b2; }
@media (prefers-color-scheme: dark) { .tl { --paper: #0d1117; --ink: #f0f3f6; --faint: #9da7b3; --rule: #3d444d; --band: #1b222b; --depth: #2fd0a3; --pair: #ff8a3d; --owed: #f0b429; --tlbi: #56b4e9; } }
.tl text { font-family: system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; font-size: 13px; fill: var(--ink); }
.tl .head { font-size: 16px; font-weight: 600; } .tl .name { font-size: 15px; font-weight: 600; } .tl .small { font-size: 12px; fill: var(--faint); }
.tl .paper { fill: var(--paper); } .tl .band { fill: var(--band); } .tl .rule { stroke: var(--rule); }
.tl .owed { fill: var(--owed); fill-opacity: .45; } .tl .depth { fill: none; stroke: var(--depth); stroke-width: 2.5; }
.tl .store { stroke: var(--ink); stroke-width: 2; } .tl .pair { stroke: var(--pair); stroke-width: 5; }
.tl .paid { stroke: var(--pair); stroke-width: 2; stroke-dasharray: 3 2; } .tl .tlbi { fill: var(--tlbi); }
";

/// What a policy is, in a few words.
fn about(policy: Policy) -> &'static str {
    match policy {
        Policy::Eager => "each store pays",
        Policy::Flat => "first inner end ends it",
        Policy::Reenter => "left and entered again",
        Policy::V3 => "nests, as proposed",
        Policy::Linux7 => "nests, as in Linux 7.0",
    }
}

/// Where the steps stand.
struct Axis {
    /// How many are drawn.
    steps: usize,
    /// How wide each is.
    step: f64,
}

impl Axis {
    /// The middle of a step.
    fn at(&self, step: usize) -> f64 {
        LEFT + (step as f64 + 0.5) * self.step
    }

    /// A bar's place between two steps, where others may stand in the same gap.
    fn bar(&self, bars: &[(usize, Bar)], index: usize) -> f64 {
        let behind = bars[index].0;
        let first = bars.partition_point(|(other, _)| *other < behind);
        let count = bars[first..].partition_point(|(other, _)| *other == behind);
        let part = (index - first + 1) as f64 / (count + 1) as f64;
        LEFT + (behind as f64 - 0.5 + part) * self.step
    }

    fn end(&self) -> f64 {
        LEFT + self.steps as f64 * self.step
    }
}

/// Draws it.
#[must_use]
pub fn draw(line: &TimeLine) -> String {
    let all = line.lanes.first().map_or(0, |lane| lane.steps.len());
    let steps = all.clamp(1, STEPS_MAX);
    let axis = Axis {
        steps,
        step: (WIDTH - LEFT - RIGHT) / steps as f64,
    };
    let height = TOP + LANE * line.lanes.len() as f64 + 40.0;
    let (title, description) = words(line, all);
    let (title_id, about_id) = (
        format!("tl-{}-title", line.run),
        format!("tl-{}-about", line.run),
    );
    let mut document = Document::new()
        .set("viewBox", format!("0 0 {WIDTH} {height}"))
        .set("width", WIDTH)
        .set("height", height)
        .set("class", "tl")
        .set("role", "img")
        .set("aria-labelledby", format!("{title_id} {about_id}"))
        .add(Title::new(title.clone()).set("id", title_id))
        .add(
            Description::new()
                .set("id", about_id)
                .add(svg::node::Text::new(description)),
        )
        .add(Style::new(STYLE))
        .add(rectangle("paper", 0.0, 0.0, WIDTH, height))
        .add(text("head", 16.0, 28.0, title))
        .add(legend(line));
    if let Some(first) = line.lanes.first() {
        document = document.add(bands(first, &axis, height - 36.0));
    }
    for (index, lane) in line.lanes.iter().enumerate() {
        document = document.add(draw_lane(lane, &axis, TOP + LANE * index as f64));
    }
    let cut = if steps < all {
        format!(" (the first {steps} of {all})")
    } else {
        String::new()
    };
    let below = format!(
        "calls, stores and re-entries in the order of events{cut}, the same in every lane →"
    );
    format!(
        "{}\n",
        document.add(text("small", LEFT, height - 14.0, below))
    )
}

/// The title, and the description.
fn words(line: &TimeLine, all: usize) -> (String, String) {
    let (outer, inner) = line.lanes.first().map_or((0, 0), Lane::stores);
    let title = format!(
        "{}: {outer} stores in a section, {inner} by the allocator that re-enters the mode inside it",
        line.run
    );
    let counts = line.lanes.iter().map(|lane| {
        let pairs = lane.pairs();
        format!("{} {pairs}", lane.policy.word())
    });
    let description = format!(
        "A lane for each policy over the same {all} steps. Barrier pairs (dsb ishst; isb) executed: {}. \
         Drawn from the events of a run.",
        counts.collect::<Vec<_>>().join(", ")
    );
    (title, description)
}

/// What the marks are: those that the picture has.
fn legend(line: &TimeLine) -> Group {
    let (y, middle) = (52.0, 48.0);
    let has = |wanted| {
        let mut bars = line.lanes.iter().flat_map(|lane| &lane.bars);
        bars.any(|(_, bar)| *bar == wanted)
    };
    let mut group = Group::new();
    let mut x = 18.0;
    let entries = [
        ("store", "a store", 78.0),
        ("pair", "a pair: dsb ishst; isb", 172.0),
        ("owed", "stores that owe a pair", 186.0),
        ("depth", "open sections", 130.0),
        ("tlbi", "TLBI", 62.0),
        ("paid", "paid by an invalidation", 180.0),
    ];
    for (class, words, width) in entries {
        if class == "tlbi" && !has(Bar::Tlbi) || class == "paid" && !has(Bar::Invalidated) {
            continue;
        }
        group = match class {
            "owed" => group.add(rectangle(class, x - 4.0, middle - 8.0, 16.0, 14.0)),
            "depth" => {
                let steps = Data::new().move_to((x - 6.0, middle + 5.0)).line_by((7, 0));
                let steps = steps.line_by((0, -10)).line_by((7, 0));
                group.add(Path::new().set("class", class).set("d", steps))
            }
            "tlbi" => group.add(diamond(x + 3.0, middle)),
            _ => group.add(vertical(class, x + 4.0, middle - 8.0, middle + 6.0)),
        };
        group = group.add(text("small", x + 16.0, y, words));
        x += width;
    }
    group
}

/// Where the allocator is inside of the section, behind all lanes.
fn bands(lane: &Lane, axis: &Axis, bottom: f64) -> Group {
    let mut group = Group::new();
    let (mut begun, mut labelled) = (None, false);
    for (index, step) in lane.steps.iter().take(axis.steps).enumerate() {
        match step {
            Step::Reenter(true) => begun = Some(axis.at(index)),
            Step::Reenter(false) => {
                let Some(x) = begun.take() else { continue };
                let width = axis.at(index) - x;
                group = group.add(rectangle("band", x, TOP - 8.0, width, bottom - TOP + 8.0));
                if width > 58.0 || !labelled {
                    labelled = true;
                    let label = text("small", x + width / 2.0, TOP - 13.0, "allocator");
                    group = group.add(label.set("text-anchor", "middle"));
                }
            }
            _ => {}
        }
    }
    group
}

fn draw_lane(lane: &Lane, axis: &Axis, y: f64) -> Group {
    let base = y + BASE;
    let bottom = base + 20.0;
    let mut group = Group::new()
        .add(text("name", 16.0, y + 24.0, lane.policy.word()))
        .add(text("small", 16.0, y + 42.0, about(lane.policy)));
    for (depth, label) in ["0", "1", "2"].into_iter().enumerate() {
        let at = base - LEVEL * depth as f64;
        let rule = Line::new().set("x1", LEFT).set("x2", axis.end());
        group = group
            .add(rule.set("y1", at).set("y2", at).set("class", "rule"))
            .add(text("small", LEFT - 8.0, at + 4.0, label).set("text-anchor", "end"));
    }
    for (from, until) in &lane.pending {
        if *from >= axis.steps {
            break;
        }
        let x = axis.at(*from);
        let end = until.map_or(axis.end(), |bar| axis.bar(&lane.bars, bar));
        let width = end.min(axis.end()) - x;
        group = group.add(rectangle("owed", x, y + 8.0, width, bottom - y - 8.0));
    }
    group = group.add(depths(lane, axis, base));
    for (index, step) in lane.steps.iter().take(axis.steps).enumerate() {
        if *step == Step::Store {
            group = group.add(vertical("store", axis.at(index), base + 5.0, bottom));
        }
    }
    for (index, (behind, bar)) in lane.bars.iter().enumerate() {
        if *behind > axis.steps {
            break;
        }
        let x = axis.bar(&lane.bars, index);
        group = match bar {
            Bar::Pair => group.add(vertical("pair", x, y + 8.0, bottom)),
            Bar::Invalidated => group.add(vertical("paid", x, y + 8.0, bottom)),
            Bar::Tlbi => group.add(diamond(x, y + 14.0)),
        };
    }
    let pairs = lane.pairs();
    let words = format!("{pairs} pair{}", if pairs == 1 { "" } else { "s" });
    group.add(text("name", axis.end() + 12.0, base - LEVEL + 5.0, words))
}

/// How many sections are open, as steps.
fn depths(lane: &Lane, axis: &Axis, base: f64) -> Path {
    let mut data = Data::new().move_to((LEFT, base));
    for (index, depth) in lane.depths.iter().take(axis.steps).enumerate() {
        data = data
            .horizontal_line_to(round(axis.at(index)))
            .vertical_line_to(round(base - LEVEL * f64::from(*depth)));
    }
    let data = data.horizontal_line_to(axis.end());
    Path::new().set("class", "depth").set("d", data)
}

/// To a tenth of a pixel.
fn round(x: f64) -> f64 {
    (x * 10.0).round() / 10.0
}

fn text(class: &str, x: f64, y: f64, words: impl Into<String>) -> Text {
    Text::new(words.into())
        .set("class", class)
        .set("x", round(x))
        .set("y", round(y))
}

fn rectangle(class: &str, x: f64, y: f64, width: f64, height: f64) -> Rectangle {
    Rectangle::new()
        .set("class", class)
        .set("x", round(x))
        .set("y", round(y))
        .set("width", round(width))
        .set("height", round(height))
}

fn vertical(class: &str, x: f64, from: f64, to: f64) -> Line {
    Line::new()
        .set("class", class)
        .set("x1", round(x))
        .set("x2", round(x))
        .set("y1", round(from))
        .set("y2", round(to))
}

fn diamond(x: f64, y: f64) -> Path {
    let data = Data::new().move_to((round(x), round(y - 6.0)));
    let data = data
        .line_by((5, 6))
        .line_by((-5, 6))
        .line_by((-5, -6))
        .close();
    Path::new().set("class", "tlbi").set("d", data)
}
