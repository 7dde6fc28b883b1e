//! The outside witness: what the kernel counted against what the plugin saw executed.
//!
//! Both write a line per window, in the order in which the windows end. The kernel's `windows.txt` has
//! `<tag hex> <w>` and then `<kind>=<number>` for each kind of barrier and TLBI that was executed, such as `dsb-ishst=3`; the
//! plugin's has the number of instructions in front of the kinds. A kernel that has counted those too, by the PMU, has
//! `instructions=<number>` among its own; and `uncounted` where code ran that it does not count, so that only the instructions can be
//! compared. A line of the plugin's that begins with `!` is a complaint: a window that was started twice, ended without a start, or never ended.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde_json::{Value, json};

/// The file the kernel writes.
pub const KERNEL_FILE: &str = "windows.txt";
/// The file the plugin writes.
pub const PLUGIN_FILE: &str = "witness.txt";
/// The file for those who want the instructions too, in the target directory.
pub const JSON_FILE: &str = "witness.json";

/// How many barriers and invalidations were executed, by kind: an instruction with its domain and type, or its operation. A
/// kind that was not executed is not in it.
pub type Counts = BTreeMap<String, u64>;

/// One window, as one of the two saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// What the kernel calls the region: a nibble per HINT.
    pub tag: u64,
    /// Which of the eight windows.
    pub window: u8,
    /// What was executed in it.
    pub counts: Counts,
    /// Instructions started in it, on all cores: the plugin always knows, and a kernel that has looked at its PMU.
    pub instructions: Option<u64>,
    /// Whether `counts` says what was executed. A kernel has no counts of what others' code executes.
    pub counted: bool,
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
            "{} line {}: `{}` is not `TAG-IN-HEX WINDOW{fields} KIND=NUMBER ...`",
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
    let instructions = if with_instructions {
        Some(fields.next()?.parse().ok()?)
    } else {
        None
    };
    let (mut instructions, mut counted, mut counts) = (instructions, true, Counts::new());
    for field in fields {
        if !with_instructions && field == "uncounted" {
            counted = false;
            continue;
        }
        let (kind, count) = field.split_once('=')?;
        if !with_instructions && kind == "instructions" {
            if instructions.replace(count.parse().ok()?).is_some() {
                return None;
            }
            continue;
        }
        let again = counts.insert(kind.to_owned(), count.parse().ok()?);
        if kind.is_empty() || again.is_some() {
            return None;
        }
    }
    counts.retain(|_, count| *count > 0);
    // Nothing counted, and yet counts: it contradicts itself.
    (counted || counts.is_empty()).then_some(Window {
        tag,
        window,
        counts,
        instructions,
        counted,
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
            "window {index}: the kernel ended window {} with tag {:#x}, QEMU saw window {} with tag {:#x}",
            ours.window, ours.tag, theirs.window, theirs.tag
        ));
    }
    if let (Some(by_pmu), Some(seen)) = (ours.instructions, theirs.instructions)
        && by_pmu != seen
    {
        return Some(format!(
            "window {index}, tag {:#x}: the kernel's PMU counted {by_pmu} instructions, QEMU executed {seen}",
            ours.tag
        ));
    }
    if !ours.counted {
        return None;
    }
    let mut kinds: Vec<&String> = ours.counts.keys().chain(theirs.counts.keys()).collect();
    kinds.sort();
    kinds.dedup();
    kinds.retain(|kind| ours.counts.get(*kind) != theirs.counts.get(*kind));
    let of = |counts: &Counts| {
        kinds.iter().fold(String::new(), |mut text, kind| {
            // Writing to a String does not fail.
            let _ = write!(text, " {kind} {}", counts.get(*kind).unwrap_or(&0));
            text
        })
    };
    (!kinds.is_empty()).then(|| {
        format!(
            "window {index}, tag {:#x}: the kernel counted{}, QEMU executed{}",
            ours.tag,
            of(&ours.counts),
            of(&theirs.counts)
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
                "tag": format!("{:x}", w.tag), "window": w.window, "instructions": w.instructions,
                "executed": w.counts,
            })
        })
        .collect();
    json!({ "schema": 2, "windows": rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNEL: &str = "1a 0 dsb-ishst=3 isb=2 tlbi-vale1is=512\n2b 1\n";
    const PLUGIN: &str = "1a 0 9000 dsb-ishst=3 isb=2 tlbi-vale1is=512\n2b 1 4\n";

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
            compared(
                "0x1A 0 tlbi-vale1is=512 dmb-ish=0 isb=2 dsb-ishst=3\r\n\n2b 1",
                PLUGIN
            ),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_difference_of_one_in_any_count_is_told() {
        for (executed, difference) in [
            (
                "dsb-ishst=3 isb=2 tlbi-vale1is=511",
                "the kernel counted tlbi-vale1is 512, QEMU executed tlbi-vale1is 511",
            ),
            (
                "dsb-ishst=3 isb=2 tlbi-vale1is=512 dmb-ish=1",
                "the kernel counted dmb-ish 0, QEMU executed dmb-ish 1",
            ),
            (
                "dsb-ishst=3 tlbi-vale1is=512",
                "the kernel counted isb 2, QEMU executed isb 0",
            ),
        ] {
            let differences = compared(
                KERNEL,
                &PLUGIN.replace("dsb-ishst=3 isb=2 tlbi-vale1is=512", executed),
            );
            assert_eq!(differences, [format!("window 0, tag 0x1a: {difference}")]);
        }
    }

    #[test]
    fn another_kind_is_a_difference_though_the_total_is_equal() {
        for (kind, other) in [
            ("dsb-ishst", "dsb-nshst"),
            ("dsb-ishst", "dsb-ish"),
            ("tlbi-vale1is", "tlbi-vale1"),
            ("tlbi-vale1is", "tlbi-vae1is"),
        ] {
            let differences = compared(KERNEL, &PLUGIN.replace(kind, other));
            assert_eq!(differences.len(), 1, "{other}");
            assert!(
                differences[0].contains(&format!("{kind} 0"))
                    && differences[0].contains(&format!("{other} 0"))
            );
        }
    }

    #[test]
    fn instructions_are_compared_where_the_kernel_has_counted_them() {
        let line = |instructions: &str| KERNEL.replace("1a 0", &format!("1a 0 {instructions}"));
        assert_eq!(
            compared(&line("instructions=9000"), PLUGIN),
            Vec::<String>::new()
        );
        assert_eq!(
            compared(&line("instructions=9001"), PLUGIN),
            ["window 0, tag 0x1a: the kernel's PMU counted 9001 instructions, QEMU executed 9000"]
        );
        // By the kernel's own word it counts nothing here; the instructions still must be right.
        let foreign = |instructions: &str| format!("1a 0 {instructions} uncounted\n2b 1\n");
        assert_eq!(
            compared(&foreign("instructions=9000"), PLUGIN),
            Vec::<String>::new()
        );
        assert_eq!(compared(&foreign("instructions=1"), PLUGIN).len(), 1);
        for line in [
            "1a 0 uncounted isb=1\n",
            "1a 0 instructions=1 instructions=2\n",
            "1a 0 instructions=x\n",
        ] {
            assert!(parse_kernel(line).is_err(), "{line}");
        }
        assert!(parse_plugin("1a 0 9000 uncounted\n").is_err());
    }

    #[test]
    fn tags_windows_and_missing_lines_are_told() {
        assert!(compared(KERNEL, &PLUGIN.replace("2b", "2c"))[0].contains("tag 0x2b"));
        assert!(
            compared(KERNEL, &PLUGIN.replace("2b 1 ", "2b 2 "))[0].contains("QEMU saw window 2")
        );
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
    fn complaints_are_reported() {
        let differences = compared(KERNEL, &format!("{PLUGIN}! window 3 was never ended\n"));
        assert_eq!(differences, ["window 3 was never ended"]);
    }

    #[test]
    fn many_differences_are_cut_short() {
        let differences = compared(&"1 0\n".repeat(100), &"1 0 5 isb=1\n".repeat(100));
        assert_eq!(differences.len(), PRINTED + 1);
        assert_eq!(differences[PRINTED], "and 92 more differences");
    }

    #[test]
    fn bad_lines_are_named() {
        for line in [
            "",
            "1",
            "1 0 9000",
            "1 0 isb",
            "1 0 =1",
            "1 0 isb=-1",
            "1 0 isb=1 isb=1",
            "x 0",
            "1 8",
        ] {
            let text = format!("1 0 isb=1\n{line}\n");
            match parse_kernel(&text) {
                Err(bad) => assert!(bad.to_string().starts_with("windows.txt line 2: "), "{bad}"),
                Ok(windows) => assert!(line.is_empty() && windows.len() == 1),
            }
        }
        assert!(parse_plugin("1 0 isb=1\n").is_err());
    }

    #[test]
    fn json_has_the_instructions() {
        let seen = parse_plugin(PLUGIN).unwrap();
        let json = to_json(&seen.windows);
        assert_eq!(json["windows"][0]["instructions"], 9000);
        assert_eq!(json["windows"][0]["executed"]["dsb-ishst"], 3);
        assert_eq!(json["windows"][1]["tag"], "2b");
    }
}
