//! Running QEMU: its output passed on as it comes, its time bounded, and never left behind.

use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use crate::interrupt::{self, Cause};
use crate::say;

/// How much of an output is kept at most, in bytes: the end of it. A kernel that prints without end must not fill the host's
/// memory.
const KEPT: usize = 16 << 20;

/// How often a cause to end is looked for.
const GLANCE: Duration = Duration::from_millis(50);

/// How long a child that was killed may take to close its output.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, or by a signal from somebody else.
    Itself(ExitStatus),
    /// Killed here: its time was up.
    TimeUp,
    /// Killed here: this process is to end.
    Interrupted(Cause),
}

/// What a program did.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub end: End,
    /// What it wrote to its standard output: the console.
    pub stdout: String,
    /// What it wrote to its standard error: QEMU's own messages.
    pub stderr: String,
}

enum Piece {
    Out(Vec<u8>),
    Err(Vec<u8>),
}

/// A child that does not outlive the runner's interest in it.
struct Killed(Child);

impl Killed {
    fn kill(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What has been read of both outputs.
#[derive(Default)]
struct Kept {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// Runs `command` to its end, for `limit`, or until [`interrupt::cause`] names a reason to end. With `echo`, what it writes is
/// passed on at once; that nobody takes it changes nothing.
///
/// # Errors
/// When the program cannot be started or waited for.
pub fn run(command: &mut Command, limit: Option<Duration>, echo: bool) -> io::Result<Finished> {
    die_with_us(command);
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut child = Killed(child);
    // Bounded, so that a kernel that prints faster than it is read waits instead of filling memory.
    let (to_us, pieces) = mpsc::sync_channel(16);
    if let Some(pipe) = child.0.stdout.take() {
        pass_on(pipe, Piece::Out, echo.then(io::stdout), to_us.clone());
    }
    if let Some(pipe) = child.0.stderr.take() {
        pass_on(pipe, Piece::Err, echo.then(io::stderr), to_us.clone());
    }
    drop(to_us);

    // A limit beyond what the clock can count is none.
    let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    let mut kept = Kept::default();
    let reason = match kept.read(&pieces, deadline) {
        Some(reason) => Some(reason),
        // It has closed its outputs, and so is about to end.
        None => wait(&mut child.0, deadline)?,
    };
    let end = match reason {
        None => End::Itself(child.0.wait()?),
        Some(reason) => {
            child.kill();
            // What it had still said is in the pipes: how far it has come, for one.
            let soon = Instant::now() + LAST_WORDS;
            while let Ok(piece) = next(&pieces, soon) {
                kept.add(piece);
                if Instant::now() >= soon {
                    break;
                }
            }
            reason
        }
    };
    Ok(Finished {
        end,
        stdout: text(&kept.stdout),
        stderr: text(&kept.stderr),
    })
}

/// Has Linux kill the child when the thread that starts it dies, however it dies. That thread waits for the child, so it does
/// not end before. Other systems have no such thing: there a runner that is ended by KILL leaves its QEMU running.
#[cfg(target_os = "linux")]
fn die_with_us(command: &mut Command) {
    use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
    use std::os::unix::process::CommandExt;

    let us = Pid::from_raw(std::process::id().cast_signed());
    let hook = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the call.
        if getppid() == us {
            Ok(())
        } else {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    };
    // SAFETY: between fork and exec the hook makes two system calls, and neither allocates nor takes a lock.
    unsafe { command.pre_exec(hook) };
}

#[cfg(not(target_os = "linux"))]
fn die_with_us(_: &mut Command) {}

/// Why a child must be killed now, if it must.
fn reason_to_kill(deadline: Option<Instant>) -> Option<End> {
    if let Some(cause) = interrupt::cause() {
        return Some(End::Interrupted(cause.clone()));
    }
    deadline
        .is_some_and(|deadline| Instant::now() >= deadline)
        .then_some(End::TimeUp)
}

impl Kept {
    /// Reads until both outputs are closed, which is `None`, or there is a reason to kill the child.
    fn read(&mut self, pieces: &Receiver<Piece>, deadline: Option<Instant>) -> Option<End> {
        loop {
            // A channel that is never empty never times out, so this is looked at first.
            if let Some(reason) = reason_to_kill(deadline) {
                return Some(reason);
            }
            let glance = Instant::now() + GLANCE;
            match next(pieces, deadline.map_or(glance, |end| end.min(glance))) {
                Ok(piece) => self.add(piece),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    fn add(&mut self, piece: Piece) {
        let (kept, bytes) = match piece {
            Piece::Out(bytes) => (&mut self.stdout, bytes),
            Piece::Err(bytes) => (&mut self.stderr, bytes),
        };
        kept.extend(bytes);
        // Twice as much before anything is moved, so that moving costs little.
        if kept.len() > 2 * KEPT {
            kept.drain(..kept.len() - KEPT);
        }
    }
}

fn next(pieces: &Receiver<Piece>, until: Instant) -> Result<Piece, RecvTimeoutError> {
    pieces.recv_timeout(until.saturating_duration_since(Instant::now()))
}

/// Waits for a child that is about to end: `None` when it has.
fn wait(child: &mut Child, deadline: Option<Instant>) -> io::Result<Option<End>> {
    while child.try_wait()?.is_none() {
        if let Some(reason) = reason_to_kill(deadline) {
            return Ok(Some(reason));
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(None)
}

/// Reads an output on a thread of its own, and passes it on from there: whoever does not take it holds up the child, but
/// neither the clock nor a signal.
fn pass_on(
    mut pipe: impl Read + Send + 'static,
    wrap: fn(Vec<u8>) -> Piece,
    mut echo: Option<impl Write + Send + 'static>,
    to: SyncSender<Piece>,
) {
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(n @ 1..) = pipe.read(&mut buffer) {
            if to.send(wrap(buffer[..n].to_vec())).is_err() {
                return;
            }
            if let Some(out) = &mut echo
                && let Err(why) = out.write_all(&buffer[..n]).and_then(|()| out.flush())
            {
                say::lost(&why);
                echo = None;
            }
        }
    });
}

fn text(bytes: &[u8]) -> String {
    let end = &bytes[bytes.len().saturating_sub(KEPT)..];
    let text = String::from_utf8_lossy(end).replace("\r\n", "\n");
    if end.len() < bytes.len() || end.len() == KEPT {
        format!("[what came before was not kept]\n{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_outputs_and_the_status() {
        let done = run(
            &mut shell("echo out; echo err >&2; exit 7"),
            Some(Duration::from_secs(20)),
            false,
        )
        .unwrap();
        assert_eq!(
            (done.stdout.as_str(), done.stderr.as_str()),
            ("out\n", "err\n")
        );
        assert!(matches!(done.end, End::Itself(status) if status.code() == Some(7)));
    }

    #[test]
    fn time_is_bounded_for_the_silent_and_the_loud() {
        // The last has closed its outputs, and seems about to end.
        for script in ["exec sleep 60", "exec yes", "exec sleep 60 >&- 2>&-"] {
            let begin = Instant::now();
            let done = run(&mut shell(script), Some(Duration::from_millis(200)), false).unwrap();
            assert_eq!(done.end, End::TimeUp, "{script}");
            assert!(begin.elapsed() < Duration::from_secs(10), "{script}");
            assert!(done.stdout.len() < KEPT + 100, "{script}");
        }
    }

    #[test]
    fn a_missing_program_is_an_error() {
        assert!(run(&mut Command::new("/nonexistent/program"), None, false).is_err());
    }

    #[test]
    fn a_limit_that_no_clock_can_count_is_none() {
        let done = run(&mut shell("exit 3"), Some(Duration::MAX), false).unwrap();
        assert!(matches!(done.end, End::Itself(status) if status.code() == Some(3)));
    }

    #[test]
    fn of_much_output_the_end_is_kept() {
        let script = "yes begin | head -c 40000000; echo; echo the end";
        let done = run(&mut shell(script), Some(Duration::from_secs(60)), false).unwrap();
        assert!(done.stdout.starts_with("[what came before was not kept]\n"));
        assert!(done.stdout.ends_with("\nthe end\n"));
        assert!(done.stdout.len() < KEPT + 100);
    }

    #[test]
    fn what_was_said_before_the_time_was_up_is_kept() {
        let script = "echo progress: 1 of 2; exec sleep 60";
        let done = run(&mut shell(script), Some(Duration::from_secs(2)), false).unwrap();
        assert_eq!(
            (done.end, done.stdout.as_str()),
            (End::TimeUp, "progress: 1 of 2\n")
        );
    }
}
