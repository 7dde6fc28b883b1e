//! The program `boot` when a signal ends it, when its output goes nowhere, when QEMU is ended: what it answers, and that it leaves
//! no QEMU and no directory behind.
#![cfg(unix)]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use lazy_mmu_tools::interrupt::ENDS_WITH;
use lazy_mmu_tools::places::{self, WorkDir};
use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process};

/// How long anything here may take.
const SOON: Duration = Duration::from_secs(60);

/// Waits until it holds.
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < SOON, "not within {SOON:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a process runs. One that has ended and that nobody has waited for does not.
fn runs(pid: Pid) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat
            .rsplit_once(") ")
            .is_some_and(|(_, state)| !state.starts_with('Z')),
        Err(_) => !Path::new("/proc/self").exists() && test_kill_process(pid).is_ok(),
    }
}

/// A QEMU that says which process it is.
struct Place {
    dir: WorkDir,
}

impl Place {
    fn new() -> Self {
        let dir = WorkDir::new().unwrap();
        let place = Self { dir };
        let script = format!(
            "#!/bin/sh\ncase $1 in --*) ;; *) echo $$ >'{0}.new'; mv '{0}.new' '{0}' ;; esac\nexec qemu-system-aarch64 \"$@\"\n",
            place.pid_file().display()
        );
        fs::write(place.qemu(), script).unwrap();
        fs::set_permissions(place.qemu(), fs::Permissions::from_mode(0o755)).unwrap();
        place
    }

    fn qemu(&self) -> PathBuf {
        self.dir.path().join("qemu")
    }

    fn pid_file(&self) -> PathBuf {
        self.dir.path().join("qemu.pid")
    }

    fn started(&self) -> bool {
        self.pid_file().exists()
    }

    /// The QEMU of the boot, as soon as it has been started.
    fn qemu_pid(&self) -> Pid {
        eventually("QEMU starts", || self.started());
        let text = fs::read_to_string(self.pid_file()).unwrap();
        Pid::from_raw(text.trim().parse().unwrap()).unwrap()
    }

    /// A command that boots with this QEMU, and without what the tests' own caller has set.
    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        for name in [
            "ARGS", "CPU", "SMP", "MEM", "GIC", "EL2", "ICOUNT", "GDB", "TESTS",
        ] {
            command.env_remove(name);
        }
        for name in ["MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", ENDS_WITH] {
            command.env_remove(name);
        }
        command
            .env("QEMU", self.qemu())
            .env("KEEP", self.dir.path().join("kept"))
            .env("TIMEOUT", "120")
            .env("WITNESS", "off")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn boot(&self, args: &str) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_boot"));
        command.arg(places::kernel("lazy-mmu-guest"));
        command.args(args.split_whitespace());
        command
    }
}

/// A program that is running; killed if the test fails.
struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a program ended and what it said.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    /// Reads up to a line of the kernel's: from then on it runs.
    fn until(mut self, line: &str) -> Self {
        let mut read = String::new();
        while !read.ends_with(&format!("{line}\n")) {
            let n = self.out.read_line(&mut read).unwrap();
            assert!(n > 0, "no `{line}` in {read}");
        }
        self
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn ended(mut self) -> Ended {
        let begin = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(begin.elapsed() < SOON, "it does not end");
            thread::sleep(Duration::from_millis(10));
        }
        let (mut out, mut err) = (String::new(), String::new());
        self.out.read_to_string(&mut out).unwrap();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut err).unwrap();
        let code = self.child.wait().unwrap().code();
        Ended { code, out, err }
    }
}

/// Whether this process ignores the signal: HUP under `nohup`, INT in the background of a shell. Then all that it starts ignores
/// it too, and goes on.
fn is_ignored(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let bit = 1 << (signal.as_raw() - 1);
    ignored.is_some_and(|set| u64::from_str_radix(set.trim(), 16).is_ok_and(|set| set & bit != 0))
}

/// The directories that a runner has in use, or has left.
fn work_dirs(runner: Pid) -> usize {
    let boots = places::target_dir().join("boots");
    let mine = format!("{runner}-");
    let entries = fs::read_dir(boots).unwrap().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&mine))
        .count()
}

