//! What stands in each area of the address space, in stretches: what is mapped alike, and the gaps between.

use stage1_paging::Level;

use super::tables::{Leaves, Tables};

/// Where the areas begin, and what they are (`kernel/src/base/layout.rs`). Each ends where the next one begins; the lower half ends at
/// [`LOWER_END`].
pub const AREAS: [(u64, &str); 6] = [
    (0, "lower half (TTBR0_EL1)"),
    (
        0xFFFF_0000_0000_0000,
        "linear map, and from here on TTBR1_EL1",
    ),
    (0xFFFF_8000_0000_0000, "vmap area"),
    (0xFFFF_A000_0000_0000, "stacks"),
    (0xFFFF_C000_0000_0000, "device area"),
    (0xFFFF_FFFF_8000_0000, "the image"),
];

/// From here to the upper half there are no addresses.
pub const LOWER_END: u64 = 1 << 48;

/// A stretch of an area.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stretch {
    /// Nothing is mapped, in so many bytes.
    Gap(u64),
    /// Mapped: once, or several times at the same distance.
    Mapped {
        /// The first.
        each: Leaves,
        /// How many.
        times: u64,
        /// Where there are several: how many bytes before each are not mapped, which belong to the stretch.
        guard: u64,
        /// What it is, where that is known.
        name: Option<&'static str>,
    },
}

/// A stretch, and where it begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// The first address.
    pub at: u64,
    /// What begins there.
    pub stretch: Stretch,
}

/// An area's end; 0 for that of the last.
fn end_of(area: usize) -> u64 {
    match area {
        0 => LOWER_END,
        _ => AREAS.get(area + 1).map_or(0, |next| next.0),
    }
}

/// How many of `leaves` repeat the first, with the same gap before each of them as the first has at least, and that gap. 1 and 0 where
/// nothing repeats.
fn repeats(leaves: &[Leaves], before: u64) -> (usize, u64) {
    let [first, second, ..] = leaves else {
        return (1, 0);
    };
    let distance = second.va - first.va;
    let gap = distance - first.bytes();
    let what = |leaves: &Leaves| (leaves.level, leaves.count, leaves.attributes());
    let is_next =
        |pair: &[Leaves]| what(&pair[0]) == what(&pair[1]) && pair[1].va - pair[0].va == distance;
    let times = 1 + leaves.windows(2).take_while(|pair| is_next(pair)).count();
    match times {
        2.. if gap > 0 && gap <= before => (times, gap),
        _ => (1, 0),
    }
}

impl Tables {
    /// What stands in an area, from its beginning to its end.
    #[must_use]
    pub fn rows(&self, area: usize) -> Vec<Row> {
        let (start, end) = (AREAS[area].0, end_of(area));
        let is_here = |leaves: &&Leaves| (start..=end.wrapping_sub(1)).contains(&leaves.va);
        let all: Vec<Leaves> = self.leaves.iter().filter(is_here).copied().collect();
        let mut rows = Vec::new();
        let mut add = |at, stretch| rows.push(Row { at, stretch });
        let (mut at, mut next) = (start, 0);
        while let Some(&each) = all.get(next) {
            let (times, guard) = repeats(&all[next..], each.va - at);
            let begin = each.va - guard;
            if begin > at {
                add(at, Stretch::Gap(begin - at));
            }
            let mapped = Stretch::Mapped {
                each,
                times: times as u64,
                guard,
                name: self.name(each, begin),
            };
            add(begin, mapped);
            next += times;
            at = all[next - 1].end();
        }
        if at != end {
            add(at, Stretch::Gap(end.wrapping_sub(at)));
        }
        rows
    }

    /// What is mapped in a stretch that begins there.
    fn name(&self, leaves: Leaves, begin: u64) -> Option<&'static str> {
        let symbol = |begin| self.symbols.iter().find(|(at, _)| *at == begin);
        let is_text = |name: &str| name == "__image_start";
        let mut texts = self.leaves.iter().filter(|leaves| {
            let symbol = symbol(leaves.va);
            symbol.is_some_and(|(_, name)| is_text(name))
        });
        match symbol(begin).map(|(_, name)| name.as_str()) {
            Some("__image_start") => Some("text"),
            Some("__text_end") => Some("rodata"),
            Some("__rodata_end") => Some("data, BSS"),
            Some("__stacks_start") => Some("stacks"),
            _ if leaves.va == leaves.pa() => Some("identity"),
            // Once more, as it is RAM.
            _ if texts.any(|text| text.pa() == leaves.pa()) => Some("text, rodata"),
            _ => None,
        }
    }

    /// The memory type of leaves, in the architecture's words where it is one of this kernel's.
    fn memory(&self, leaves: Leaves) -> String {
        match self.mair >> (8 * leaves.desc.memory().index()) & 0xFF {
            0x04 => "Device-nGnRE".to_owned(),
            0xFF => "Normal".to_owned(),
            other => format!("MAIR {other:#04x}"),
        }
    }

    /// A stretch in words: a line, or two where it repeats.
    #[must_use]
    pub fn words(&self, stretch: &Stretch) -> Vec<String> {
        let (each, times, guard, name) = match *stretch {
            Stretch::Gap(bytes) => return vec![format!("not mapped, {}", size(bytes))],
            Stretch::Mapped {
                each,
                times,
                guard,
                name,
            } => (each, times, guard, name),
        };
        let name = name.map_or(String::new(), |name| format!("{name}: "));
        let (bytes, of) = (size(each.bytes()), size(each.level.size()));
        let bytes = match (each.level, each.count) {
            (Level::L3, _) => format!("{bytes} in pages"),
            (_, 1) => format!("one block of {of}"),
            _ => format!("{bytes} in blocks of {of}"),
        };
        let memory = self.memory(each);
        if times == 1 {
            return vec![format!("{name}{bytes}, {memory}")];
        }
        let guard = format!("each above a guard of {}", size(guard));
        vec![format!("{name}{times} × {bytes}, {memory}"), guard]
    }
}

