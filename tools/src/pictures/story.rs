//! A few events on several cores, a lane for each core, in the order in which they were reported.
//!
//! [`migration`](super::migration) and [`wait`](super::wait) find theirs in a trace; here they are drawn.

use svg::node::element::{Group, Path, path::Data};

use crate::pen::{self, WIDTH, line, rectangle, round, sheet, text, vertical};

const STYLE: &str = "
.pic .shade { fill: var(--owed); fill-opacity: .45; } .pic .runs { stroke: var(--depth); stroke-width: 3; }
.pic .tick { stroke: var(--ink); stroke-width: 2; } .pic .barrier { stroke: var(--pair); stroke-width: 5; } .pic .inv { stroke: var(--tlbi); stroke-width: 5; }
.pic .link { fill: none; stroke: var(--ink); stroke-width: 1.5; stroke-dasharray: 4 3; } .pic .tip { fill: var(--ink); }
.pic .carried { fill: var(--owed); fill-opacity: .2; }
";

const LEFT: f64 = 96.0;
const TOP: f64 = 176.0;
const LANE: f64 = 150.0;
const BAND: f64 = 34.0;
const LINE: f64 = 17.0;

/// What a mark looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// A line.
    Tick,
    /// A barrier.
    Barrier,
    /// An invalidation.
    Invalidates,
}

/// An event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    /// The core that reported it.
    pub core: u8,
    /// What it is.
    pub label: String,
    /// What it looks like.
    pub form: Form,
}

/// A stretch of a core's lane, from a mark to a mark.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Span {
    /// The core.
    pub core: u8,
    /// The numbers of the marks.
    pub from: usize,
    /// The last.
    pub to: usize,
}

/// What is drawn.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Story {
    /// A name of its own, for the elements of the picture.
    pub id: &'static str,
    /// Its heading.
    pub title: String,
    /// What the shade is.
    pub shade: &'static str,
    /// What stands below, in lines.
    pub note: Vec<String>,
    /// The events, in their order.
    pub marks: Vec<Mark>,
    /// Where a task of the story runs, and which.
    pub runs: Vec<(Span, u16)>,
    /// Where what the story is about holds.
    pub shades: Vec<Span>,
    /// What leads from a mark on one core to one on another; whether the shade goes along.
    pub links: Vec<(usize, usize, bool)>,
}

impl Story {
    /// The cores of its lanes.
    fn cores(&self) -> Vec<u8> {
        let mut cores: Vec<u8> = self.marks.iter().map(|mark| mark.core).collect();
        cores.sort_unstable();
        cores.dedup();
        cores
    }

    fn x(&self, mark: usize) -> f64 {
        LEFT + (WIDTH - LEFT - 24.0) * (mark as f64 + 0.5) / self.marks.len().max(1) as f64
    }

    /// The top of a core's band.
    fn y(&self, core: u8) -> f64 {
        let lane = self.cores().iter().position(|other| *other == core);
        TOP + LANE * lane.unwrap_or(0) as f64
    }

    /// The events in words, for who does not see them.
    fn description(&self) -> String {
        let marks = self
            .marks
            .iter()
            .map(|mark| format!("core {}: {}", mark.core, mark.label));
        let marks = marks.collect::<Vec<_>>().join("; ");
        format!("In the order of events: {marks}. {}", self.note.join(" "))
    }

    /// Draws it.
    #[must_use]
    pub fn draw(&self) -> String {
        let lanes = TOP + LANE * self.cores().len() as f64 - 66.0;
        let height = lanes + LINE * self.note.len() as f64 + 8.0;
        let mut document =
            sheet(self.id, height, &self.title, &self.description(), STYLE).add(self.legend());
        for core in self.cores() {
            let y = self.y(core) + BAND / 2.0;
            document = document
                .add(text("name", 16.0, y + 5.0, format!("core {core}")))
                .add(line("rule", (LEFT, y), (WIDTH - 16.0, y)));
        }
        document = document.add(self.links());
        for span in &self.shades {
            let (from, to) = (self.x(span.from), self.x(span.to));
            document = document.add(rectangle("shade", from, self.y(span.core), to - from, BAND));
        }
        for (span, task) in &self.runs {
            let y = self.y(span.core) + BAND + 8.0;
            let (from, to) = (self.x(span.from) - 6.0, self.x(span.to) + 6.0);
            document = document.add(line("runs", (from, y), (to, y))).add(text(
                "small",
                from,
                y + 16.0,
                format!("task {task}"),
            ));
        }
        for (index, mark) in self.marks.iter().enumerate() {
            document = document.add(self.mark(index, mark));
        }
        for (line, words) in (1..).zip(&self.note) {
            let y = lanes + LINE * f64::from(line);
            document = document.add(text("small", 16.0, y - 2.0, words.as_str()));
        }
        format!("{document}\n")
    }

    fn legend(&self) -> Group {
        let y = 54.0;
        let mut group = Group::new()
            .add(rectangle("shade", 16.0, y - 12.0, 28.0, 14.0))
            .add(text("small", 52.0, y, self.shade));
        let mut x = 330.0;
        for (form, words, width) in [
            (Form::Barrier, "a barrier", 90.0),
            (Form::Invalidates, "TLBI", 70.0),
            (Form::Tick, "anything else, in the order of events", 240.0),
        ] {
            if self.marks.iter().any(|mark| mark.form == form) {
                group = group
                    .add(vertical(class(form), x, y - 12.0, y + 3.0))
                    .add(text("small", x + 10.0, y, words));
                x += width;
            }
        }
        group
    }

    fn mark(&self, index: usize, mark: &Mark) -> Group {
        let (x, y) = (self.x(index), self.y(mark.core));
        let place = format!("rotate(-55 {} {})", round(x + 3.0), round(y - 8.0));
        let label = text("small", x + 3.0, y - 8.0, mark.label.as_str());
        Group::new()
            .add(vertical(class(mark.form), x, y - 2.0, y + BAND + 2.0))
            .add(label.set("transform", place))
    }

    fn links(&self) -> Group {
        let mut group = Group::new();
        for (from, to, carried) in &self.links {
            let place = |mark: usize| {
                self.marks
                    .get(mark)
                    .map(|found| (self.x(mark), self.y(found.core)))
            };
            let (Some((x1, y1)), Some((x2, y2))) = (place(*from), place(*to)) else {
                continue;
            };
            // From the edge of one band to the near edge of the other.
            let down = y2 > y1;
            let (start, end) = if down {
                (y1 + BAND, y2)
            } else {
                (y1, y2 + BAND)
            };
            if *carried {
                let shape = Data::new().move_to((round(x1), round(y1)));
                let shape = shape.line_to((round(x1), round(y1 + BAND)));
                let shape = shape
                    .line_to((round(x2), round(y2 + BAND)))
                    .line_to((round(x2), round(y2)));
                group = group.add(Path::new().set("class", "carried").set("d", shape.close()));
            }
            let tip = if down { -7.0 } else { 7.0 };
            let head = Data::new().move_to((round(x2), round(end)));
            let head = head.line_by((-4, tip)).line_by((8, 0)).close();
            group = group
                .add(pen::line("link", (x1, start), (x2, end)))
                .add(Path::new().set("class", "tip").set("d", head));
        }
        group
    }
}

fn class(form: Form) -> &'static str {
    match form {
        Form::Tick => "tick",
        Form::Barrier => "barrier",
        Form::Invalidates => "inv",
    }
}
