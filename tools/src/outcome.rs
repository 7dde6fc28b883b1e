//! What came of a boot: from how QEMU ended, what the kernel said of it, and what both left in the boot's directory.

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use crate::bench;
use crate::boot::Boot;
use crate::mark::{self, Said};
use crate::places::{self, WorkDir};
use crate::process::{End, Finished};
use crate::qemu::Qemu;
use crate::report::{self, Facts};
use crate::results::Results;
use crate::verdict::Verdict;
use crate::witness::{self, Window};

/// What came of a boot.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended.
    pub verdict: Verdict,
    /// The command that was run, for a shell.
    pub command: String,
    /// What the kernel printed.
    pub console: String,
    /// What QEMU itself said.
    pub qemu_said: String,
    /// What the plugin saw, when it was there and the kernel came to its end.
    pub windows: Option<Vec<Window>>,
    /// Rows of `report.json` ([`report::check`]), when the kernel wrote one that is sound.
    pub rows: Option<Vec<String>>,
    /// What the measuring image has written: [`bench::rows`] reads it.
    pub measured: Option<String>,
    /// What a person should know beside the console, a line each.
    pub notes: Vec<String>,
    /// Where the boot's files were left, if anywhere.
    pub kept: Option<PathBuf>,
}

impl Outcome {
    pub(crate) fn of(
        done: Finished,
        said: &Said,
        command: String,
        limit: Option<Duration>,
    ) -> Self {
        let far = || match come_to(&done.stdout) {
            Some(line) => format!("; it had come to: {line}"),
            None => "; it had printed nothing".to_owned(),
        };
        let (verdict, note) = match &done.end {
            End::Itself(status) => judge(*status, &done.stdout, &done.stderr, said),
            End::TimeUp => {
                let limit = limit.unwrap_or_default().as_secs();
                let note = format!(
                    "no end after {limit} s: QEMU was killed (--timeout or TIMEOUT allow more){}",
                    far()
                );
                (Verdict::Timeout, Some(note))
            }
            End::Interrupted(cause) => {
                let note = format!("{cause}: QEMU was killed{}", far());
                (Verdict::NoBoot, Some(note))
            }
        };
        Self {
            verdict,
            command,
            console: done.stdout,
            qemu_said: done.stderr,
            windows: None,
            rows: None,
            measured: None,
            notes: note.into_iter().collect(),
            kept: None,
        }
    }

    /// A check of the runner's failed: that is the verdict, unless the boot has a worse one already.
    fn fail(&mut self, why: String) {
        self.notes.push(why);
        if self.verdict == Verdict::Good {
            self.verdict = Verdict::CheckFailed;
        }
    }

    pub(crate) fn read_report(&mut self, dir: &WorkDir) {
        match dir.read(report::FILE).map(|text| report::check(&text)) {
            None => {}
            Some(Ok(report)) => {
                self.rows = Some(report.rows);
                if self.verdict == Verdict::Good && !report.complete {
                    self.fail(format!(
                        "{}: it is not complete, but the kernel ended as if it were",
                        report::FILE
                    ));
                }
            }
            // Of a kernel that was stopped, possibly while it was writing, this is no news.
            Some(Err(_)) if matches!(self.verdict, Verdict::Timeout | Verdict::NoBoot) => {}
            Some(Err(flaw)) => self.fail(flaw.to_string()),
        }
    }

    pub(crate) fn read_measured(&mut self, dir: &WorkDir) {
        self.measured = dir.read(bench::rows::FILE);
    }

