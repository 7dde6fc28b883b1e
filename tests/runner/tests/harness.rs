//! The boots' own program, on lists of boots that fail: a test that fails, a line that is none and a name that chooses nothing are no
//! success.
//!
//! `make build` builds the kernel.

use std::fs;
use std::process::Command;

use lazy_mmu_tools::places::WorkDir;

/// The status of libtest for tests that failed, or could not be run.
const FAILED: i32 = 101;

/// Runs the boots that `comment` describes of the first test kernel, as far as `tests` names them. Says how that ended.
fn boots(comment: &str, tests: &str) -> (Option<i32>, String) {
    let dir = WorkDir::new().unwrap();
    fs::write(dir.path().join("00_boot.rs"), comment).unwrap();
    for list in ["product.boots", "faults.boots"] {
        fs::write(dir.path().join(list), "@boot\n").unwrap();
    }
    // Cargo alone knows where the program is.
    let output = Command::new(env!("CARGO"))
        .args(["test", "--quiet", "--profile", "host"])
        .args(["--package", env!("CARGO_PKG_NAME"), "--test", "qemu"])
        .env("LAZY_MMU_TESTS", dir.path())
        .env("TESTS", tests)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[test]
fn what_is_right_is_a_success() {
    let (status, said) = boots("//! @boot expect=\"cores\"\n", "00_boot");
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("1 passed"), "{said}");
}

#[test]
fn what_is_wrong_is_a_failure() {
    for (comment, words) in [
        (
            "//! @boot expect=\"what nobody says\"\n",
            "neither kernel nor runner said `what nobody says`",
        ),
        ("//! @boot rows=7\n", "the report has 0 rows"),
        ("//! @boot verdict=3\n", "wanted verdict 3 (panic)"),
        ("//! @boot smp=many\n", "00_boot.rs:1: @boot:"),
        ("//! It is never booted.\n", "there is no `@boot` line"),
    ] {
        let (status, said) = boots(comment, "00_boot");
        assert_eq!(status, Some(FAILED), "{comment}: {said}");
        assert!(said.contains(words), "{comment}: {said}");
        assert!(said.contains("1 failed"), "{comment}: {said}");
    }
}

#[test]
fn a_name_that_chooses_nothing_is_a_failure() {
    let (status, said) = boots("//! @boot\n", "00_bot");
    assert_eq!(status, Some(FAILED), "{said}");
    assert!(
        said.contains("no QEMU test has `00_bot` in its name"),
        "{said}"
    );
}
