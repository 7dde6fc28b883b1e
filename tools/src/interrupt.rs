//! What ends a boot from outside: INT, TERM, HUP, and the end of the process that asked for it.
//!
//! [`heed`] starts to listen. From the first cause on [`cause`] names it, every [`process::run`](crate::process::run) kills its
//! child and returns, and so work directories are removed on the way out. A runner that does not get out, because nobody takes
//! its output, is ended after [`GRACE`].
//!
//! KILL cannot be heeded. On Linux a child is started so that it is killed when the runner dies; what the runner has left on
//! disk the next one sweeps.

use std::env;
use std::fmt;
use std::fs;
use std::io;
use std::process;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, test_kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::verdict::Verdict;

/// The variable with the number of a process that this one must not outlive. make sets it to its own: killed, it passes
/// nothing on to what it has started.
pub const ENDS_WITH: &str = "LAZY_MMU_ENDS_WITH";

/// How long the process may take from the cause to its own end.
pub const GRACE: Duration = Duration::from_secs(3);

/// What ended it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A signal, by its name.
    Signal(&'static str),
    /// The process named by [`ENDS_WITH`] is gone.
    Gone(String),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(name) => write!(f, "interrupted by {name}"),
            Self::Gone(pid) => write!(f, "process {pid}, which asked for the boot, is gone"),
        }
    }
}

static CAUSE: OnceLock<Cause> = OnceLock::new();

/// Why this process is to end, if it is.
#[must_use]
pub fn cause() -> Option<&'static Cause> {
    CAUSE.get()
}

/// Listens for the signals, and for the end of the process that [`ENDS_WITH`] names. To be called once, by `main`.
///
/// A signal that was ignored when this process began stays so: `nohup` means it.
///
/// # Errors
/// When the system refuses to say when a signal comes, or the variable holds no process's number.
pub fn heed() -> io::Result<()> {
    let ignored = ignored();
    let wanted = [SIGINT, SIGTERM, SIGHUP].into_iter();
    let mut signals = Signals::new(wanted.filter(|signal| ignored & (1 << (signal - 1)) == 0))?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            end(Cause::Signal(name(signal)));
        }
    });
    if let Some(text) = env::var_os(ENDS_WITH).filter(|text| !text.is_empty()) {
        let text = text.to_string_lossy().into_owned();
        let pid = text.parse().ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| {
            io::Error::other(format!("{ENDS_WITH}={text} is no process's number"))
        })?;
        thread::spawn(move || {
            wait_for(pid);
            end(Cause::Gone(text));
        });
    }
    Ok(())
}

/// Makes the cause known, and sees to it that the process ends.
fn end(cause: Cause) -> ! {
    // The second cause of two changes nothing.
    let _ = CAUSE.set(cause);
    thread::sleep(GRACE);
    process::exit(i32::from(Verdict::NoBoot.code()))
}

fn name(signal: i32) -> &'static str {
    match signal {
        SIGINT => "SIGINT",
        SIGHUP => "SIGHUP",
        _ => "SIGTERM",
    }
}

/// The signals that are ignored, a bit each from signal 1 on. Known on Linux alone; elsewhere none.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.unwrap_or(0)
}

/// Returns when the process is no more.
fn wait_for(pid: Pid) {
    // Exact, and true of a process that has ended and that nobody has waited for. Since Linux 5.3.
    #[cfg(target_os = "linux")]
    {
        use rustix::event::{PollFd, PollFlags, poll};
        use rustix::process::{PidfdFlags, pidfd_open};
        if let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) {
            let mut ended = [PollFd::new(&process, PollFlags::IN)];
            while poll(&mut ended, None) == Err(rustix::io::Errno::INTR) {}
            return;
        }
    }
    while test_kill_process(pid).is_ok() {
        thread::sleep(Duration::from_millis(200));
    }
}