    /// Compares the two accounts of what was executed, of a kernel that came to its end: one that panicked or was stopped has
    /// not written its own.
    pub(crate) fn read_witness(&mut self, dir: &WorkDir) {
        let kernel = dir.read(witness::KERNEL_FILE);
        let at_its_end = match self.verdict {
            Verdict::Good | Verdict::CheckFailed => true,
            Verdict::Timeout | Verdict::NoBoot => false,
            _ => kernel.is_some(),
        };
        if !at_its_end {
            return;
        }
        let Some(text) = dir.read(witness::PLUGIN_FILE) else {
            return self.fail("witness: FAILED, the plugin wrote nothing".to_owned());
        };
        let kernel = witness::parse_kernel(&kernel.unwrap_or_default());
        let (kernel, seen) = match (kernel, witness::parse_plugin(&text)) {
            (Ok(kernel), Ok(seen)) => (kernel, seen),
            (Err(bad), _) | (_, Err(bad)) => return self.fail(format!("witness: FAILED, {bad}")),
        };
        let differences = witness::compare(&kernel, &seen);
        if differences.is_empty() {
            self.notes.push(match kernel.len() {
                0 => "witness: the kernel marked no windows".to_owned(),
                1 => "witness: 1 window, equal".to_owned(),
                n => format!("witness: {n} windows, all equal"),
            });
        }
        for difference in differences {
            self.fail(format!("witness: DIFFERS, {difference}"));
        }
        self.windows = Some(seen.windows);
    }

    /// Leaves the boot's files, and names them. That they cannot be left is one more thing that is wrong; what the boot was worth
    /// before stays.
    pub(crate) fn keep(&mut self, boot: &Boot, qemu: &Qemu, dir: &WorkDir, results: &Results) {
        self.kept = Some(results.dir().to_owned());
        let mut written = Vec::new();
        if let Err(why) = self.leave(boot, qemu, dir, results, &mut written) {
            self.fail(format!(
                "cannot write the boot's files in {}: {why}",
                results.dir().display()
            ));
        }
        if !written.is_empty() {
            let names: Vec<String> = written.iter().map(|path| relative(path)).collect();
            self.notes.push(format!("written: {}", names.join(" ")));
        }
    }

    fn leave(
        &mut self,
        boot: &Boot,
        qemu: &Qemu,
        dir: &WorkDir,
        results: &Results,
        written: &mut Vec<PathBuf>,
    ) -> io::Result<()> {
        if let Some(windows) = &self.windows {
            let text = format!("{:#}\n", witness::to_json(windows));
            written.push(results.write(witness::JSON_FILE, &text)?);
        }
        // A trace is kept of a boot that failed, too: it shows why.
        results.copy(dir.path(), "trace", &[], written)?;
        let good = self.verdict == Verdict::Good;
        if good {
            results.copy(dir.path(), "json", &[report::FILE], written)?;
        }
        let Some(rows) = self.rows.as_ref().map(Vec::len) else {
            return Ok(());
        };
        let commit = places::commit();
        let facts = Facts {
            boot,
            qemu: qemu.version,
            commit: commit.as_deref(),
            verdict: self.verdict,
            windows: self.windows.as_deref(),
        };
        let Some(Ok(text)) = dir
            .read(report::FILE)
            .map(|text| report::with_facts(&text, &facts))
        else {
            return Ok(());
        };
        written.push(results.write(report::FILE, &text)?);
        if !good {
            self.notes.push(format!(
                "{}: {}, marked as not complete",
                report::FILE,
                if rows == 1 {
                    "the row that was done".to_owned()
                } else {
                    format!("the {rows} rows that were done")
                },
            ));
        }
        Ok(())
    }
}

/// A path as one would type it here.
fn relative(path: &Path) -> String {
    let here: Option<PathBuf> = env::current_dir().ok();
    here.and_then(|here| path.strip_prefix(here).ok())
        .unwrap_or(path)
        .display()
        .to_string()
}

/// How far a kernel had come: the last line of its own about that, else its last line.
fn come_to(console: &str) -> Option<&str> {
    let mut lines = console.lines().rev().map(str::trim_end);
    lines
        .clone()
        .find(|line| line.starts_with("progress: "))
        .or_else(|| lines.find(|line| !line.is_empty()))
}

