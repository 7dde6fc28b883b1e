//! Whether a boot did what its line says.

use std::fmt::Write as _;
use std::sync::Once;
use std::thread;

use lazy_mmu_tools::{Outcome, interrupt, say};

use lazy_mmu_tools::directive::Case;

/// As much of a console as a failure shows; the end says most.
const LINES_SHOWN: usize = 200;

/// Boots, and compares.
///
/// # Errors
/// What was otherwise than it must be, with the command and the console.
pub fn run(case: &Case) -> Result<(), String> {
    let outcome = case.boot.run().map_err(|error| error.to_string());
    if let Some(cause) = interrupt::cause() {
        static SAID: Once = Once::new();
        SAID.call_once(|| say::error(format_args!("\n{cause}: no test is run any more")));
        // The process ends within this time: no list of failures for what was not run.
        thread::sleep(interrupt::GRACE);
    }
    let outcome = outcome?;
    let wrong = differences(case, &outcome);
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(shown(&wrong, &outcome))
    }
}

fn differences(case: &Case, outcome: &Outcome) -> Vec<String> {
    let mut wrong = Vec::new();
    if outcome.verdict != case.verdict {
        wrong.push(format!("wanted {}, got {}", case.verdict, outcome.verdict));
    }
    let said = |text: &str| {
        outcome.console.contains(text) || outcome.notes.iter().any(|note| note.contains(text))
    };
    let missing = case.expect.iter().filter(|text| !said(text));
    wrong.extend(missing.map(|text| format!("neither kernel nor runner said `{text}`")));
    let rows = outcome.rows.as_deref().unwrap_or_default();
    if case.rows.is_some_and(|wanted| wanted != rows.len()) {
        wrong.push(format!("the report has {} rows", rows.len()));
    }
    let missing = case.row.iter().filter(|row| !rows.contains(row));
    wrong.extend(missing.map(|row| format!("the report has no row `{row}`, but {rows:#?}")));
    wrong
}

fn shown(wrong: &[String], outcome: &Outcome) -> String {
    let mut text = wrong.join("\n");
    let lines: Vec<&str> = outcome.console.lines().collect();
    let skipped = lines.len().saturating_sub(LINES_SHOWN);
    // Writing to a String does not fail.
    let _ = write!(text, "\ncommand: {}", outcome.command);
    for note in &outcome.notes {
        let _ = write!(text, "\n{note}");
    }
    if !outcome.qemu_said.is_empty() {
        let _ = write!(text, "\nQEMU said: {}", outcome.qemu_said.trim_end());
    }
    text.push_str("\nconsole:");
    if skipped > 0 {
        let _ = write!(text, "\n[{skipped} lines before]");
    }
    for line in &lines[skipped..] {
        let _ = write!(text, "\n| {line}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use lazy_mmu_tools::directive;
    use lazy_mmu_tools::{Boot, Verdict};

    fn outcome(verdict: Verdict, console: &str) -> Outcome {
        Outcome {
            verdict,
            command: "qemu".to_owned(),
            console: console.to_owned(),
            qemu_said: String::new(),
            windows: None,
            rows: None,
            measured: None,
            notes: vec!["witness: 1 window, equal".to_owned()],
            kept: None,
        }
    }

    fn wrong(line: &str, outcome: &Outcome) -> Vec<String> {
        differences(
            &directive::parse(line, &Boot::new("k")).unwrap()[0],
            outcome,
        )
    }

    #[test]
    fn verdict_and_console_both_count() {
        let line = "verdict=4 expect=FAR expect=\"ESR 0x\"";
        assert_eq!(
            wrong(line, &outcome(Verdict::Exception, "ESR 0x96\nFAR 0\n")),
            Vec::<String>::new()
        );
        assert_eq!(
            wrong(line, &outcome(Verdict::Panic, "FAR 0\n")),
            [
                "wanted verdict 4 (unexpected exception), got verdict 3 (panic)",
                "neither kernel nor runner said `ESR 0x`"
            ]
        );
        assert_eq!(wrong("", &outcome(Verdict::CheckFailed, "")).len(), 1);
    }

    #[test]
    fn rows_of_the_report_count() {
        let row = "zap flat 512 8 512 1 3 2 0 1 null 2";
        let with = |rows: Option<&str>| Outcome {
            rows: rows.map(|row| vec![row.to_owned()]),
            ..outcome(Verdict::Good, "")
        };
        let line = format!("rows=1 row=\"{row}\"");
        assert_eq!(wrong(&line, &with(Some(row))), Vec::<String>::new());
        let other = row.replace("null", "512");
        assert_eq!(wrong(&line, &with(Some(&other))).len(), 1);
        assert_eq!(wrong(&line, &with(None)).len(), 2);
    }

    #[test]
    fn a_failure_shows_command_notes_and_the_end_of_the_console() {
        let console: String = (0..300).map(|i| format!("line {i}\n")).collect();
        let text = shown(&["wrong".to_owned()], &outcome(Verdict::Good, &console));
        assert!(text.starts_with(
            "wrong\ncommand: qemu\nwitness: 1 window, equal\nconsole:\n[100 lines before]\n"
        ));
        assert!(text.ends_with("| line 299") && !text.contains("line 99\n"));
    }
}
