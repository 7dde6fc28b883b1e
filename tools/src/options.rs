//! The command line of `boot`, and the variables that stand in for it.

use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

use crate::boot::{Boot, Witnessing};
use crate::limit;

/// What `boot --help` prints.
pub const HELP: &str = "\
boot [options] KERNEL [words of the kernel's command line]

Boots a kernel in QEMU and ends with the status of the boot: 0 all good, 1 a check failed, 2 bad arguments, 3 panic,
4 unexpected exception, 5 this machine cannot run it, 124 timeout, 125 QEMU did not run it to an end.

  --cpu MODEL      QEMU's -cpu                          CPU      max
  --smp N          cores                                SMP      1
  --mem SIZE       memory                               MEM      256M
  --gic 2|3        version of the interrupt controller  GIC      QEMU's choice
  --el2 on|off     enter at EL2 instead of EL1          EL2      off
  --icount SPEC    clock that counts instructions; on   ICOUNT   off
                   is shift=0, else as QEMU takes it
  --timeout SECS   kill QEMU then; 0 is never           TIMEOUT  what is run
                                                                 decides, at least 120
  --witness WORD   the counting plugin: on, off, or     WITNESS  on
                   must (no boot without it)
  --keep DIR       leave the boot's files there         KEEP     Cargo's target/
  --debug          wait for gdb on port 1234; GDB may   GDB=on
                   be another port

The variable in the third column stands in for an option that is not given; the last column is what holds without it. ARGS
stands in for the kernel's words: it is split at white space, and nothing in it means anything else.
";

/// What the command line says.
#[derive(Debug)]
pub enum Request {
    /// Print [`HELP`].
    Help,
    /// Boot.
    Boot(Box<Boot>),
}

/// A command line, or a variable, that names something that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadOption(String);

impl BadOption {
    /// What is wrong, without the pointer to the help of `boot`.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BadOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; `boot --help` lists what there is", self.0)
    }
}

impl std::error::Error for BadOption {}

impl From<lexopt::Error> for BadOption {
    fn from(error: lexopt::Error) -> Self {
        Self(error.to_string())
    }
}

const SETTINGS: [(&str, &str); 9] = [
    ("cpu", "CPU"),
    ("smp", "SMP"),
    ("mem", "MEM"),
    ("gic", "GIC"),
    ("el2", "EL2"),
    ("icount", "ICOUNT"),
    ("timeout", "TIMEOUT"),
    ("witness", "WITNESS"),
    ("keep", "KEEP"),
];

/// The port that gdb's own documents use.
const GDB_PORT: u16 = 1234;

/// The longest `timeout`, in seconds: a year. Without a limit is 0.
const TIMEOUT_MAX: u64 = 365 * 86_400;

/// Reads the command line (without the program's name); `variable` looks a variable up.
///
/// # Errors
/// [`BadOption`] says what is wrong and what is allowed.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Request, BadOption> {
    parse_with(args, variable, &[])
}

/// As [`parse`], and gives the kernel those of `words`, each `key=value`, whose key is not on its line.
///
/// # Errors
/// As [`parse`].
pub fn parse_with(
    args: impl IntoIterator<Item = OsString>,
    variable: impl Fn(&str) -> Option<String>,
    words: &[&str],
) -> Result<Request, BadOption> {
    let mut boot = Boot::new("");
    let mut limited = false;
    for (key, name) in SETTINGS {
        // make passes on what was not given as an empty word.
        if let Some(value) = variable(name).filter(|value| !value.is_empty()) {
            limited |= key == "timeout";
            set(&mut boot, key, &value)
                .map_err(|e| BadOption(format!("{name}={value}: {}", e.0)))?;
        }
    }
    if let Some(value) = variable("GDB").filter(|value| !value.is_empty()) {
        boot.debug = gdb_port(&value)?;
    }
    let mut parser = lexopt::Parser::from_args(args);
    let kernel = loop {
        match parser.next()? {
            None => return Err(BadOption("there is no kernel to boot".to_owned())),
            Some(lexopt::Arg::Value(kernel)) => break kernel,
            Some(lexopt::Arg::Long("help") | lexopt::Arg::Short('h')) => return Ok(Request::Help),
            Some(lexopt::Arg::Long("debug")) => boot.debug = Some(GDB_PORT),
            Some(lexopt::Arg::Long(key)) => {
                let Some((key, _)) = SETTINGS.into_iter().find(|(known, _)| *known == key) else {
                    return Err(BadOption(format!("there is no option --{key}")));
                };
                let value = parser.value()?.to_string_lossy().into_owned();
                limited |= key == "timeout";
                set(&mut boot, key, &value)
                    .map_err(|e| BadOption(format!("--{key} {value}: {}", e.0)))?;
            }
            Some(other) => return Err(other.unexpected().into()),
        }
    };
    boot.kernel = kernel.into();
    boot.args = parser
        .raw_args()?
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    if boot.args.is_empty() {
        let line = variable("ARGS").unwrap_or_default();
        boot.args = line.split_whitespace().map(str::to_owned).collect();
    }
    for word in words {
        let key = word.split_inclusive('=').next().unwrap_or(word);
        if !boot.args.iter().any(|given| given.starts_with(key)) {
            boot.args.push((*word).to_owned());
        }
    }
    if boot.debug.is_some() {
        boot.timeout = None;
    } else if !limited {
        boot.timeout = Some(limit::of(&boot));
    }
    Ok(Request::Boot(Box::new(boot)))
}