/// Bytes in words: exact where that is short, else to a tenth of the unit.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let unit = (bytes.max(1).ilog2() / 10) as usize;
    let one = 1_u64 << (10 * unit);
    if bytes.is_multiple_of(one) {
        return format!("{} {}", bytes / one, UNITS[unit]);
    }
    // No multiple of its unit, so there is a smaller one.
    let (smaller, count) = (one >> 10, bytes / (one >> 10));
    if bytes.is_multiple_of(smaller) && count < 2048 {
        return format!("{count} {}", UNITS[unit - 1]);
    }
    let about = format!("{:.1}", bytes as f64 / one as f64);
    format!("≈ {} {}", about.trim_end_matches(".0"), UNITS[unit])
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tables::{self, tests::CUT};
    use super::*;
    use crate::places;

    /// What stands in an area of the tables after the change, in words.
    fn shown(cut: &str, area: usize) -> Vec<String> {
        let [_, after] = tables::parse(cut).unwrap();
        let rows = after.rows(area);
        let words = rows.iter().map(|row| (row.at, after.words(&row.stretch)));
        words
            .map(|(at, words)| format!("{at:x} {}", words.join("; ")))
            .collect()
    }

    #[test]
    fn an_area_is_shown_from_end_to_end() {
        assert_eq!(shown(CUT, 0), ["0 not mapped, 256 TiB"]);
        assert_eq!(
            shown(CUT, 3),
            [
                "ffffa00000000000 not mapped, 4 MiB",
                "ffffa00000400000 2 × 32 KiB in pages, Normal; each above a guard of 32 KiB",
                "ffffa00000420000 not mapped, ≈ 32 TiB",
            ]
        );
        assert_eq!(
            shown(CUT, 5),
            [
                "ffffffff80000000 not mapped, 2 MiB",
                "ffffffff80200000 text: 896 KiB in pages, Normal",
                "ffffffff802e0000 not mapped, ≈ 2 GiB",
            ]
        );
        // Its frames are the text's.
        assert!(shown(CUT, 1)[1].ends_with(" text, rodata: 1020 KiB in pages, Normal"));
        let [before, _] = tables::parse(CUT).unwrap();
        let words = before.rows(0).into_iter().map(|row| row.stretch);
        let words: Vec<_> = words.flat_map(|stretch| before.words(&stretch)).collect();
        assert_eq!(words[1], "identity: one block of 2 MiB, Normal");
        let devices = before.words(&before.rows(4)[0].stretch);
        assert_eq!(devices, ["one block of 1 GiB, Device-nGnRE"]);
    }

    #[test]
    fn only_what_is_alike_and_has_its_gap_before_it_repeats() {
        let second = "  ffffa00000418000 L3     8 x 00e00000419ab707";
        for other in [
            // Fewer pages; read-only; at the first one's end.
            "  ffffa00000418000 L3     7 x 00e00000419ab707",
            "  ffffa00000418000 L3     8 x 01e00000419ab787",
            "  ffffa00000410000 L3     8 x 00e00000419ab707",
        ] {
            let rows = shown(&CUT.replace(second, other), 3);
            let mapped = rows.iter().filter(|row| row.contains("in pages"));
            assert_eq!(mapped.count(), 2, "{rows:?}");
            assert!(!rows.concat().contains("guard"), "{rows:?}");
        }
        // Three, of which the first has a shorter gap before it than the others.
        let first = "  ffffa00000408000 L3     8 x 00e00000419a0707";
        let three = format!("  ffffa00000004000 L3     8 x 00e00000419a0707\n{first}");
        let three = CUT
            .replace(first, &three)
            .replace(&second[..18], "  ffffa0000080c000");
        let rows = shown(&three, 3);
        assert_eq!(rows[1], "ffffa00000004000 32 KiB in pages, Normal");
        assert!(rows[2].ends_with("2 × 32 KiB in pages, Normal; each above a guard of ≈ 4 MiB"));
    }

    #[test]
    fn bytes_are_exact_where_that_is_short() {
        for (bytes, words) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (0x1000, "4 KiB"),
            (1020 << 10, "1020 KiB"),
            (1026 << 20, "1026 MiB"),
            (5604 << 12, "≈ 21.9 MiB"),
            ((1 << 47) - 0x1000, "≈ 128 TiB"),
            (1 << 48, "256 TiB"),
            (0_u64.wrapping_sub(2 * LOWER_END), "≈ 16 EiB"),
            (u64::MAX, "≈ 16 EiB"),
        ] {
            assert_eq!(size(bytes), words);
        }
    }

    /// The table of areas in the kernel's sources has the same ones.
    #[test]
    fn the_areas_are_the_kernels() {
        let layout = places::repository().join("kernel/src/base/layout.rs");
        let layout = fs::read_to_string(layout).unwrap();
        let rows = layout
            .lines()
            .filter_map(|line| line.strip_prefix("//! | `"));
        let rows: Vec<_> = rows.filter_map(|row| row.split_once("` | ")).collect();
        assert_eq!(rows.len(), AREAS.len() - 1);
        for ((at, name), (base, what)) in AREAS[1..].iter().zip(rows) {
            assert_eq!(format!("{at:016X}"), base.replace('_', ""));
            let word = name.split([' ', ',']).find(|word| *word != "the");
            assert!(what.contains(word.unwrap()), "{name}: {what}");
        }
    }
}
