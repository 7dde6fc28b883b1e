//! A trace that could not be written is not good, though no rule was broken: not where its file cannot be created, and not where it
//! takes no bytes.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use lazy_mmu_tools::mark::Mark;
use lazy_mmu_tools::places::{self, WorkDir};
use lazy_mmu_tools::process::{self, End};
use lazy_mmu_tools::{Boot, Qemu};

/// Boots a short run with a trace, in a folder that `prepare` has been given the trace's path in. Returns QEMU's status, and the
/// console.
fn boot(prepare: impl FnOnce(&Path)) -> (Option<i32>, String) {
    let args = ["run=nesting", "check=on", "trace=on", "debug=off"];
    let kernel = places::kernel("lazy-mmu-kernel");
    let boot = Boot {
        args: args.map(str::to_owned).to_vec(),
        ..Boot::new(&kernel)
    };
    let dir = WorkDir::new().unwrap();
    prepare(&dir.path().join("events.trace"));
    let mut command = Command::new(Qemu::find().unwrap().program);
    command
        .args(boot.qemu_args(&kernel, None, Mark::new()))
        .current_dir(dir.path());
    let ended = process::run(&mut command, Some(Duration::from_secs(120)), false).unwrap();
    let status = match ended.end {
        End::Itself(status) => status.code(),
        End::TimeUp | End::Interrupted(_) => None,
    };
    (status, ended.stdout)
}

const UNWRITTEN: &str = "check: the trace could not be written";

#[test]
fn a_trace_that_is_written_is_good() {
    let (status, console) = boot(|_| {});
    assert!(!console.contains(UNWRITTEN), "{console}");
    assert_eq!(status, Some(0), "{console}");
}

#[test]
fn a_file_that_cannot_be_created_is_not() {
    let (status, console) = boot(|trace| fs::create_dir(trace).unwrap());
    assert!(console.contains(UNWRITTEN), "{console}");
    assert!(console.contains("no violation"), "{console}");
    assert_eq!(status, Some(1), "{console}");
}

#[test]
fn a_disk_that_is_full_is_not() {
    let (status, console) = boot(|trace| symlink("/dev/full", trace).unwrap());
    assert!(console.contains(UNWRITTEN), "{console}");
    assert!(console.contains("no violation"), "{console}");
    assert_eq!(status, Some(1), "{console}");
}
