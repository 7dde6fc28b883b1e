//! One boot: which kernel on which machine, and what came of it.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use crate::places::{self, WorkDir};
use crate::plugin;
use crate::process::{self, Finished};
use crate::qemu::{NoQemu, Qemu};
use crate::report;
use crate::verdict::Verdict;
use crate::witness::{self, Window};

/// Whether the plugin counts along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Witnessing {
    /// No plugin.
    Off,
    /// With the plugin; without it only if it cannot be had, which is said.
    Wanted,
    /// With the plugin, or not at all.
    Required,
}

/// What to boot, and on what.
#[derive(Clone, Debug)]
pub struct Boot {
    /// The kernel, an ELF file.
    pub kernel: PathBuf,
    /// The kernel's command line, a word each.
    pub args: Vec<String>,
    /// QEMU's `-cpu`.
    pub cpu: String,
    /// Number of cores.
    pub smp: u32,
    /// Memory, as QEMU takes it: `64M`, `4G`.
    pub mem: String,
    /// Version of the interrupt controller, 2 or 3; `None` leaves it to QEMU, which takes 2.
    pub gic: Option<u32>,
    /// Enter the kernel at EL2 instead of EL1.
    pub el2: bool,
    /// QEMU's `-icount`, for a clock that counts instructions.
    pub icount: Option<String>,
    /// How long the boot may take; `None` is for ever.
    pub timeout: Option<Duration>,
    /// Whether the plugin counts along.
    pub witness: Witnessing,
    /// Wait for gdb on port 1234 before the first instruction.
    pub debug: bool,
    /// Pass the console on while the kernel runs.
    pub echo: bool,
    /// Where to leave the JSON files of a boot that ran to an end: the kernel's and the witness's.
    pub keep: Option<PathBuf>,
}

impl Boot {
    /// A boot of `kernel` on the usual machine: one core of everything QEMU knows, 256 MiB, two minutes.
    #[must_use]
    pub fn new(kernel: impl Into<PathBuf>) -> Self {
        Self {
            kernel: kernel.into(),
            args: Vec::new(),
            cpu: "max".to_owned(),
            smp: 1,
            mem: "256M".to_owned(),
            gic: None,
            el2: false,
            icount: None,
            timeout: Some(Duration::from_secs(120)),
            witness: Witnessing::Wanted,
            debug: false,
            echo: false,
            keep: None,
        }
    }

    /// Boots, and waits for the end.
    ///
    /// # Errors
    /// When no boot takes place. A boot that fails is an [`Outcome`].
    pub fn run(&self) -> Result<Outcome, BootError> {
        let qemu = Qemu::find()?;
        let kernel = self.find_kernel()?;
        let mut notes = Vec::new();
        let plugin = self.find_plugin(&qemu, &mut notes)?;
        if let Some(dir) = &self.keep {
            forget(dir).map_err(|e| BootError::files(dir, &e))?;
        }
        let dir = WorkDir::new().map_err(|e| BootError::files(&places::target_dir(), &e))?;
        let mut command = Command::new(&qemu.program);
        command
            .args(self.qemu_args(&kernel, plugin.as_deref()))
            .current_dir(dir.path());
        let shown = show(&command);
        let done =
            process::run(&mut command, self.timeout, self.echo).map_err(|e| BootError::Start {
                command: shown.clone(),
                why: e.to_string(),
            })?;

        let mut outcome = Outcome {
            verdict: self.verdict(&done, &mut notes),
            command: shown,
            console: done.stdout,
            qemu_said: done.stderr,
            windows: None,
            rows: None,
            notes,
        };
        outcome.read_report(&dir);
        if plugin.is_some() && outcome.verdict != Verdict::NoBoot {
            outcome.read_witness(&dir);
        }
        if let Some(to) = &self.keep {
            outcome
                .keep(&dir, to)
                .map_err(|e| BootError::files(to, &e))?;
        }
        Ok(outcome)
    }

    /// The whole line for QEMU, without the program's name.
    #[must_use]
    pub fn qemu_args(&self, kernel: &Path, plugin: Option<&Path>) -> Vec<OsString> {
        let mut machine = "virt".to_owned();
        if let Some(gic) = self.gic {
            machine += &format!(",gic-version={gic}");
        }
        if self.el2 {
            machine += ",virtualization=on";
        }
        let smp = self.smp.to_string();
        let fixed = [
            ["-M", &machine],
            ["-cpu", &self.cpu],
            ["-smp", &smp],
            ["-m", &self.mem],
            ["-nic", "none"],
            ["-display", "none"],
            ["-serial", "stdio"],
            ["-semihosting-config", "enable=on,target=native"],
        ];
        // Without `-nodefaults` QEMU also looks for what this kernel has no use for: a monitor, a network card's ROM.
        let mut args = vec![OsString::from("-nodefaults")];
        args.extend(fixed.as_flattened().iter().map(OsString::from));
        if let Some(icount) = &self.icount {
            args.extend(["-icount", icount].map(OsString::from));
        }
        if let Some(plugin) = plugin {
            // In QEMU's option lists a comma is written twice.
            let file = plugin.to_string_lossy().replace(',', ",,");
            args.extend([
                "-plugin".into(),
                format!("file={file},out={}", witness::PLUGIN_FILE).into(),
            ]);
        }
        if self.debug {
            args.extend(["-s", "-S"].map(OsString::from));
        }
        args.extend([
            OsString::from("-kernel"),
            kernel.into(),
            "-append".into(),
            self.args.join(" ").into(),
        ]);
        args
    }

