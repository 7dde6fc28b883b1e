//! The outside witness: what the kernel counted against what the plugin saw executed.
//!
//! Both write a line per window, in the order in which the windows end. The kernel's `windows.txt` has
//! `<tag hex> <w> <dsb> <isb> <dmb> <tlbi>`; the plugin's has the number of instructions as one more field, which the
//! kernel cannot know. A line of the plugin's that begins with `!` is a complaint: a window that was started twice,
//! ended without a start, or never ended.

use std::fmt;

use serde_json::{Value, json};

/// The file the kernel writes.
pub const KERNEL_FILE: &str = "windows.txt";
/// The file the plugin writes.
pub const PLUGIN_FILE: &str = "witness.txt";
/// The file for those who want the instructions too, in the target directory.
pub const JSON_FILE: &str = "witness.json";

/// How many barriers and invalidations were executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// DSB of any kind.
    pub dsb: u64,
    /// ISB.
    pub isb: u64,
    /// DMB of any kind.
    pub dmb: u64,
    /// TLBI of any kind.
    pub tlbi: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "dsb {} isb {} dmb {} tlbi {}",
            self.dsb, self.isb, self.dmb, self.tlbi
        )
    }
}

/// One window, as one of the two saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// What the kernel calls the region: a nibble per HINT.
    pub tag: u64,
    /// Which of the eight windows.
    pub window: u8,
    /// What was executed in it.
    pub counts: Counts,
    /// Instructions started in it, on all cores; only the plugin knows.
    pub instructions: Option<u64>,
}

/// What the plugin wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The windows, in the order in which they ended.
    pub windows: Vec<Window>,
    /// What is wrong with the marks themselves.
    pub complaints: Vec<String>,
}

/// A line that is not a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    file: &'static str,
    number: usize,
    line: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = if self.file == PLUGIN_FILE {
            " INSTRUCTIONS"
        } else {
            ""
        };
        write!(
            f,
            "{} line {}: `{}` is not `TAG-IN-HEX WINDOW DSB ISB DMB TLBI{fields}`",
            self.file, self.number, self.line
        )
    }
}

impl std::error::Error for BadLine {}

/// Reads the kernel's file.
///
/// # Errors
/// The first line that is not a window.
pub fn parse_kernel(text: &str) -> Result<Vec<Window>, BadLine> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(i, line)| parse_line(line, false).ok_or_else(|| bad(KERNEL_FILE, i, line)))
        .collect()
}

/// Reads the plugin's file.
///
/// # Errors
/// The first line that is neither a window nor a complaint.
pub fn parse_plugin(text: &str) -> Result<Seen, BadLine> {
    let mut seen = Seen::default();
    for (i, line) in text.lines().enumerate() {
        match line.strip_prefix('!') {
            Some(complaint) => seen.complaints.push(complaint.trim().to_owned()),
            None => seen
                .windows
                .push(parse_line(line, true).ok_or_else(|| bad(PLUGIN_FILE, i, line))?),
        }
    }
    Ok(seen)
}

fn bad(file: &'static str, index: usize, line: &str) -> BadLine {
    BadLine {
        file,
        number: index + 1,
        line: line.to_owned(),
    }
}

fn parse_line(line: &str, with_instructions: bool) -> Option<Window> {
    let mut fields = line.split_whitespace();
    let tag = fields.next()?;
    let tag = u64::from_str_radix(tag.strip_prefix("0x").unwrap_or(tag), 16).ok()?;
    let window = fields.next()?.parse().ok().filter(|w| *w < 8)?;
    let mut count = || fields.next()?.parse::<u64>().ok();
    let counts = Counts {
        dsb: count()?,
        isb: count()?,
        dmb: count()?,
        tlbi: count()?,
    };
    let instructions = if with_instructions {
        Some(count()?)
    } else {
        None
    };
    fields.next().is_none().then_some(Window {
        tag,
        window,
        counts,
        instructions,
    })
}

/// How many differences are printed; the first ones say what is wrong, thousands bury it.
const PRINTED: usize = 8;

/// Compares the two accounts, line by line. Empty when they agree, else a line for each difference.
#[must_use]
pub fn compare(kernel: &[Window], seen: &Seen) -> Vec<String> {
    let mut differences: Vec<String> = seen.complaints.clone();
    if kernel.len() != seen.windows.len() {
        differences.push(format!(
            "the kernel counted {} windows, QEMU saw {}",
            kernel.len(),
            seen.windows.len()
        ));
    }
    let pairs = kernel.iter().zip(&seen.windows).enumerate();
    differences.extend(pairs.filter_map(|(i, (ours, theirs))| difference(i, ours, theirs)));
    let more = differences.len().saturating_sub(PRINTED);
    if more > 0 {
        differences.truncate(PRINTED);
        differences.push(format!("and {more} more differences"));
    }
    differences
}