/// The verdict of a QEMU that ended by itself.
///
/// Good is what the kernel has said with its mark, and nothing else. A failure needs no mark: a kernel that cannot read its command
/// line refuses without one, and a status that is not 0 is none that QEMU ends with when it is stopped.
fn judge(
    status: ExitStatus,
    console: &str,
    stderr: &str,
    said: &Said,
) -> (Verdict, Option<String>) {
    let complaint = complaint(stderr);
    let words = complaint.map_or_else(
        || ", and QEMU said nothing".to_owned(),
        |c| format!(": {c}"),
    );
    let Some(code) = status.code().and_then(|code| u8::try_from(code).ok()) else {
        return (Verdict::NoBoot, Some(format!("QEMU died, {status}{words}")));
    };
    let other = match said {
        Said::Verdict(verdict) if *verdict != code => Some(format!("verdict {verdict}")),
        Said::Other(text) => Some(format!("`{}`", text.escape_debug())),
        Said::Nothing | Said::Verdict(_) => None,
    };
    let differs = other.map(|other| {
        format!(
            "QEMU ended with status {code}, but the kernel's {} says {other}",
            mark::FILE
        )
    });
    match (code, said) {
        (0, Said::Nothing) => {
            let note = format!("QEMU ended with status 0, but not at the kernel's word{words}");
            (Verdict::NoBoot, Some(note))
        }
        (0, _) if differs.is_some() => (Verdict::CheckFailed, differs),
        // QEMU, too, ends with 1 when something is wrong, with its arguments before anything runs, and says so.
        (1, Said::Nothing) if complaint.is_some() => {
            let when = if console.is_empty() {
                "start the kernel"
            } else {
                "run the kernel to an end"
            };
            let hint = if words.contains("load plugin") {
                "; WITNESS=off boots without it"
            } else {
                ""
            };
            (
                Verdict::NoBoot,
                Some(format!("QEMU did not {when}{words}{hint}")),
            )
        }
        _ => {
            let verdict = Verdict::from_code(code);
            let strange = matches!(
                verdict,
                Verdict::Unknown(_) | Verdict::Timeout | Verdict::NoBoot
            );
            let strange = strange.then(|| {
                format!("the kernel ended with status {code}, which is none of a kernel's verdicts")
            });
            (verdict, differs.or(strange))
        }
    }
}