#[test]
fn a_signal_ends_qemu_too() {
    for (signal, name) in [
        (Signal::INT, "SIGINT"),
        (Signal::TERM, "SIGTERM"),
        (Signal::HUP, "SIGHUP"),
    ] {
        // The runner takes an INT and a TERM in any case.
        if signal == Signal::HUP && is_ignored(signal) {
            continue;
        }
        let place = Place::new();
        let boot = Running::start(&mut place.boot("print=begin hang")).until("begin");
        let (runner, qemu) = (boot.pid(), place.qemu_pid());
        assert!(runs(qemu) && work_dirs(runner) == 2);
        kill_process(runner, signal).unwrap();
        let ended = boot.ended();
        assert_eq!(ended.code, Some(125), "{ended:?}");
        let said =
            format!("interrupted by {name}: QEMU was killed; it had come to: begin\nverdict 125 ");
        assert!(ended.out.contains(&said), "{ended:?}");
        assert!(!runs(qemu) && work_dirs(runner) == 0);
    }
}

/// ^C goes to QEMU as well, which then ends with 0.
#[test]
fn an_interrupt_from_the_terminal_is_no_good_end() {
    let place = Place::new();
    let mut command = place.boot("print=begin hang");
    let boot = Running::start(command.process_group(0)).until("begin");
    let (runner, qemu) = (boot.pid(), place.qemu_pid());
    kill_process_group(runner, Signal::INT).unwrap();
    let ended = boot.ended();
    assert_eq!(ended.code, Some(125), "{ended:?}");
    assert!(!runs(qemu) && work_dirs(runner) == 0);
}

#[test]
fn a_signal_is_heeded_while_nobody_reads() {
    let place = Place::new();
    let boot = Running::start(&mut place.boot("print=begin loud"));
    let (runner, qemu) = (boot.pid(), place.qemu_pid());
    // The pipe is full by then.
    thread::sleep(Duration::from_secs(1));
    kill_process(runner, Signal::TERM).unwrap();
    eventually("QEMU ends", || !runs(qemu));
    eventually("the runner ends", || !runs(runner));
    assert_eq!(boot.ended().code, Some(125));
}