fn difference(index: usize, ours: &Window, theirs: &Window) -> Option<String> {
    if (ours.tag, ours.window) != (theirs.tag, theirs.window) {
        return Some(format!(
            "window {index}: the kernel ended window {} with tag {:#x} ({}), QEMU saw window {} with tag {:#x} ({})",
            ours.window, ours.tag, ours.counts, theirs.window, theirs.tag, theirs.counts
        ));
    }
    (ours.counts != theirs.counts).then(|| {
        format!(
            "window {index}, tag {:#x}: the kernel counted {}, QEMU executed {}",
            ours.tag, ours.counts, theirs.counts
        )
    })
}

/// The plugin's windows as JSON, instructions included.
#[must_use]
pub fn to_json(windows: &[Window]) -> Value {
    let rows: Vec<Value> = windows
        .iter()
        .map(|w| {
            json!({
                "tag": format!("{:x}", w.tag), "window": w.window, "dsb": w.counts.dsb, "isb": w.counts.isb,
                "dmb": w.counts.dmb, "tlbi": w.counts.tlbi, "instructions": w.instructions,
            })
        })
        .collect();
    json!({ "schema": 1, "windows": rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNEL: &str = "1a 0 3 2 1 512\n2b 1 0 0 0 0\n";
    const PLUGIN: &str = "1a 0 3 2 1 512 9000\n2b 1 0 0 0 0 4\n";

    fn compared(kernel: &str, plugin: &str) -> Vec<String> {
        compare(
            &parse_kernel(kernel).unwrap(),
            &parse_plugin(plugin).unwrap(),
        )
    }

    #[test]
    fn equal_accounts() {
        assert_eq!(compared(KERNEL, PLUGIN), Vec::<String>::new());
        assert_eq!(compared("", ""), Vec::<String>::new());
        assert_eq!(
            compared("0x1A 0 3 2 1 512\r\n\n2b 1 0 0 0 0", PLUGIN),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_difference_of_one_in_any_count_is_told() {
        for plugin in ["4 2 1 512", "3 1 1 512", "3 2 2 512", "3 2 1 511"] {
            let differences = compared(KERNEL, &PLUGIN.replace("3 2 1 512", plugin));
            assert_eq!(differences.len(), 1, "{plugin}");
            assert!(
                differences[0].contains("the kernel counted dsb 3 isb 2 dmb 1 tlbi 512"),
                "{differences:?}"
            );
        }
    }

    #[test]
    fn tags_windows_and_missing_lines_are_told() {
        assert!(compared(KERNEL, &PLUGIN.replace("2b", "2c"))[0].contains("tag 0x2b"));
        assert!(compared(KERNEL, &PLUGIN.replace("2b 1", "2b 2"))[0].contains("QEMU saw window 2"));
        assert_eq!(
            compared("", PLUGIN),
            ["the kernel counted 0 windows, QEMU saw 2"]
        );
        assert_eq!(
            compared(KERNEL, ""),
            ["the kernel counted 2 windows, QEMU saw 0"]
        );
    }

    #[test]
    fn complaints_are_differences() {
        let differences = compared(KERNEL, &format!("{PLUGIN}! window 3 was never ended\n"));
        assert_eq!(differences, ["window 3 was never ended"]);
    }

    #[test]
    fn many_differences_are_cut_short() {
        let differences = compared(&"1 0 0 0 0 0\n".repeat(100), &"1 0 1 0 0 0 5\n".repeat(100));
        assert_eq!(differences.len(), PRINTED + 1);
        assert_eq!(differences[PRINTED], "and 92 more differences");
    }

    #[test]
    fn bad_lines_are_named() {
        for line in [
            "",
            "1 0 0 0 0",
            "1 0 0 0 0 0 0",
            "x 0 0 0 0 0",
            "1 8 0 0 0 0",
            "1 0 -1 0 0 0",
        ] {
            let text = format!("1 0 0 0 0 0\n{line}\n");
            match parse_kernel(&text) {
                Err(bad) => assert!(bad.to_string().starts_with("windows.txt line 2: "), "{bad}"),
                Ok(windows) => assert!(line.is_empty() && windows.len() == 1),
            }
        }
        assert!(parse_plugin("1 0 0 0 0 0\n").is_err());
    }

    #[test]
    fn json_has_the_instructions() {
        let seen = parse_plugin(PLUGIN).unwrap();
        let json = to_json(&seen.windows);
        assert_eq!(json["windows"][0]["instructions"], 9000);
        assert_eq!(json["windows"][1]["tag"], "2b");
    }
}
