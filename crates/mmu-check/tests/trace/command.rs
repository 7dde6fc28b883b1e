//! The example `check_trace`: its exit statuses, and what it prints where.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;

const GOOD: &str = "0 core=0 task=1 zero frame=0x3000\n1 core=0 task=1 dsb ish\n";
/// Breaks R6.
const WRONG: &str = "0 core=0 task=1 tlbi vae1is 0xf00000000000\n";

/// The example, as cargo has built it with this test.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let built = test.parent().and_then(Path::parent).unwrap();
    let program = built
        .join("examples")
        .join(format!("check_trace{}", std::env::consts::EXE_SUFFIX));
    let made = |path: &Path| fs::metadata(path).and_then(|known| known.modified());
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/check_trace.rs");
    let source = made(&source).unwrap();
    assert!(
        made(&program).unwrap_or(SystemTime::UNIX_EPOCH) > source,
        "{} is not there, or older than its source: `cargo build -p mmu-check --example check_trace`, in the \
         profile of this test, makes it",
        program.display()
    );
    program
}

/// A folder of the test's own, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("mmu-check-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: impl AsRef<OsStr>, text: &str) -> PathBuf {
        let path = self.0.join(name.as_ref());
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left lies in the folder for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn check(files: &[&Path]) -> (Option<i32>, String, String) {
    said(
        &Command::new(program())
            .args(files)
            .stdin(Stdio::null())
            .output()
            .unwrap(),
    )
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn check_input(arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(program());
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    said(&child.wait_with_output().unwrap())
}

#[test]
fn its_status_is_the_worst_of_its_files() {
    let folder = Folder::new("status");
    let good = folder.file("good", GOOD);
    let wrong = folder.file("wrong", WRONG);
    let bad = folder.file("bad", "0 core=0 task=0\n");
    let (status, out, error) = check(&[&good]);
    assert_eq!((status, error.as_str()), (Some(0), ""));
    assert!(out.contains("good: 0 violations; events 2, "), "{out}");
    let (status, out, _) = check(&[&good, &wrong]);
    assert_eq!(status, Some(1));
    assert!(
        out.contains("R6: ") && out.contains("wrong: 1 violations; events 1, "),
        "{out}"
    );
    let (status, out, error) = check(&[&bad, &wrong, &good]);
    assert_eq!(status, Some(2));
    assert!(
        out.contains("R6: ") && out.contains("good: 0 violations"),
        "{out}"
    );
    assert!(
        error.contains("bad: line 1: no event: an event's name expected at word 4"),
        "{error}"
    );
}

#[test]
fn a_violation_before_a_bad_line_is_printed() {
    let folder = Folder::new("before");
    let cut = folder.file("cut", &format!("{WRONG}1 core=0"));
    let (status, out, error) = check(&[&cut]);
    assert_eq!(status, Some(2));
    assert!(out.contains("R6: "), "{out}");
    assert!(error.contains("cut: line 2: it has no end"), "{error}");
}

#[test]
fn standard_input_is_read_by_default_and_for_a_dash() {
    for arguments in [&[][..], &["-"]] {
        let (status, out, _) = check_input(arguments, GOOD);
        assert_eq!(status, Some(0), "{out}");
        assert!(out.starts_with("standard input: 0 violations"), "{out}");
        let (status, _, error) = check_input(arguments, "");
        assert_eq!(status, Some(2));
        assert_eq!(error, "standard input: line 1: there is no event in it\n");
    }
}

#[test]
fn files_that_are_none() {
    let folder = Folder::new("none");
    let (status, _, error) = check(&[&folder.0]);
    assert_eq!(status, Some(2));
    assert!(
        error.contains(": line 1: it cannot be read: "),
        "a folder: {error}"
    );
    let (status, _, error) = check(&[&folder.0.join("nothing")]);
    assert_eq!(status, Some(2));
    assert!(error.contains("nothing: "), "{error}");
    // There are events, and nothing that a rule looks at.
    let (status, _, error) = check(&[&folder.file("owe", "0 core=0 task=0 owe\n")]);
    assert_eq!(status, Some(2));
    assert!(
        error.ends_with("owe: there is nothing in it to check\n"),
        "{error}"
    );
}

#[cfg(unix)]
#[test]
fn names_that_are_no_utf_8() {
    use std::os::unix::ffi::OsStrExt;
    let folder = Folder::new("names");
    let name = OsStr::from_bytes(b"a\xff.trace");
    let (status, out, error) = check(&[&folder.file(name, GOOD)]);
    assert_eq!((status, error.as_str()), (Some(0), ""));
    assert!(out.contains("a\u{fffd}.trace: 0 violations"), "{out}");
}

#[cfg(unix)]
#[test]
fn files_that_may_not_be_read() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("permission");
    let file = folder.file("closed", GOOD);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    // Root may read it all the same.
    let (status, _, error) = check(&[&file]);
    if File::open(&file).is_err() {
        assert_eq!(status, Some(2));
        assert!(error.contains("closed: "), "{error}");
    } else {
        assert_eq!(status, Some(0), "{error}");
    }
}

/// A pipe whose reader is gone, and a disk that is full.
#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written() {
    let folder = Folder::new("output");
    let file = folder.file("good", GOOD);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = Command::new(program())
        .arg(&file)
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(said(&output).2, "");
}