#[test]
fn a_hangup_that_is_ignored_stays_ignored() {
    if !Path::new("/proc/self/status").exists() {
        return;
    }
    let place = Place::new();
    let mut command = place.command("sh");
    command.args([
        "-c",
        "trap '' HUP; exec \"$@\"",
        "sh",
        env!("CARGO_BIN_EXE_boot"),
    ]);
    command.arg(places::kernel("lazy-mmu-guest"));
    command.args(["print=begin", "hang"]);
    let boot = Running::start(&mut command).until("begin");
    kill_process(boot.pid(), Signal::HUP).unwrap();
    thread::sleep(Duration::from_millis(500));
    assert!(runs(place.qemu_pid()));
    kill_process(boot.pid(), Signal::TERM).unwrap();
    assert!(boot.ended().out.contains("interrupted by SIGTERM"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_runner_that_is_killed_leaves_no_qemu_and_the_next_one_sweeps() {
    let place = Place::new();
    let boot = Running::start(&mut place.boot("print=begin hang")).until("begin");
    let (runner, qemu) = (boot.pid(), place.qemu_pid());
    kill_process(runner, Signal::KILL).unwrap();
    eventually("QEMU ends", || !runs(qemu));
    drop(boot);
    assert_eq!(work_dirs(runner), 2);
    assert_eq!(Running::start(&mut place.boot("")).ended().code, Some(0));
    assert_eq!(work_dirs(runner), 0);
}

/// make passes on nothing when it is killed.
#[test]
fn a_boot_ends_with_the_process_that_started_it() {
    let place = Place::new();
    let mut starter = Command::new("sleep").arg("600").spawn().unwrap();
    let mut command = place.boot("print=begin hang");
    let boot = Running::start(command.env(ENDS_WITH, starter.id().to_string())).until("begin");
    let qemu = place.qemu_pid();
    starter.kill().unwrap();
    // Nobody has waited for it yet where the system knows it.
    if !cfg!(target_os = "linux") {
        starter.wait().unwrap();
    }
    let ended = boot.ended();
    starter.wait().unwrap();
    assert_eq!(ended.code, Some(125), "{ended:?}");
    assert!(
        ended.out.contains("which started this boot, was ended"),
        "{ended:?}"
    );
    assert!(!runs(qemu));
    let ended = Running::start(place.boot("").env(ENDS_WITH, "make")).ended();
    assert_eq!(ended.code, Some(125), "{ended:?}");
}

/// make that was sent INT or HUP while the kernel was being built waits for what it has started, and no longer handles the signal.
#[cfg(target_os = "linux")]
#[test]
fn a_boot_ends_with_a_starter_that_was_ended_before_it_began() {
    let place = Place::new();
    let mut starter = Command::new("sleep").arg("600").spawn().unwrap();
    // HUP is signal 1, INT signal 2; sleep handles neither.
    let ends_with = format!("{} 0000000000000003", starter.id());
    let ended = Running::start(place.boot("hang").env(ENDS_WITH, ends_with)).ended();
    starter.kill().unwrap();
    starter.wait().unwrap();
    assert_eq!(ended.code, Some(125), "{ended:?}");
    let why = format!("process {}, which started this boot", starter.id());
    assert!(
        ended.out.contains(&why) || ended.err.contains(&why),
        "{ended:?}"
    );
}

#[test]
fn a_qemu_that_is_ended_is_no_good_end() {
    for witness in ["off", "must"] {
        let place = Place::new();
        let mut command = place.boot("print=begin unfit hang");
        let boot = Running::start(command.env("WITNESS", witness)).until("begin");
        kill_process(place.qemu_pid(), Signal::TERM).unwrap();
        let ended = boot.ended();
        assert_eq!(ended.code, Some(125), "{ended:?}");
        assert!(ended.out.contains("terminating on signal 15"), "{ended:?}");
        assert!(!ended.out.contains("witness"), "{ended:?}");

        let place = Place::new();
        let boot = Running::start(&mut place.boot("print=begin hang")).until("begin");
        kill_process(place.qemu_pid(), Signal::KILL).unwrap();
        let ended = boot.ended();
        assert_eq!(ended.code, Some(125), "{ended:?}");
        assert!(ended.out.contains("QEMU died"), "{ended:?}");
    }
}

#[test]
fn a_reader_that_goes_changes_no_verdict() {
    for code in [0, 4] {
        let place = Place::new();
        let args = format!("print=begin spin=100000000 print=more print=still exit={code}");
        let mut boot = place.boot(&args).spawn().unwrap();
        drop(boot.stdout.take());
        let mut err = String::new();
        boot.stderr
            .take()
            .unwrap()
            .read_to_string(&mut err)
            .unwrap();
        assert_eq!(boot.wait().unwrap().code(), Some(code), "{err}");
        assert_eq!(err, "");
    }
    let mut help = Command::new(env!("CARGO_BIN_EXE_boot"));
    let mut help = help.arg("--help").stdout(Stdio::piped()).spawn().unwrap();
    drop(help.stdout.take());
    assert_eq!(help.wait().unwrap().code(), Some(0));
}

#[test]
fn a_full_disk_changes_no_verdict() {
    let Ok(full) = File::options().write(true).open("/dev/full") else {
        return;
    };
    for code in [0, 4] {
        let place = Place::new();
        let mut command = place.boot(&format!("print=one print=two exit={code}"));
        let done = command.stdout(full.try_clone().unwrap()).output().unwrap();
        let err = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(code), "{err}");
        assert_eq!(
            err.matches("the output is not complete").count(),
            1,
            "{err}"
        );
        assert_eq!(err.lines().count(), 1, "{err}");
        // Nor is there a place for errors.
        let done = command.stderr(full.try_clone().unwrap()).status().unwrap();
        assert_eq!(done.code(), Some(code));
    }
}

/// A directory in the report's place, as a full disk, stops even root. What the boot was worth is said all the same.
#[test]
fn files_that_cannot_be_left_hide_no_verdict() {
    for (args, code) in [
        ("run=vmap pages=4096", 1),
        ("run=vmap,mixed policy=linux7 seconds=600", 124),
    ] {
        let place = Place::new();
        let kept = place.dir.path().join("kept");
        fs::create_dir(&kept).unwrap();
        let mut command = place.command(env!("CARGO_BIN_EXE_boot"));
        command.arg(places::kernel("lazy-mmu-kernel"));
        command.args(args.split(' ')).env("TIMEOUT", "10");
        let boot = Running::start(&mut command);
        place.qemu_pid();
        fs::create_dir(kept.join("report.json")).unwrap();
        let ended = boot.ended();
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(
            ended.out.contains("cannot write the boot's files in "),
            "{ended:?}"
        );
    }
}

#[test]
fn a_limit_that_is_none_is_refused_before_qemu_starts() {
    for limit in [
        "18446744073709551615",
        "9223372036854775807",
        "-1",
        "0.5",
        "1e9",
        "inf",
        " ",
    ] {
        let place = Place::new();
        let ended = Running::start(place.boot("").env("TIMEOUT", limit)).ended();
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(
            ended.err.contains("it must be seconds, 0 to 31536000"),
            "{ended:?}"
        );
        assert!(!place.started());
    }
}

/// Cargo marks only a target directory that it makes itself; setup.sh comes first.
#[test]
fn a_fresh_target_directory_is_marked() {
    let place = Place::new();
    let fresh = place.dir.path().join("a target");
    fs::create_dir(&fresh).unwrap();
    // What it has found out before about the toolchain; it would build a target from source again.
    let _ = fs::copy(
        places::target_dir().join("setup.env"),
        fresh.join("setup.env"),
    );
    let mut command = place.command("sh");
    command
        .arg("tools/setup.sh")
        .current_dir(places::repository());
    let ended = Running::start(command.env("CARGO_TARGET_DIR", &fresh)).ended();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let tag = fs::read_to_string(fresh.join("CACHEDIR.TAG")).unwrap();
    assert!(
        tag.starts_with("Signature: 8a477f597d28d172789f06886806bc55\n"),
        "{tag}"
    );
}

/// `make` in this repository.
fn make(place: &Place, goal: &str) -> Command {
    let mut command = place.command("make");
    command
        .args(["--no-print-directory", goal])
        .current_dir(places::repository());
    command
}

#[test]
fn a_make_that_is_ended_leaves_no_qemu() {
    for signal in [Signal::TERM, Signal::KILL, Signal::INT, Signal::HUP] {
        if !cfg!(target_os = "linux") && [Signal::INT, Signal::HUP].contains(&signal) {
            // Seen on Linux alone.
            continue;
        }
        if is_ignored(signal) {
            continue;
        }
        let place = Place::new();
        let mut command = make(&place, "run");
        command.args(["SMP=2", "ARGS=run=mixed policy=linux7 tasks=4 seconds=600"]);
        let make = Running::start(&mut command);
        let qemu = place.qemu_pid();
        kill_process(make.pid(), signal).unwrap();
        eventually("QEMU ends", || !runs(qemu));
        let ended = make.ended();
        assert_ne!(ended.code, Some(0), "{ended:?}");
        assert!(!ended.out.contains("verdict 0"), "{ended:?}");
    }
}

#[test]
fn make_passes_words_on_and_no_shell_reads_them() {
    let place = Place::new();
    let trap = place.dir.path().join("trap");
    let trap = trap.display();
    for word in [
        format!("x\";touch${{IFS}}{trap};\""),
        format!("x';touch${{IFS}}{trap};'"),
        format!("x`touch${{IFS}}{trap}`"),
        format!("x$(touch${{IFS}}{trap})"),
        format!("x$$(shell${{IFS}}touch)$@#{trap}"),
        "x,file=/etc/passwd,,y=on".to_owned(),
        "--help".to_owned(),
    ] {
        let mut command = make(&place, "run");
        let ended = Running::start(command.arg(format!("ARGS=pages=8\n{word} k=1"))).ended();
        assert!(
            ended.out.contains(&format!("bad argument `{word}`: ")),
            "{ended:?}"
        );
        assert!(ended.out.contains("verdict 2"), "{ended:?}");
        assert!(!place.dir.path().join("trap").exists(), "{word}");
    }
    let mut command = make(&place, "run");
    let ended = Running::start(command.arg(format!("CPU=x\";touch {trap};\""))).ended();
    assert!(ended.out.contains("verdict 125"), "{ended:?}");
    assert!(!place.dir.path().join("trap").exists());
}
