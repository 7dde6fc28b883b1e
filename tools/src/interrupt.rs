//! What ends a boot from outside: INT, TERM, HUP, and the end of the process that started it.
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

/// The variable with the number of a process that this one must not outlive, and behind it, where the system says so, the
/// signals that it handles, a hexadecimal set. make sets both to its own: killed, it passes nothing on to what it has started.
pub const ENDS_WITH: &str = "LAZY_MMU_ENDS_WITH";

/// How long the process may take from the cause to its own end.
pub const GRACE: Duration = Duration::from_secs(3);

/// How often it is checked that the process that started this still runs.
const LOOK: Duration = Duration::from_millis(200);

/// What ended it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A signal, by its name.
    Signal(&'static str),
    /// The process with this number, named by [`ENDS_WITH`], has ended or is about to.
    Asker(Pid),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(name) => write!(f, "interrupted by {name}"),
            Self::Asker(pid) => {
                write!(f, "process {pid}, which started this boot, was ended")
            }
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
/// A HUP that was ignored when this process began stays ignored: `nohup` means it. INT is heeded even so: a shell has what it
/// starts in the background ignore it, but QEMU does not.
///
/// # Errors
/// When the system refuses to say when a signal comes, or the variable holds no process's number.
pub fn heed() -> io::Result<()> {
    let ignored = set(&status("self").unwrap_or_default(), "SigIgn:");
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    if ignored & bit(SIGHUP) == 0 {
        signals.add_signal(SIGHUP)?;
    }
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            end(Cause::Signal(name(signal)));
        }
    });
    if let Some(text) = env::var_os(ENDS_WITH).filter(|text| !text.is_empty()) {
        let text = text.to_string_lossy().into_owned();
        let (pid, handled) = asker(&text).ok_or_else(|| {
            io::Error::other(format!("{ENDS_WITH}={text} is no process's number"))
        })?;
        thread::spawn(move || {
            wait_for(pid, handled);
            end(Cause::Asker(pid));
        });
    }
    Ok(())
}

/// What [`ENDS_WITH`] holds: the process, and the signals that it handled at its start.
fn asker(text: &str) -> Option<(Pid, Option<u64>)> {
    let mut words = text.split_whitespace();
    let pid = words.next()?.parse().ok().and_then(Pid::from_raw)?;
    let handled = match words.next() {
        Some(set) => Some(u64::from_str_radix(set, 16).ok()?),
        None => None,
    };
    words.next().is_none().then_some((pid, handled))
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

fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// What Linux says of a process. Other systems do not.
fn status(process: impl fmt::Display) -> Option<String> {
    fs::read_to_string(format!("/proc/{process}/status")).ok()
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = status.lines();
    lines.find_map(|line| Some(line.strip_prefix(name)?.trim()))
}

/// A set of signals, a bit each from signal 1 on.
fn set(status: &str, name: &str) -> u64 {
    field(status, name)
        .and_then(|set| u64::from_str_radix(set, 16).ok())
        .unwrap_or(0)
}

/// Returns when the process has ended, or is about to.
///
/// make, sent INT or HUP by itself, takes it that its children were, too, and waits for them. All that can be seen is that it no
/// longer handles that signal. It may have been sent it while the kernel was being built, before this process was there: so
/// `at_first`, what it handled then, is its own word.
fn wait_for(pid: Pid, at_first: Option<u64>) {
    let both = bit(SIGINT) | bit(SIGHUP);
    let handled = |status: &str| set(status, "SigCgt:") & both;
    let at_first = at_first
        .map(|set| set & both)
        .or_else(|| status(pid).as_deref().map(handled));
    loop {
        let runs = match status(pid) {
            // One that has ended, and that nobody has waited for, still has a number.
            Some(now) => {
                !field(&now, "State:").is_some_and(|state| state.starts_with('Z'))
                    && at_first == Some(handled(&now))
            }
            None => test_kill_process(pid).is_ok(),
        };
        if !runs {
            return;
        }
        thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asked() {
        let seven = Pid::from_raw(7).unwrap();
        assert_eq!(asker("7"), Some((seven, None)));
        assert_eq!(asker("7 0000000000004003"), Some((seven, Some(0x4003))));
        for text in ["", " ", "make", "0", "7 x", "7 3 3"] {
            assert_eq!(asker(text), None, "{text}");
        }
    }
}
