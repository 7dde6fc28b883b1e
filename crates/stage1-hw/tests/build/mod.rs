//! Compiles this crate's sources, as they are or with one change, by the compiler that cargo uses.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

pub const BARE: &str = "aarch64-unknown-none-softfloat";

/// Set to anything, it lets the tests that compile for the bare target pass without it.
const SKIP: &str = "STAGE1_HW_WITHOUT_TARGET";

/// What the crate depends on, compiled.
pub struct Dependencies {
    /// `None` is the host.
    target: Option<&'static str>,
    arguments: Vec<String>,
}

/// One replacement in one source file.
#[derive(Clone, Debug)]
pub struct Change {
    pub file: &'static str,
    /// Where in the file, in bytes, and what stands there.
    pub at: usize,
    pub old: String,
    pub new: String,
}

impl Change {
    /// The only occurrence of `old`.
    pub fn of(file: &'static str, old: &str, new: &str) -> Self {
        let text = source(file);
        let found: Vec<usize> = text.match_indices(old).map(|(at, _)| at).collect();
        let [at] = found[..] else {
            panic!(
                "{file} has `{old}` {} times: the test has to follow it",
                found.len()
            );
        };
        let (old, new) = (old.to_owned(), new.to_owned());
        Change { file, at, old, new }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file in `src`.
pub fn source(file: &str) -> String {
    let path = root().join("src").join(file);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The compiler, with what cargo would pass it for the bare target: on a machine whose target lies in
/// a sysroot of its own, that is where.
pub fn rustc(target: Option<&str>) -> Command {
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    if let Some(target) = target {
        let flags = env::var("CARGO_TARGET_AARCH64_UNKNOWN_NONE_SOFTFLOAT_RUSTFLAGS");
        rustc.args(flags.unwrap_or_default().split_whitespace());
        rustc.args(["--target", target]);
    }
    rustc
}

/// Runs it and returns what it wrote to stdout, or to stderr if it fails.
pub fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

/// Whether the bare target is installed; fails when it is not, unless that is allowed.
pub fn bare_is_there() -> bool {
    let dir = run(rustc(Some(BARE)).args(["--print", "target-libdir"])).expect("rustc runs");
    let there = fs::read_dir(dir.trim()).is_ok_and(|mut files| {
        files.any(|f| f.is_ok_and(|f| f.file_name().to_string_lossy().starts_with("libcore-")))
    });
    if !there {
        assert!(
            env::var_os(SKIP).is_some(),
            "{BARE} is not installed: `rustup target add {BARE}`, or set {SKIP}=1 to do without this test"
        );
        println!("NOT TESTED: {BARE} is not installed and {SKIP} is set");
    }
    there
}

/// Where a test leaves what it builds.
fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("stage1-hw")
        .join(name)
}

impl Dependencies {
    /// Has cargo build them, in a folder of their own: the one in use is locked.
    pub fn build(target: Option<&'static str>) -> Self {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .current_dir(root())
            .args(["build", "--quiet", "--lib", "--release"]);
        cargo.args(["--message-format", "json", "--target-dir"]);
        cargo.arg(scratch("dependencies"));
        if let Some(target) = target {
            cargo.args(["--target", target]);
        } else {
            // As a test does; the workspace's profile may say otherwise.
            cargo.env("CARGO_PROFILE_RELEASE_PANIC", "unwind");
        }
        let messages = run(&mut cargo).expect("the crate compiles");
        let mut arguments = Vec::new();
        // Every string in the messages that is the path of a library.
        for path in messages.split('"').filter(|s| s.ends_with(".rlib")) {
            let file = Path::new(path).file_name().and_then(OsStr::to_str);
            let name = file.and_then(|f| f.strip_prefix("lib")?.split(['-', '.']).next());
            let name = name.expect("libNAME-HASH.rlib");
            if name != "stage1_hw" {
                arguments.extend(["--extern".into(), format!("{name}={path}")]);
            }
            let dir = Path::new(path).parent().expect("in a folder").display();
            arguments.extend(["-L".into(), format!("dependency={dir}")]);
        }
        assert!(!arguments.is_empty(), "cargo names no library: {messages}");
        Dependencies { target, arguments }
    }

    /// The compiler, in the folder `name`: it leaves files where it runs.
    fn rustc(&self, name: &str) -> Command {
        let mut rustc = rustc(self.target);
        rustc.current_dir(scratch(name));
        rustc.args([
            "--edition",
            "2024",
            "--cap-lints",
            "allow",
            "-C",
            "debuginfo=0",
        ]);
        rustc.args(&self.arguments);
        rustc
    }

    /// The assembly of the crate with `probe` as a module of it.
    pub fn assembly(&self, name: &str, changes: &[Change], probe: &str) -> Result<String, String> {
        let probe = root().join(probe);
        let more = format!("#[path = {probe:?}]\nmod probe;\n");
        let library = copy(name, changes, &more);
        let out = scratch(name).join("probe.s");
        let mut rustc = self.rustc(name);
        rustc.args(["--crate-name", "stage1_hw", "--crate-type", "rlib"]);
        rustc.args(["-Copt-level=3", "-Cpanic=abort", "-Ccodegen-units=1"]);
        rustc
            .arg(format!("--emit=asm={}", out.display()))
            .arg(library);
        run(&mut rustc)?;
        let text = fs::read_to_string(&out).map_err(|e| format!("{}: {e}", out.display()));
        let _ = fs::remove_dir_all(scratch(name));
        text
    }

    /// Whether a test of this crate passes against the crate with `changes`.
    pub fn passes(&self, name: &str, changes: &[Change], test: &str) -> bool {
        let library = copy(name, changes, "");
        let (lib, exe) = (
            scratch(name).join("libstage1_hw.rlib"),
            scratch(name).join(test),
        );
        let mut rustc = self.rustc(name);
        rustc.args(["--crate-name", "stage1_hw", "--crate-type", "rlib", "-o"]);
        run(rustc.arg(&lib).arg(library)).expect("a changed crate still compiles");
        let mut rustc = self.rustc(name);
        rustc.args(["--test", "--extern"]);
        rustc
            .arg(format!("stage1_hw={}", lib.display()))
            .arg("-o")
            .arg(&exe);
        rustc.arg(root().join("tests").join(format!("{test}.rs")));
        run(&mut rustc).expect("a test compiles");
        let passed = passes(&exe);
        let _ = fs::remove_dir_all(scratch(name));
        passed
    }
}

/// Whether a test passes, within a minute.
fn passes(exe: &Path) -> bool {
    let mut test = Command::new(exe)
        .arg("--quiet")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a test starts");
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(status) = test.try_wait().expect("a test can be waited for") {
            return status.success();
        }
        if Instant::now() > end {
            test.kill().expect("a test can be ended");
            let _ = test.wait();
            return false;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// A copy of `src` with changes, and `more` at the end of its root, which is returned.
fn copy(name: &str, changes: &[Change], more: &str) -> PathBuf {
    let dir = scratch(name);
    fs::create_dir_all(&dir).expect("the target folder is writable");
    for entry in fs::read_dir(root().join("src")).expect("src is there") {
        let file = entry.expect("src is readable").file_name();
        let mut text = source(&file.to_string_lossy());
        if file == "lib.rs" {
            text.push_str(more);
        }
        let of_this = changes.iter().filter(|c| OsStr::new(c.file) == file);
        // From the end, so that the places before stay where they are.
        let mut of_this: Vec<&Change> = of_this.collect();
        of_this.sort_by_key(|c| std::cmp::Reverse(c.at));
        for change in of_this {
            let range = change.at..change.at + change.old.len();
            assert_eq!(text.get(range.clone()), Some(&*change.old), "{change:?}");
            text.replace_range(range, &change.new);
        }
        fs::write(dir.join(&file), text).expect("the target folder is writable");
    }
    dir.join("lib.rs")
}

/// Calls `f` for each of `items` on as many threads as there are cores; what it returns, where it
/// returns something.
pub fn in_parallel<T: Sync>(
    items: &[T],
    f: impl Fn(usize, &T) -> Option<String> + Sync,
) -> Vec<String> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let (f, numbered): (_, Vec<(usize, &T)>) = (&f, items.iter().enumerate().collect());
    thread::scope(|scope| {
        let start = |n| {
            let mine: Vec<_> = numbered.iter().copied().skip(n).step_by(threads).collect();
            scope.spawn(move || {
                mine.into_iter()
                    .filter_map(|(i, item)| f(i, item))
                    .collect::<Vec<_>>()
            })
        };
        let running: Vec<_> = (0..threads).map(start).collect();
        running
            .into_iter()
            .flat_map(|t| t.join().expect("a test's thread"))
            .collect()
    })
}