    fn find_kernel(&self) -> Result<PathBuf, BootError> {
        let bad = |why: String| BootError::Kernel {
            path: self.kernel.clone(),
            why,
        };
        let path = fs::canonicalize(&self.kernel).map_err(|e| bad(e.to_string()))?;
        let mut head = [0; 20];
        fs::File::open(&path)
            .and_then(|mut file| io::Read::read_exact(&mut file, &mut head))
            .map_err(|e| bad(e.to_string()))?;
        // A 64-bit little-endian ELF file for AArch64. QEMU takes anything else for raw code and runs it.
        if head[..6] == *b"\x7fELF\x02\x01" && head[18..] == [183, 0] {
            Ok(path)
        } else {
            Err(bad("it is not an ELF file for AArch64".to_owned()))
        }
    }

    fn find_plugin(
        &self,
        qemu: &Qemu,
        notes: &mut Vec<String>,
    ) -> Result<Option<PathBuf>, BootError> {
        // Under gdb a boot has no end to compare at.
        if self.witness == Witnessing::Off || self.debug {
            return Ok(None);
        }
        match plugin::library(qemu) {
            Ok(library) => Ok(Some(library)),
            Err(why) if self.witness == Witnessing::Required => Err(BootError::Plugin(why)),
            Err(why) => {
                notes.push(format!(
                    "WARNING: no witness, the kernel's counts stand unchecked: {why}"
                ));
                Ok(None)
            }
        }
    }

    fn verdict(&self, done: &Finished, notes: &mut Vec<String>) -> Verdict {
        let Some(status) = done.status else {
            let limit = self.timeout.unwrap_or_default().as_secs();
            notes.push(format!(
                "no end after {limit} s: QEMU was killed (--timeout or TIMEOUT allow more)"
            ));
            return Verdict::Timeout;
        };
        let (verdict, note) = judge(status, &done.stdout, &done.stderr);
        notes.extend(note);
        verdict
    }
}

/// The verdict of a QEMU that ended by itself.
fn judge(status: ExitStatus, console: &str, stderr: &str) -> (Verdict, Option<String>) {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    // QEMU too ends with 1 when something is wrong with its own arguments, and says so before anything runs.
    let complaint = stderr.lines().find(|line| line.starts_with("qemu-system-"));
    match (code, complaint) {
        (None, _) => (Verdict::NoBoot, Some(format!("QEMU died: {status}"))),
        (Some(1), Some(complaint)) if console.is_empty() => {
            let plugin = complaint.contains("load plugin");
            let hint = if plugin {
                "; WITNESS=off boots without it"
            } else {
                ""
            };
            (
                Verdict::NoBoot,
                Some(format!("QEMU did not start the kernel: {complaint}{hint}")),
            )
        }
        (Some(code), _) => {
            let verdict = Verdict::from_code(code);
            let own = matches!(
                verdict,
                Verdict::Unknown(_) | Verdict::Timeout | Verdict::NoBoot
            );
            (
                verdict,
                own.then(|| {
                    format!(
                        "the kernel ended with status {code}, which is none of a kernel's verdicts"
                    )
                }),
            )
        }
    }
}

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
    /// What the plugin saw, when it was there.
    pub windows: Option<Vec<Window>>,
    /// Rows of `report.json` ([`report::check`]), when the kernel wrote one that is sound.
    pub rows: Option<Vec<String>>,
    /// What a person should know beside the console, a line each.
    pub notes: Vec<String>,
}

impl Outcome {
    /// A check of the runner's failed: that is the verdict, unless the boot has a worse one already.
    fn fail(&mut self, why: String) {
        self.notes.push(why);
        if self.verdict == Verdict::Good {
            self.verdict = Verdict::CheckFailed;
        }
    }

    fn read_report(&mut self, dir: &WorkDir) {
        match dir.read(report::FILE).map(|text| report::check(&text)) {
            None => {}
            Some(Ok(rows)) => self.rows = Some(rows),
            Some(Err(flaw)) => self.fail(flaw.to_string()),
        }
    }

