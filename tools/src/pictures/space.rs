//! The address space before and after the kernel leaves the tables that it was linked with, from what [`tables`](super::tables) has read.
//!
//! Addresses grow downwards, and not to scale: the two halves are 2^64 bytes apart, and a guard has 2^15. Each area of the address space
//! is a band. In it stands, on both sides, what is mapped and how large the gaps are.

use stage1_paging::Access;
use svg::node::element::Group;

use super::areas::{AREAS, LOWER_END, Row, Stretch, size};
use super::tables::Tables;
use crate::pen::{WIDTH, centred, line, rectangle, sheet, text};

const STYLE: &str = "
.pic .none { fill: none; stroke: var(--faint); stroke-dasharray: 3 3; } .pic .ro { fill: var(--faint); } .pic .rw { fill: var(--tlbi); }
.pic .rx { fill: var(--depth); } .pic .rwx { fill: var(--pair); } .pic .edge { stroke: var(--faint); stroke-dasharray: 2 4; }
.pic .at { font-family: ui-monospace, 'DejaVu Sans Mono', monospace; font-size: 10.5px; fill: var(--faint); }
.pic .may { font-family: ui-monospace, 'DejaVu Sans Mono', monospace; font-size: 12px; font-weight: 600; } .pic .what { font-size: 12px; }
";

/// What is before, and what is after.
const SIDES: [(&str, &str); 2] = [
    ("before", "the boot code's tables, as replace_ttbr1 begins"),
    ("after", "the kernel's own tables, as the run begins"),
];

const NOTE: [&str; 3] = [
    "One boot (two cores, 256 MiB, check=on trace=on), stopped twice; gdb read the tables from its memory. The events that the boot recorded",
    "say the same about the right side. The linker fills in the tables on the left (boot/src/tables.s). On the right, the linear map is in",
    "pages, and leaves free frames out (debug=on). The run maps more: frames that it allocates, pages of the vmap area and of lower halves.",
];

/// The top of the first band.
const TOP: f64 = 122.0;
/// A line of a band, and what a band has besides: its name above, some space below.
const LINE: f64 = 18.0;
const NAME: f64 = 21.0;
const BELOW: f64 = 5.0;
/// The room between the halves.
const BETWEEN: f64 = 22.0;
/// Where each side begins; where its bar stands from there on, and how wide that is.
const LEFT: [f64; 2] = [16.0, 454.0];
const BAR: f64 = 110.0;
const BAR_WIDTH: f64 = 26.0;

/// How high a stretch is, but for the last one.
fn height_of(row: &Row) -> f64 {
    match row.stretch {
        Stretch::Mapped { times: 2.., .. } => 2.0 * LINE,
        _ => LINE,
    }
}

/// What EL1 may do, as a class of elements.
fn class(access: Access) -> &'static str {
    match access {
        Access::ReadOnly => "ro",
        Access::ReadWrite => "rw",
        Access::ReadExecute => "rx",
        Access::ReadWriteExecute => "rwx",
    }
}

/// Draws both.
#[must_use]
pub fn draw(tables: &[Tables; 2]) -> String {
    let bands: Vec<[Vec<Row>; 2]> = (0..AREAS.len())
        .map(|area| tables.each_ref().map(|side| side.rows(area)))
        .collect();
    let height_of = |band: &[Vec<Row>; 2]| {
        let sides = band.each_ref().map(|rows| rows.iter().map(height_of).sum());
        NAME + f64::max(sides[0], sides[1]) + BELOW
    };
    let bottom = TOP + BETWEEN + bands.iter().map(height_of).sum::<f64>();
    let height = bottom + 17.0 * NOTE.len() as f64 + 14.0;
    let title = "The address space before and after the change of tables";
    let mut document = sheet("address-space", height, title, &description(tables), STYLE);
    document = document.add(legend()).add(heads(tables));
    let mut y = TOP;
    for (area, band) in bands.iter().enumerate() {
        if area == 1 {
            document = document.add(between(y));
            y += BETWEEN;
        }
        let height = height_of(band);
        if area % 2 == 0 {
            document = document.add(rectangle("band", 8.0, y, WIDTH - 16.0, height));
        }
        document = document.add(text("of", LEFT[0], y + 15.0, AREAS[area].1));
        let within = [y + NAME, y + height - BELOW];
        for (side, rows) in band.iter().enumerate() {
            document = document.add(column(&tables[side], rows, LEFT[side], within));
        }
        y += height;
    }
    for (index, words) in (1..).zip(NOTE) {
        let y = bottom + 17.0 * f64::from(index);
        document = document.add(text("small", LEFT[0], y, words));
    }
    format!("{document}\n")
}

/// What lies between the halves.
fn between(y: f64) -> Group {
    let (y, middle) = (y + 11.0, WIDTH / 2.0);
    let words = format!("no addresses, {}", size(0_u64.wrapping_sub(2 * LOWER_END)));
    Group::new()
        .add(line("edge", (16.0, y), (middle - 90.0, y)))
        .add(line("edge", (middle + 90.0, y), (WIDTH - 16.0, y)))
        .add(centred("small", middle, y + 4.0, words))
}