/// Sets one part of the machine by the name it has as an option: `cpu`, `smp`, `mem`, `gic`, `el2`, `icount`,
/// `timeout`, `witness`, `keep`.
///
/// # Errors
/// When there is no such part, or it cannot be this.
pub fn set(boot: &mut Boot, key: &str, value: &str) -> Result<(), BadOption> {
    let bad = |allowed: &str| BadOption(format!("it must be {allowed}"));
    match key {
        "cpu" => boot.cpu = value.to_owned(),
        "smp" => {
            boot.smp = value
                .parse()
                .ok()
                .filter(|n| (1..=512).contains(n))
                .ok_or_else(|| bad("1 to 512"))?
        }
        "mem" => boot.mem = value.to_owned(),
        "gic" => {
            boot.gic = Some(
                value
                    .parse()
                    .ok()
                    .filter(|n| [2, 3].contains(n))
                    .ok_or_else(|| bad("2 or 3"))?,
            )
        }
        "el2" => boot.el2 = switch(value).ok_or_else(|| bad("on or off"))?,
        "icount" => {
            boot.icount = match switch(value) {
                Some(true) => Some("shift=0".to_owned()),
                Some(false) => None,
                None => Some(value.to_owned()),
            }
        }
        "timeout" => {
            let seconds = value
                .parse()
                .ok()
                .filter(|seconds| *seconds <= TIMEOUT_MAX)
                .ok_or_else(|| bad(&format!("seconds, 0 to {TIMEOUT_MAX}")))?;
            boot.timeout = (seconds > 0).then(|| Duration::from_secs(seconds));
        }
        "witness" => {
            boot.witness = match value {
                "on" => Witnessing::Wanted,
                "off" => Witnessing::Off,
                "must" => Witnessing::Required,
                _ => return Err(bad("on, off or must")),
            }
        }
        "keep" => boot.keep = Some(value.into()),
        _ => return Err(BadOption(format!("there is no setting `{key}`"))),
    }
    Ok(())
}

/// Where gdb is waited for, if at all.
fn gdb_port(value: &str) -> Result<Option<u16>, BadOption> {
    match (switch(value), value.parse()) {
        (Some(on), _) => Ok(on.then_some(GDB_PORT)),
        (None, Ok(port @ 1..)) => Ok(Some(port)),
        _ => Err(BadOption(format!(
            "GDB={value}: it must be on, off or a port"
        ))),
    }
}

