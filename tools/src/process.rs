//! Running QEMU: its output passed on as it comes, its time bounded.

use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// How much of a console is kept. A kernel that prints without end must not fill the host's memory.
const KEPT: usize = 16 << 20;

/// What a program did.
#[derive(Debug)]
pub struct Finished {
    /// How it ended, or `None` when its time was up and it was killed.
    pub status: Option<ExitStatus>,
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

impl Drop for Killed {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs `command` to its end, or for `limit`. With `echo`, what it writes is passed on at once.
///
/// # Errors
/// When the program cannot be started or waited for.
pub fn run(command: &mut Command, limit: Option<Duration>, echo: bool) -> io::Result<Finished> {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut child = Killed(child);
    // Bounded, so that a kernel that prints faster than it is read waits instead of filling memory.
    let (to_us, pieces) = mpsc::sync_channel(16);
    if let Some(pipe) = child.0.stdout.take() {
        pass_on(pipe, Piece::Out, to_us.clone());
    }
    if let Some(pipe) = child.0.stderr.take() {
        pass_on(pipe, Piece::Err, to_us.clone());
    }
    drop(to_us);

    let deadline = limit.map(|limit| Instant::now() + limit);
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let in_time = loop {
        match next(&pieces, deadline) {
            Ok(Piece::Out(bytes)) => take(&mut stdout, &bytes, echo.then(io::stdout)),
            Ok(Piece::Err(bytes)) => take(&mut stderr, &bytes, echo.then(io::stderr)),
            // Both pipes are closed.
            Err(RecvTimeoutError::Disconnected) => break true,
            Err(RecvTimeoutError::Timeout) => break false,
        }
    };
    let status = if in_time {
        wait(&mut child.0, deadline)?
    } else {
        None
    };
    Ok(Finished {
        status,
        stdout: text(&stdout),
        stderr: text(&stderr),
    })
}

fn next(
    pieces: &mpsc::Receiver<Piece>,
    deadline: Option<Instant>,
) -> Result<Piece, RecvTimeoutError> {
    match deadline {
        Some(deadline) => {
            // A channel that is never empty never times out, so the clock is looked at first.
            let left = deadline
                .checked_duration_since(Instant::now())
                .ok_or(RecvTimeoutError::Timeout)?;
            pieces.recv_timeout(left)
        }
        None => pieces.recv().map_err(|_| RecvTimeoutError::Disconnected),
    }
}

/// Waits for a program that has closed its output and so is about to end.
fn wait(child: &mut Child, deadline: Option<Instant>) -> io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn pass_on(
    mut pipe: impl Read + Send + 'static,
    wrap: fn(Vec<u8>) -> Piece,
    to: mpsc::SyncSender<Piece>,
) {
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(n @ 1..) = pipe.read(&mut buffer) {
            if to.send(wrap(buffer[..n].to_vec())).is_err() {
                return;
            }
        }
    });
}

fn take(kept: &mut Vec<u8>, bytes: &[u8], echo: Option<impl Write>) {
    let room = KEPT.saturating_sub(kept.len()).min(bytes.len());
    kept.extend_from_slice(&bytes[..room]);
    if let Some(mut to) = echo {
        // Nobody reads any more: the boot still runs to its verdict.
        let _ = to.write_all(bytes).and_then(|()| to.flush());
    }
}

fn text(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
    if bytes.len() >= KEPT {
        text.push_str("\n[the rest of the output was not kept]\n");
    }
    text
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
        assert_eq!(done.status.unwrap().code(), Some(7));
    }

    #[test]
    fn time_is_bounded_for_the_silent_and_the_loud() {
        for script in ["exec sleep 60", "exec yes"] {
            let begin = Instant::now();
            let done = run(&mut shell(script), Some(Duration::from_millis(200)), false).unwrap();
            assert!(done.status.is_none(), "{script}");
            assert!(begin.elapsed() < Duration::from_secs(10), "{script}");
            assert!(done.stdout.len() < KEPT + 100, "{script}");
        }
    }

    #[test]
    fn a_missing_program_is_an_error() {
        assert!(run(&mut Command::new("/nonexistent/program"), None, false).is_err());
    }
}
