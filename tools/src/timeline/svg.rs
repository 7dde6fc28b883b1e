//! The time line as an SVG file: light and dark by what the reader prefers, and a description for who does not see it.

use mmu_check::event::Policy;
use svg::node::element::{Group, Line, Path, path::Data};

use super::{Bar, Lane, Step, TimeLine};
use crate::pen::{WIDTH, centred, diamond, rectangle, round, sheet, text, vertical};

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

const STYLE: &str = "
.pic .owed { fill: var(--owed); fill-opacity: .45; } .pic .depth { fill: none; stroke: var(--depth); stroke-width: 2.5; }
.pic .store { stroke: var(--ink); stroke-width: 2; } .pic .pair { stroke: var(--pair); stroke-width: 5; }
.pic .paid { stroke: var(--pair); stroke-width: 2; stroke-dasharray: 3 2; } .pic .tlbi { fill: var(--tlbi); }
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
    let id = format!("tl-{}", line.run);
    let mut document = sheet(&id, height, &title, &description, STYLE).add(legend(line));
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
            "tlbi" => group.add(diamond(class, x + 3.0, middle)),
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
                    group = group.add(centred("small", x + width / 2.0, TOP - 13.0, "allocator"));
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
            Bar::Tlbi => group.add(diamond("tlbi", x, y + 14.0)),
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
