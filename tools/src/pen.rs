//! What the pictures have in common: the sheet, its colours, and simple marks.
//!
//! They are no plots of a library's: `plotters` has no classes for its elements, hence no dark and light, and no title and description for
//! who does not see it.

use svg::Document;
use svg::node::element::{Description, Line, Path, Rectangle, Style, Text, Title, path::Data};

/// How wide a picture is: a README's column.
pub const WIDTH: f64 = 900.0;

/// Colours of Okabe and Ito, which people with any kind of colour vision can distinguish; the dark ones are lighter.
const STYLE: &str = "
.pic { --paper: #ffffff; --ink: #1b1f24; --faint: #59636e; --rule: #d1d9e0; --band: #f0f3f6; --depth: #009e73; --pair: #d55e00; --owed: #e69f00; --tlbi: #0072b2; }
@media (prefers-color-scheme: dark) { .pic { --paper: #0d1117; --ink: #f0f3f6; --faint: #9da7b3; --rule: #3d444d; --band: #1b222b; --depth: #2fd0a3; --pair: #ff8a3d; --owed: #f0b429; --tlbi: #56b4e9; } }
.pic text { font-family: system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; font-size: 13px; fill: var(--ink); }
.pic .head { font-size: 16px; font-weight: 600; } .pic .name { font-size: 15px; font-weight: 600; } .pic .small { font-size: 12px; fill: var(--faint); }
.pic .paper { fill: var(--paper); } .pic .band { fill: var(--band); } .pic .rule { stroke: var(--rule); }
";

/// An empty picture: `id` is its own on a page of several, `style` is for its own classes. It follows what the reader prefers, light or
/// dark, and `description` is for who does not see it.
#[must_use]
pub fn sheet(id: &str, height: f64, title: &str, description: &str, style: &str) -> Document {
    let [title_id, about_id] = ["title", "about"].map(|part| format!("{id}-{part}"));
    Document::new()
        .set("viewBox", format!("0 0 {WIDTH} {height}"))
        .set("width", WIDTH)
        .set("height", height)
        .set("class", "pic")
        .set("role", "img")
        .set("aria-labelledby", format!("{title_id} {about_id}"))
        .add(Title::new(title).set("id", title_id))
        .add(
            Description::new()
                .set("id", about_id)
                .add(svg::node::Text::new(description)),
        )
        .add(Style::new(format!("{STYLE}{}", style.trim_start())))
        .add(rectangle("paper", 0.0, 0.0, WIDTH, height))
        .add(text("head", 16.0, 28.0, title))
}

/// To a tenth of a pixel.
#[must_use]
pub fn round(x: f64) -> f64 {
    (x * 10.0).round() / 10.0
}

/// Words, from `x` on.
pub fn text(class: &str, x: f64, y: f64, words: impl Into<String>) -> Text {
    Text::new(words.into())
        .set("class", class)
        .set("x", round(x))
        .set("y", round(y))
}

/// Words around `x`.
pub fn centred(class: &str, x: f64, y: f64, words: impl Into<String>) -> Text {
    text(class, x, y, words).set("text-anchor", "middle")
}

/// A rectangle.
#[must_use]
pub fn rectangle(class: &str, x: f64, y: f64, width: f64, height: f64) -> Rectangle {
    Rectangle::new()
        .set("class", class)
        .set("x", round(x))
        .set("y", round(y))
        .set("width", round(width))
        .set("height", round(height))
}

/// A line between two points.
#[must_use]
pub fn line(class: &str, from: (f64, f64), to: (f64, f64)) -> Line {
    Line::new()
        .set("class", class)
        .set("x1", round(from.0))
        .set("x2", round(to.0))
        .set("y1", round(from.1))
        .set("y2", round(to.1))
}

/// A line down.
#[must_use]
pub fn vertical(class: &str, x: f64, from: f64, to: f64) -> Line {
    line(class, (x, from), (x, to))
}

/// A diamond around a point.
#[must_use]
pub fn diamond(class: &str, x: f64, y: f64) -> Path {
    let data = Data::new().move_to((round(x), round(y - 6.0)));
    let data = data
        .line_by((5, 6))
        .line_by((-5, 6))
        .line_by((-5, -6))
        .close();
    Path::new().set("class", class).set("d", data)
}
