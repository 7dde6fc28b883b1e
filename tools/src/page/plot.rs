//! The plots, by plotters. It writes colours and no classes, so the page's style picks elements by the colour that they were
//! given here, and puts the reader's in its place.

use std::error::Error;
use std::fmt::Write;

use plotters::coord::combinators::IntoLogRange;
use plotters::prelude::*;

use maud::{Markup, html};

/// Width of a plot in units, which are pixels where there is room.
pub const WIDTH: u32 = 760;
/// Height of a plot.
pub const HEIGHT: u32 = 400;

/// What stands for the reader's colours of text and of rules.
const INK: RGBColor = RGBColor(0x11, 0x11, 0x11);
const RULE: RGBColor = RGBColor(0xcc, 0xcc, 0xcc);

/// The policies' colours, of the palette of Okabe and Ito; the page has a variable of the policy's name for each.
const COLOURS: [(&str, RGBColor); 5] = [
    ("eager", RGBColor(0xe6, 0x9f, 0x00)),
    ("flat", RGBColor(0x56, 0xb4, 0xe9)),
    ("reenter", RGBColor(0x00, 0x9e, 0x73)),
    ("v3", RGBColor(0xd5, 0x5e, 0x00)),
    ("linux7", RGBColor(0x00, 0x72, 0xb2)),
];

/// What is plotted: a line of points, each a size and a value.
#[derive(Clone, PartialEq, Debug)]
pub struct Series {
    /// A policy, or a system.
    pub name: String,
    /// The points, by size.
    pub points: Vec<(u64, f64)>,
}

/// A policy's colour is its own. The bare loop is of the text's colour, and systems take the policies' in their order.
fn colour(name: &str, index: usize) -> RGBColor {
    if name == "floor" {
        return INK;
    }
    let known = COLOURS.iter().find(|(policy, _)| *policy == name);
    known.unwrap_or(&COLOURS[(index + 2) % COLOURS.len()]).1
}

/// The corner that the fewest lines come near: where the names stand.
fn corner(series: &[Series]) -> SeriesLabelPosition {
    let logarithms = |(x, y): (u64, f64)| ((x as f64).max(1.0).log2(), y.max(1.0).log2());
    let mut points: Vec<(f64, f64)> = Vec::new();
    for line in series {
        let at: Vec<_> = line.points.iter().copied().map(logarithms).collect();
        let between = at
            .windows(2)
            .map(|two| ((two[0].0 + two[1].0) / 2.0, (two[0].1 + two[1].1) / 2.0));
        points.extend(between);
        points.extend(at);
    }
    let part = |of: fn(&(f64, f64)) -> f64| {
        let least = points.iter().map(of).fold(f64::MAX, f64::min);
        let most = points.iter().map(of).fold(f64::MIN, f64::max);
        move |point: &(f64, f64)| (of(point) - least) / (most - least).max(1e-9)
    };
    let (x, y) = (part(|point| point.0), part(|point| point.1));
    let near = |right: bool, top: bool| {
        let is_near = |point: &&(f64, f64)| {
            let across = if right { 1.0 - x(point) } else { x(point) };
            let up = if top { 1.0 - y(point) } else { y(point) };
            across < 0.4 && up < 0.4
        };
        points.iter().filter(is_near).count()
    };
    let corners = [
        (SeriesLabelPosition::UpperLeft, near(false, true)),
        (SeriesLabelPosition::LowerLeft, near(false, false)),
        (SeriesLabelPosition::UpperRight, near(true, true)),
        (SeriesLabelPosition::LowerRight, near(true, false)),
    ];
    let free = corners.into_iter().min_by_key(|(_, lines)| *lines);
    free.map_or(SeriesLabelPosition::UpperLeft, |(corner, _)| corner)
}

