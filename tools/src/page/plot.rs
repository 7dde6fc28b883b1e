//! The plots, by plotters. It writes colours and no classes, so the page's style picks elements by the colour that they were
//! given here, and puts the reader's in its place.

use std::error::Error;
use std::fmt::Write;

use plotters::coord::combinators::IntoLogRange;
use plotters::prelude::*;

use super::Point;

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

fn colour(policy: &str) -> RGBColor {
    let known = COLOURS.iter().find(|(name, _)| *name == policy);
    known.map_or(INK, |(_, colour)| *colour)
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

/// Draws the pairs of each policy over sizes, both axes logarithmic. A policy has a form of its own beside its colour, and lines
/// that coincide are both seen: the last form is a ring around the one before it.
pub fn draw(over: &str, series: &[(String, Vec<Point>)]) -> Result<String, Box<dyn Error>> {
    let points = || series.iter().flat_map(|(_, points)| points.iter().copied());
    let span = |values: &mut dyn Iterator<Item = u64>| {
        let (least, most) = values.fold((u64::MAX, 1), |(least, most), value| {
            (least.min(value.max(1)), most.max(value))
        });
        (least <= most).then(|| (least as f64 / 1.25)..(most as f64 * 1.25))
    };
    let nothing = "the reports have no rows";
    let xs = span(&mut points().map(|(size, _)| size)).ok_or(nothing)?;
    let ys = span(&mut points().map(|(_, pairs)| pairs)).ok_or(nothing)?;
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
        .y_desc("pairs")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .draw()?;
    for (index, (policy, points)) in series.iter().enumerate() {
        let colour = colour(policy);
        let at: Vec<(f64, f64)> = points
            .iter()
            .map(|(x, y)| (*x as f64, (*y).max(1) as f64))
            .collect();
        chart.draw_series(LineSeries::new(at.clone(), colour.stroke_width(2)))?;
        // plotters wants elements of one type in a series and in its label.
        macro_rules! marks {
            ($mark:ident, $size:expr, $style:expr) => {{
                let mark = move |at| $mark::new(at, $size, $style);
                let series = chart.draw_series(at.into_iter().map(mark))?;
                let mark = move |(x, y)| $mark::new((x + 8, y), $size, $style);
                series.label(policy).legend(mark)
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
    // The corner that no line comes near.
    let falls = series.iter().any(|(_, points)| {
        let pairs = |point: Option<&Point>| point.map(|(_, pairs)| *pairs);
        pairs(points.first()) > pairs(points.last())
    });
    let corner = if falls {
        SeriesLabelPosition::LowerLeft
    } else {
        SeriesLabelPosition::UpperLeft
    };
    chart
        .configure_series_labels()
        .position(corner)
        .label_font(text)
        .border_style(RULE)
        .draw()?;
    root.present()?;
    drop(chart);
    drop(root);
    Ok(svg)
}