fn switch(value: &str) -> Option<bool> {
    match value {
        "on" | "1" => Some(true),
        "off" | "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot(line: &str, variables: &[(&str, &str)]) -> Result<Boot, String> {
        let variable = |name: &str| {
            variables
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| (*v).to_owned())
        };
        match parse(line.split_whitespace().map(OsString::from), variable) {
            Ok(Request::Boot(boot)) => Ok(*boot),
            Ok(Request::Help) => Err("help".to_owned()),
            Err(e) => Err(e.to_string()),
        }
    }

    #[test]
    fn what_follows_the_kernel_is_the_kernels() {
        let boot = boot("--smp 2 k.elf run=zap --cpu -h", &[]).unwrap();
        assert_eq!((boot.smp, boot.kernel.to_str()), (2, Some("k.elf")));
        assert_eq!(boot.args, ["run=zap", "--cpu", "-h"]);
        assert_eq!(boot.cpu, "max");
    }

    #[test]
    fn words_that_a_program_adds_give_way() {
        let words = ["check=on", "trace=on"];
        let with = |line: &str, args: &str| {
            let args = args.to_owned();
            let variable = move |name: &str| (name == "ARGS").then(|| args.clone());
            match parse_with(
                line.split_whitespace().map(OsString::from),
                variable,
                &words,
            ) {
                Ok(Request::Boot(boot)) => *boot,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(with("k", "").args, words);
        let given = with("k", "trace=all run=zap");
        assert_eq!(given.args, ["trace=all", "run=zap", "check=on"]);
        // The limit is that of what runs.
        let checked = with("k run=mixed seconds=100", "").timeout;
        assert_eq!(
            checked,
            with("k run=mixed seconds=100 check=on trace=on", "").timeout
        );
        assert!(checked > boot("k run=mixed seconds=100", &[]).unwrap().timeout);
    }

    #[test]
    fn options_go_before_variables() {
        let variables = [
            ("SMP", "4"),
            ("CPU", "cortex-a72"),
            ("MEM", ""),
            ("GIC", "3"),
            ("EL2", "on"),
        ];
        let boot = boot("--smp=2 k.elf", &variables).unwrap();
        assert_eq!(
            (boot.smp, boot.cpu.as_str(), boot.mem.as_str()),
            (2, "cortex-a72", "256M")
        );
        assert_eq!((boot.gic, boot.el2), (Some(3), true));
    }

    #[test]
    fn time_and_clock() {
        let of = |line: &str| boot(line, &[("TIMEOUT", "9")]).unwrap();
        assert_eq!(of("k").timeout, Some(Duration::from_secs(9)));
        assert_eq!(of("--timeout 0 k").timeout, None);
        assert_eq!(of("--debug k").timeout, None);
        assert!(waits(&[("GDB", "on")]) && !waits(&[("GDB", "")]) && !waits(&[("GDB", "off")]));
        assert_eq!(boot("k", &[("GDB", "4321")]).unwrap().debug, Some(4321));
        assert!(
            boot("k", &[("GDB", "gdb")])
                .unwrap_err()
                .contains("it must be on, off or a port")
        );
        assert_eq!(of("--icount on k").icount.as_deref(), Some("shift=0"));
        assert_eq!(
            of("--icount shift=auto k").icount.as_deref(),
            Some("shift=auto")
        );
        assert_eq!(of("--icount off k").icount, None);
        for (value, witness) in [
            ("on", Witnessing::Wanted),
            ("off", Witnessing::Off),
            ("must", Witnessing::Required),
        ] {
            assert_eq!(of(&format!("--witness {value} k")).witness, witness);
        }
    }

    #[test]
    fn the_limit_follows_from_what_is_asked_for() {
        let of = |line: &str, variables: &[(&str, &str)]| boot(line, variables).unwrap().timeout;
        let long = "run=mixed seconds=600";
        assert!(of("k", &[]) < of("k", &[("ARGS", long)]));
        assert_eq!(of(&format!("k {long}"), &[]), of("k", &[("ARGS", long)]));
        let said = [("ARGS", long), ("TIMEOUT", "7")];
        assert_eq!(of("k", &said), Some(Duration::from_secs(7)));
        assert_eq!(of("--timeout 8 k", &said), Some(Duration::from_secs(8)));
    }

    #[test]
    fn args_are_words_and_nothing_else() {
        let args = |line: &str, text: &str| boot(line, &[("ARGS", text)]).unwrap().args;
        assert_eq!(
            args("k", " a='b  c;d'\n$e\t`f`#g,h\\ \"\""),
            ["a='b", "c;d'", "$e", "`f`#g,h\\", "\"\""]
        );
        assert_eq!(args("k run=zap", "run=vmap"), ["run=zap"]);
        assert!(args("k", "").is_empty());
    }

    fn waits(variables: &[(&str, &str)]) -> bool {
        boot("k", variables).unwrap().debug.is_some()
    }

    #[test]
    fn errors_say_what_is_allowed() {
        let error = |line, variables| boot(line, variables).unwrap_err();
        assert!(error("", &[]).starts_with("there is no kernel to boot; "));
        assert!(error("--banana k", &[]).starts_with("there is no option --banana; "));
        assert!(error("--smp 0 k", &[]).starts_with("--smp 0: it must be 1 to 512; "));
        assert!(error("k", &[("GIC", "4")]).starts_with("GIC=4: it must be 2 or 3; "));
        for time in [
            "soon",
            "-1",
            "1.5",
            "1e3",
            "31536001",
            "9223372036854775808",
            "18446744073709551615",
            "99999999999999999999999",
        ] {
            let said = format!("TIMEOUT={time}: it must be seconds, 0 to 31536000; ");
            let why = boot("k", &[("TIMEOUT", time)]).unwrap_err();
            assert!(why.starts_with(&said), "{why}");
        }
        assert_eq!(error("--help", &[]), "help");
        assert!(error("-x k", &[]).contains("-x"));
    }
}