/// The table of a plot: a row for each size, a column for each line.
pub fn table(over: &str, title: &str, series: &[Series], show: impl Fn(f64) -> String) -> Markup {
    let mut sizes: Vec<u64> = Vec::new();
    sizes.extend(
        series
            .iter()
            .flat_map(|series| series.points.iter().map(|(size, _)| *size)),
    );
    sizes.sort_unstable();
    sizes.dedup();
    let at = |series: &Series, size: u64| {
        let found = series.points.iter().find(|(at, _)| *at == size);
        found.map(|(_, value)| show(*value))
    };
    html! {
        table {
            caption { (title) }
            thead { tr { th scope="col" { (over) } @for series in series { th scope="col" { (series.name) } } } }
            tbody { @for size in &sizes {
                tr { th scope="row" { (size) } @for series in series {
                    td { @if let Some(value) = at(series, *size) { (value) } }
                } }
            } }
        }
    }
}

/// CSS: each colour that is drawn with here is the page's variable.
pub fn style() -> String {
    let mut style = String::new();
    for (name, RGBColor(r, g, b)) in COLOURS {
        // Writing to a String does not fail.
        let _ = writeln!(
            style,
            ".plot [stroke='#{r:02X}{g:02X}{b:02X}'] {{ stroke: var(--{name}); }} .plot [fill='#{r:02X}{g:02X}{b:02X}'] {{ fill: var(--{name}); }}"
        );
    }
    style
}

/// Draws values over sizes, both axes logarithmic. A line has marks of its own form beside its colour, and lines that coincide are both
/// seen: the last form is a ring around the one before it.
pub fn draw(over: &str, what: &str, series: &[Series]) -> Result<String, Box<dyn Error>> {
    let points = || {
        series
            .iter()
            .flat_map(|series| series.points.iter().copied())
    };
    let span = |values: &mut dyn Iterator<Item = f64>| {
        let (least, most) = values.fold((f64::MAX, 1.0_f64), |(least, most), value| {
            (least.min(value.max(1.0)), most.max(value))
        });
        (least <= most).then(|| (least / 1.25)..(most * 1.25))
    };
    let nothing = "the reports have no rows";
    let xs = span(&mut points().map(|(size, _)| size as f64)).ok_or(nothing)?;
    let ys = span(&mut points().map(|(_, value)| value)).ok_or(nothing)?;
    let mut svg = String::new();
    let root = SVGBackend::with_string(&mut svg, (WIDTH, HEIGHT)).into_drawing_area();
    // plotters makes a size smaller by 1.24 when it writes SVG: this is 13 there.
    let text = ("sans-serif", 16).into_font().color(&INK);
    let mut chart = ChartBuilder::on(&root)
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(60)
        .build_cartesian_2d(xs.log_scale().base(2.0), ys.log_scale().base(2.0))?;
    chart
        .configure_mesh()
        .disable_mesh()
        .axis_style(INK)
        .label_style(text.clone())
        .axis_desc_style(text.clone())
        .x_desc(over)
        .y_desc(what)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .draw()?;
    for (index, Series { name, points }) in series.iter().enumerate() {
        let colour = colour(name, index);
        let at: Vec<(f64, f64)> = points
            .iter()
            .map(|(x, y)| (*x as f64, y.max(1.0)))
            .collect();
        chart.draw_series(LineSeries::new(at.clone(), colour.stroke_width(2)))?;
        // plotters wants elements of one type in a series and in its label.
        macro_rules! marks {
            ($mark:ident, $size:expr, $style:expr) => {{
                let mark = move |at| $mark::new(at, $size, $style);
                let series = chart.draw_series(at.into_iter().map(mark))?;
                let mark = move |(x, y)| $mark::new((x + 8, y), $size, $style);
                series.label(name).legend(mark)
            }};
        }
        let (full, hollow) = (colour.filled(), colour.stroke_width(2));
        match index {
            0 => marks!(Circle, 4, full),
            1 => marks!(TriangleMarker, 6, full),
            2 => marks!(Cross, 6, hollow),
            3 => marks!(Circle, 5, hollow),
            _ => marks!(Circle, 9, hollow),
        };
    }
    chart
        .configure_series_labels()
        .position(corner(series))
        .label_font(text)
        .border_style(RULE)
        .draw()?;
    root.present()?;
    drop(chart);
    drop(root);
    Ok(svg)
}