/// A side's part of a band: the last stretch goes on to its bottom.
fn column(tables: &Tables, rows: &[Row], x: f64, [top, bottom]: [f64; 2]) -> Group {
    let mut group = Group::new();
    let mut y = top;
    for (index, row) in rows.iter().enumerate() {
        let is_last = index + 1 == rows.len();
        let end = if is_last { bottom } else { y + height_of(row) };
        group = group.add(text("at", x, y + 12.5, format!("{:016x}", row.at)));
        group = bar(group, row, x + BAR, [y, end]);
        let x = x + BAR + BAR_WIDTH + 8.0;
        let (indent, class) = match row.stretch {
            Stretch::Gap(_) => (0.0, "small"),
            Stretch::Mapped { .. } => (29.0, "what"),
        };
        if let Some(may) = may(row) {
            group = group.add(text("may", x, y + 13.0, may));
        }
        for (index, words) in tables.words(&row.stretch).into_iter().enumerate() {
            let y = y + 13.0 + (LINE - 2.0) * index as f64;
            group = group.add(text(class, x + indent, y, words));
        }
        y = end;
    }
    group
}

/// What EL1 may do in a stretch.
fn may(row: &Row) -> Option<String> {
    match row.stretch {
        Stretch::Gap(_) => None,
        Stretch::Mapped { each, .. } => Some(format!("{:?}", each.desc.access())),
    }
}

/// A stretch as it lies in memory.
fn bar(group: Group, row: &Row, x: f64, [from, to]: [f64; 2]) -> Group {
    let Stretch::Mapped { each, times, .. } = row.stretch else {
        let (width, height) = (BAR_WIDTH - 1.0, to - from - 1.0);
        return group.add(rectangle("none", x + 0.5, from + 0.5, width, height));
    };
    let class = class(each.desc.access());
    // More than four could not be told apart.
    let times = times.min(4);
    let one = (to - from) / times as f64;
    let guard = if times > 1 { one / 2.0 } else { 0.0 };
    (0..times).fold(group, |group, n| {
        let y = from + one * n as f64 + guard + 0.5;
        group.add(rectangle(class, x, y, BAR_WIDTH, one - guard - 1.0))
    })
}

/// What a write may make executable, in words.
fn wxn(tables: &Tables) -> &'static str {
    if tables.wxn {
        "SCTLR_EL1.WXN = 1: what is writable is never executable"
    } else {
        "SCTLR_EL1.WXN = 0: what is writable may be executable"
    }
}

fn heads(tables: &[Tables; 2]) -> Group {
    let mut group = Group::new();
    for (x, ((name, what), tables)) in LEFT.into_iter().zip(SIDES.into_iter().zip(tables)) {
        group = group
            .add(text("name", x, TOP - 28.0, name))
            .add(text("small", x + 66.0, TOP - 28.0, what))
            .add(text("small", x + 66.0, TOP - 12.0, wxn(tables)));
    }
    group
}

fn legend() -> Group {
    let y = 54.0;
    let mut group = Group::new();
    let mut x = 16.0;
    for (class, words, width) in [
        ("rx", "r-x", 64.0),
        ("ro", "r--", 64.0),
        ("rw", "rw-", 64.0),
        ("rwx", "rwx", 64.0),
        ("none", "not mapped", 118.0),
    ] {
        group = group
            .add(rectangle(class, x, y - 11.0, 18.0, 14.0))
            .add(text("small", x + 25.0, y, words));
        x += width;
    }
    let words = "what EL1 may do; addresses grow downwards, not to scale";
    group.add(text("small", x, y, words))
}

/// All of it in words, for who does not see it.
fn description(tables: &[Tables; 2]) -> String {
    let mut all = String::new();
    for ((name, what), tables) in SIDES.into_iter().zip(tables) {
        all += &format!("{name}: {what}; {}. ", wxn(tables));
        for (area, (_, name)) in AREAS.into_iter().enumerate() {
            let rows = tables.rows(area).into_iter().map(|row| {
                let may = may(&row).map_or(String::new(), |may| may + " ");
                let words = tables.words(&row.stretch).join(", ");
                format!("{:016x} {may}{words}", row.at)
            });
            all += &format!("{name}: {}. ", rows.collect::<Vec<_>>().join("; "));
        }
    }
    all + &NOTE.join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::tables::{self, tests::CUT};
    use super::*;

    #[test]
    fn what_is_mapped_is_seen_and_said() {
        let tables = tables::parse(CUT).unwrap();
        let drawn = draw(&tables);
        let count = |what: &str| drawn.matches(what).count();
        // Two in the legend and the drawing each, but for the stacks, which are two.
        assert_eq!(count("class=\"rx\""), 3, "{drawn}");
        assert_eq!(count("class=\"rw\""), 1 + 2 + 2);
        assert_eq!(count("class=\"ro\""), 2);
        assert_eq!(count("class=\"rwx\""), 1);
        let said = "ffffa00000400000 rw- 2 × 32 KiB in pages, Normal, each above a guard of 32 KiB";
        assert!(drawn.contains(said));
        assert!(drawn.contains("WXN = 0: what is writable may be") && drawn.contains("WXN = 1"));
    }

    #[test]
    fn no_line_is_longer_than_its_side() {
        // At 12 px a character of these words is 6.5 px wide at most.
        let tables = tables::parse(CUT).unwrap();
        for row in (0..AREAS.len()).flat_map(|area| tables[1].rows(area)) {
            for words in tables[1].words(&row.stretch) {
                assert!(words.chars().count() < 41, "{words}");
            }
        }
    }
}