    fn read_witness(&mut self, dir: &WorkDir) {
        let Some(text) = dir.read(witness::PLUGIN_FILE) else {
            return self.fail("witness: FAILED, the plugin wrote nothing".to_owned());
        };
        let kernel = witness::parse_kernel(&dir.read(witness::KERNEL_FILE).unwrap_or_default());
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

    fn keep(&self, dir: &WorkDir, to: &Path) -> io::Result<()> {
        if let Some(windows) = &self.windows {
            fs::write(
                to.join(witness::JSON_FILE),
                format!("{:#}\n", witness::to_json(windows)),
            )?;
        }
        // A trace is kept of a boot that failed, too: it is what tells why.
        for file in files_with(dir.path(), "trace")? {
            fs::copy(dir.path().join(&file), to.join(&file))?;
        }
        if self.verdict == Verdict::Good {
            for file in files_with(dir.path(), "json")? {
                fs::copy(dir.path().join(&file), to.join(&file))?;
            }
        }
        Ok(())
    }
}

/// What the kernel writes under `check=on trace=on`.
const TRACE_FILE: &str = "events.trace";

/// Removes what an earlier boot left, so that nobody takes it for this one's.
fn forget(dir: &Path) -> io::Result<()> {
    for file in [report::FILE, witness::JSON_FILE, TRACE_FILE] {
        match fs::remove_file(dir.join(file)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

fn files_with(dir: &Path, extension: &str) -> io::Result<Vec<OsString>> {
    let names = fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name()));
    let has = |name: &OsString| {
        Path::new(name)
            .extension()
            .is_some_and(|end| end == extension)
    };
    names
        .filter(|name| name.as_ref().map_or(true, has))
        .collect()
}

/// A command as one would type it.
fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted = words.map(|word| {
        let word = word.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+,./:".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            word.into_owned()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// Why no boot took place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BootError {
    /// There is no usable QEMU.
    Qemu(NoQemu),
    /// The kernel cannot be booted.
    Kernel {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// There is no plugin, and this boot must not go without.
    Plugin(plugin::NoPlugin),
    /// QEMU could not be started or waited for.
    Start {
        /// The command.
        command: String,
        /// What the system says.
        why: String,
    },
    /// Files could not be written.
    Files {
        /// Where.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
}

impl BootError {
    fn files(path: &Path, error: &io::Error) -> Self {
        Self::Files {
            path: path.to_path_buf(),
            why: error.to_string(),
        }
    }
}

impl From<NoQemu> for BootError {
    fn from(why: NoQemu) -> Self {
        Self::Qemu(why)
    }
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Qemu(why) => why.fmt(f),
            Self::Kernel { path, why } => {
                write!(
                    f,
                    "cannot boot {}: {why}; `make build` builds the kernels",
                    path.display()
                )
            }
            Self::Plugin(why) => write!(f, "no witness: {why}"),
            Self::Start { command, why } => write!(f, "cannot run `{command}`: {why}"),
            Self::Files { path, why } => write!(
                f,
                "cannot write the boot's files in {}: {why}",
                path.display()
            ),
        }
    }
}

impl std::error::Error for BootError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn line(boot: &Boot, plugin: Option<&str>) -> String {
        let mut command = Command::new("qemu");
        command.args(boot.qemu_args(Path::new("/k.elf"), plugin.map(Path::new)));
        show(&command)
    }

    #[test]
    fn the_usual_machine() {
        assert_eq!(
            line(&Boot::new("k.elf"), None),
            "qemu -nodefaults -M virt -cpu max -smp 1 -m 256M -nic none -display none -serial stdio \
             -semihosting-config enable=on,target=native -kernel /k.elf -append ''"
        );
    }

    #[test]
    fn everything_else_in_its_place() {
        let boot = Boot {
            args: vec!["run=zap".into(), "pages=8".into()],
            gic: Some(3),
            el2: true,
            icount: Some("shift=0".into()),
            debug: true,
            ..Boot::new("k.elf")
        };
        let line = line(&boot, Some("/a,b/p.so"));
        assert!(
            line.contains("-M virt,gic-version=3,virtualization=on "),
            "{line}"
        );
        assert!(
            line.contains("-icount shift=0 -plugin file=/a,,b/p.so,out=witness.txt -s -S "),
            "{line}"
        );
        assert!(line.ends_with("-append 'run=zap pages=8'"), "{line}");
    }

    #[test]
    fn who_ended_with_one() {
        let one = ExitStatus::from_raw(1 << 8);
        let complaint = "qemu-system-aarch64: unable to find CPU model 'banana'\n";
        assert_eq!(judge(one, "", complaint).0, Verdict::NoBoot);
        assert_eq!(judge(one, "a check failed\n", "").0, Verdict::CheckFailed);
        assert_eq!(judge(one, "", "").0, Verdict::CheckFailed);
        assert_eq!(judge(ExitStatus::from_raw(11), "", "").0, Verdict::NoBoot);
        assert_eq!(
            judge(ExitStatus::from_raw(77 << 8), "", "").0,
            Verdict::Unknown(77)
        );
        assert!(judge(ExitStatus::from_raw(0), "", complaint).1.is_none());
    }

    #[test]
    fn what_is_no_kernel() {
        let missing = Boot::new("/nonexistent/kernel").find_kernel().unwrap_err();
        assert!(
            missing
                .to_string()
                .starts_with("cannot boot /nonexistent/kernel: "),
            "{missing}"
        );
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/boot.rs");
        assert!(
            Boot::new(source)
                .find_kernel()
                .unwrap_err()
                .to_string()
                .contains("not an ELF file")
        );
    }
}
