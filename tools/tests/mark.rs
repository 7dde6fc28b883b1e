//! The product's kernel and its mark: what it writes, and that a boot without the runner needs none.
//!
//! `make build` builds it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use lazy_mmu_tools::mark::{self, Mark, Said};
use lazy_mmu_tools::places::{self, WorkDir};
use lazy_mmu_tools::{Boot, Outcome, Qemu, Verdict, Witnessing};

fn boot(args: &[String]) -> Boot {
    Boot {
        args: args.to_vec(),
        witness: Witnessing::Off,
        timeout: Some(Duration::from_secs(120)),
        ..Boot::new(places::kernel("lazy-mmu-kernel"))
    }
}

fn run(args: &[String]) -> Outcome {
    boot(args).run().unwrap()
}

/// QEMU's status for a command line that holds exactly `line`, and the directory it ran in.
fn by_hand(line: &str) -> (i32, WorkDir) {
    let dir = WorkDir::new().unwrap();
    let kernel = places::kernel("lazy-mmu-kernel");
    let mut args = boot(&[]).qemu_args(&kernel, None, Mark::new());
    args.pop();
    let status = Command::new(Qemu::find().unwrap().program)
        .args(args)
        .arg(line)
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    (status.unwrap().code().unwrap(), dir)
}

fn has_mark(dir: &Path) -> bool {
    fs::exists(dir.join(mark::FILE)).unwrap()
}

#[test]
fn by_hand_the_status_is_all_there_is() {
    for (line, status) in [("run=nesting policy=linux7", 0), ("run=banana", 2)] {
        let (code, dir) = by_hand(line);
        assert_eq!(code, status, "{line}");
        assert!(!has_mark(dir.path()));
    }
}

#[test]
fn the_mark_is_written_at_every_end() {
    for (line, status) in [("run=nesting", 0), ("run=banana", 2), ("mark", 2)] {
        let mark = Mark::new();
        let (code, dir) = by_hand(&format!("{line} mark={mark}"));
        assert_eq!(i32::from(status), code, "{line}");
        assert_eq!(mark.look(&dir), Said::Verdict(status), "{line}");
    }
}

#[test]
fn what_is_no_mark_is_not_written() {
    let mark = Mark::new();
    for line in [
        format!("run=nesting mark={mark} mark={mark}"),
        format!("run=nesting mark={mark}0"),
        "run=nesting mark=0000000000000000".to_owned(),
        "run=nesting mark=+000000000000001".to_owned(),
        "run=nesting mark=".to_owned(),
    ] {
        let (code, dir) = by_hand(&line);
        assert_eq!(code, 2, "{line}");
        assert!(!has_mark(dir.path()), "{line}");
    }
}

/// The mark takes nothing of the 1024 bytes that the kernel keeps.
#[test]
fn the_longest_command_line_has_room_for_the_mark() {
    // A number may have any number of zeros in front.
    let line = |bytes: usize| {
        format!(
            "run=nesting seed={:0>1$}",
            1,
            bytes - "run=nesting seed=".len()
        )
    };
    let longest = line(1024);
    assert_eq!(longest.len(), 1024);
    let outcome = run(&[longest]);
    assert_eq!(outcome.verdict, Verdict::Good, "{outcome:?}");
    let outcome = run(&[line(1025)]);
    assert_eq!(outcome.verdict, Verdict::BadArguments, "{outcome:?}");
    assert!(outcome.console.contains("allowed: 1024 bytes"));
}