/// What QEMU says is wrong.
fn complaint(stderr: &str) -> Option<&str> {
    stderr.lines().find(|line| {
        line.starts_with("qemu-system-")
            && !line.contains(": warning: ")
            && !line.contains(": info: ")
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::process::ExitStatusExt;

    use crate::events;

    const TERMINATED: &str = "qemu-system-aarch64: terminating on signal 15 from pid 7 (sh)\n";

    fn judged(code: i32, console: &str, stderr: &str, said: Said) -> (Verdict, String) {
        let (verdict, note) = judge(ExitStatus::from_raw(code << 8), console, stderr, &said);
        (verdict, note.unwrap_or_default())
    }

    #[test]
    fn good_is_only_what_the_kernel_has_said() {
        let good = (Verdict::Good, String::new());
        assert_eq!(judged(0, "", "", Said::Verdict(0)), good);
        let (verdict, note) = judged(0, "half a line", TERMINATED, Said::Nothing);
        assert_eq!(verdict, Verdict::NoBoot);
        assert!(
            note.contains("status 0") && note.contains("signal 15 from pid 7"),
            "{note}"
        );
        assert_eq!(judged(0, "", "", Said::Nothing).0, Verdict::NoBoot);
        for said in [Said::Verdict(1), Said::Other("00 0\n".to_owned())] {
            let (verdict, note) = judged(0, "", "", said);
            assert_eq!(verdict, Verdict::CheckFailed);
            assert!(note.contains("mark.txt"), "{note}");
        }
    }

    /// What comes of a boot that goes well and leaves nothing.
    pub fn good() -> Outcome {
        let done = Finished {
            end: End::Itself(ExitStatus::from_raw(0)),
            stdout: String::new(),
            stderr: String::new(),
        };
        Outcome::of(done, &Said::Verdict(0), "qemu".to_owned(), None)
    }

    #[test]
    fn an_account_that_cannot_be_read_is_a_failure() {
        const KERNEL: &str = "0 1 0 0 0 0\n";
        for (kernel, plugin, fails) in [
            (None, Some(""), false),
            (None, None, true),
            (Some(KERNEL), None, true),
            (Some("x\n"), Some(""), true),
            (None, Some("x\n"), true),
        ] {
            let dir = WorkDir::new().unwrap();
            for (name, text) in [
                (witness::KERNEL_FILE, kernel),
                (witness::PLUGIN_FILE, plugin),
            ] {
                if let Some(text) = text {
                    fs::write(dir.path().join(name), text).unwrap();
                }
            }
            let mut outcome = good();
            outcome.read_witness(&dir);
            let wanted = if fails {
                Verdict::CheckFailed
            } else {
                Verdict::Good
            };
            assert_eq!(outcome.verdict, wanted, "{kernel:?} {plugin:?}");
            let said = outcome.notes.concat().contains("witness: FAILED");
            assert_eq!(said, fails, "{:?}", outcome.notes);
        }
    }

    #[test]
    fn a_file_that_cannot_be_left_is_a_failure() {
        for name in [events::FILE, witness::JSON_FILE] {
            let (dir, kept) = (WorkDir::new().unwrap(), WorkDir::new().unwrap());
            fs::write(dir.path().join(events::FILE), "mmu-check trace 1\n").unwrap();
            let results = Results::claim(kept.path()).unwrap();
            // What is in its way cannot be written over.
            fs::create_dir_all(kept.path().join(name).join("in")).unwrap();
            let qemu = Qemu {
                program: "qemu".into(),
                version: (9, 0),
            };
            let mut outcome = good();
            outcome.windows = Some(Vec::new());
            outcome.keep(&Boot::new("k"), &qemu, &dir, &results);
            assert_eq!(outcome.verdict, Verdict::CheckFailed, "{name}");
            let said = outcome.notes.concat();
            assert!(said.contains("cannot write the boot's files"), "{said}");
        }
    }

    #[test]
    fn a_failure_needs_no_mark() {
        for code in 1..=5 {
            let said = [Said::Nothing, Said::Verdict(code), Said::Verdict(0)];
            for said in said {
                let differs = said == Said::Verdict(0);
                let (verdict, note) = judged(code.into(), "", "", said);
                assert_eq!(verdict, Verdict::from_code(code));
                assert_eq!(note.contains("mark.txt"), differs, "{note}");
            }
        }
        assert_eq!(judged(77, "", "", Said::Nothing).0, Verdict::Unknown(77));
    }

    #[test]
    fn who_ended_with_one() {
        let complaint = "qemu-system-aarch64: unable to find CPU model 'banana'\n";
        let (verdict, note) = judged(1, "", complaint, Said::Nothing);
        assert_eq!(verdict, Verdict::NoBoot);
        assert!(
            note.contains("did not start") && note.contains("banana"),
            "{note}"
        );
        assert_eq!(
            judged(1, "some", complaint, Said::Nothing).0,
            Verdict::NoBoot
        );
        // The kernel's own, whatever QEMU said besides.
        assert_eq!(
            judged(1, "", complaint, Said::Verdict(1)).0,
            Verdict::CheckFailed
        );
        let warning = "qemu-system-aarch64: warning: old firmware\n";
        assert_eq!(
            judged(1, "", warning, Said::Nothing).0,
            Verdict::CheckFailed
        );
        assert_eq!(
            judge(ExitStatus::from_raw(11), "", "", &Said::Nothing).0,
            Verdict::NoBoot
        );
    }

    #[test]
    fn how_far_it_had_come() {
        let console = "a\nprogress: 1 of 3\nprogress: 2 of 3\nb\n\n";
        assert_eq!(come_to(console), Some("progress: 2 of 3"));
        assert_eq!(come_to("a\nb\n\n"), Some("b"));
        assert_eq!(come_to("\n"), None);
        let outcome = Outcome::of(
            Finished {
                end: End::TimeUp,
                stdout: console.to_owned(),
                stderr: String::new(),
            },
            &Said::Nothing,
            String::new(),
            Some(Duration::from_secs(9)),
        );
        assert_eq!(outcome.verdict, Verdict::Timeout);
        let note = &outcome.notes[0];
        assert!(note.starts_with("no end after 9 s: "), "{note}");
        assert!(note.ends_with("it had come to: progress: 2 of 3"), "{note}");
    }
}
