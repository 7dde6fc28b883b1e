//! One boot: which kernel on which machine, and what came of it.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::interrupt::{self, Cause};
use crate::mark::Mark;
use crate::outcome::Outcome;
use crate::places::{self, WorkDir};
use crate::plugin;
use crate::process;
use crate::qemu::{NoQemu, Qemu};
use crate::results::Results;
use crate::witness;

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
    /// Wait for gdb on this port before the first instruction.
    pub debug: Option<u16>,
    /// Pass the console on while the kernel runs.
    pub echo: bool,
    /// Where to leave the boot's files: the kernel's reports and trace, and what the witness saw. See [`Results`].
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
            debug: None,
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
        if let Some(cause) = interrupt::cause() {
            return Err(BootError::Interrupted(cause.clone()));
        }
        let results = self.claim_results(&mut notes)?;
        let dir = WorkDir::new().map_err(|e| BootError::files(&places::target_dir(), &e))?;
        let mark = Mark::new();
        let mut command = Command::new(&qemu.program);
        command
            .args(self.qemu_args(&kernel, plugin.as_deref(), mark))
            .current_dir(dir.path());
        let shown = show(&command);
        let done =
            process::run(&mut command, self.timeout, self.echo).map_err(|e| BootError::Start {
                command: shown.clone(),
                why: e.to_string(),
            })?;
        let mut outcome = Outcome::of(done, &mark.look(&dir), shown, self.timeout);
        notes.append(&mut outcome.notes);
        outcome.notes = notes;
        outcome.read_report(&dir);
        outcome.read_measured(&dir);
        if plugin.is_some() {
            outcome.read_witness(&dir);
        }
        if let Some(results) = &results {
            outcome.keep(self, &qemu, &dir, results);
        }
        Ok(outcome)
    }

    /// The whole line for QEMU, without the program's name.
    #[must_use]
    pub fn qemu_args(&self, kernel: &Path, plugin: Option<&Path>, mark: Mark) -> Vec<OsString> {
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
        if let Some(port) = self.debug {
            args.extend(["-S", "-gdb", &format!("tcp:127.0.0.1:{port}")].map(OsString::from));
        }
        // QEMU takes what follows `-append` as it is, commas too.
        let mut line = self.args.clone();
        line.push(format!("mark={mark}"));
        args.extend([
            OsString::from("-kernel"),
            kernel.into(),
            "-append".into(),
            line.join(" ").into(),
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

    fn claim_results(&self, notes: &mut Vec<String>) -> Result<Option<Results>, BootError> {
        let Some(dir) = self.keep.as_deref() else {
            return Ok(None);
        };
        let results = Results::claim(dir).map_err(|e| BootError::files(dir, &e))?;
        if results.beside() {
            notes.push(format!(
                "another boot has {} at this moment: this one's files go to {}",
                dir.display(),
                results.dir().display()
            ));
        }
        Ok(Some(results))
    }

    fn find_plugin(
        &self,
        qemu: &Qemu,
        notes: &mut Vec<String>,
    ) -> Result<Option<PathBuf>, BootError> {
        // Under gdb a boot has no end to compare at.
        if self.witness == Witnessing::Off || self.debug.is_some() {
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
    /// This process was ended before QEMU was started.
    Interrupted(Cause),
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
            Self::Interrupted(cause) => write!(f, "{cause}: QEMU was not started"),
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

    fn line(boot: &Boot, plugin: Option<&str>) -> String {
        let mark = Mark::new();
        let mut command = Command::new("qemu");
        command.args(boot.qemu_args(Path::new("/k.elf"), plugin.map(Path::new), mark));
        show(&command).replace(&mark.to_string(), "MARK")
    }

    #[test]
    fn the_usual_machine() {
        assert_eq!(
            line(&Boot::new("k.elf"), None),
            "qemu -nodefaults -M virt -cpu max -smp 1 -m 256M -nic none -display none -serial stdio \
             -semihosting-config enable=on,target=native -kernel /k.elf -append mark=MARK"
        );
    }

    #[test]
    fn everything_else_in_its_place() {
        let boot = Boot {
            args: vec!["run=zap".into(), "pages=8".into()],
            gic: Some(3),
            el2: true,
            icount: Some("shift=0".into()),
            debug: Some(1234),
            ..Boot::new("k.elf")
        };
        let line = line(&boot, Some("/a,b/p.so"));
        assert!(
            line.contains("-M virt,gic-version=3,virtualization=on "),
            "{line}"
        );
        assert!(
            line.contains("-icount shift=0 -plugin file=/a,,b/p.so,out=witness.txt -S -gdb tcp:127.0.0.1:1234 "),
            "{line}"
        );
        assert!(
            line.ends_with("-append 'run=zap pages=8 mark=MARK'"),
            "{line}"
        );
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
