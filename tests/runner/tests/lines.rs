//! Lines of code have limits: a workload is read in one go, and the kernel stays small.

use std::path::{Path, PathBuf};

use lazy_mmu_tests::sources::{files, lines_of_code};
use lazy_mmu_tools::places;

/// What has a limit.
enum Limited {
    /// Each file by itself.
    Each,
    /// All files together.
    All,
}

/// Folders and files from the repository's root on, those that are left out, and the most lines of code.
const LIMITS: [(Limited, &[&str], &[&str], usize); 2] = [
    (Limited::Each, &["kernel/src/workloads"], &[], 120),
    (
        Limited::All,
        &["boot", "kernel/src", "crates/stage1-hw/src"],
        &[
            "kernel/src/workloads",
            "kernel/src/report",
            "kernel/src/run.rs",
            "kernel/src/arguments.rs",
        ],
        5000,
    ),
];

/// The source files in `folders`, without those in `left_out`, and the lines of code of each.
fn counted(folders: &[&str], left_out: &[&str]) -> Vec<(PathBuf, usize)> {
    let root = places::repository();
    for place in folders.iter().chain(left_out) {
        assert!(root.join(place).exists(), "where is {place}?");
    }
    let is_left_out = |file: &Path| left_out.iter().any(|place| file.starts_with(place));
    let found = folders.iter().flat_map(|folder| {
        let found = files(&root.join(folder), &["rs", "s", "S"]);
        assert!(!found.is_empty(), "{folder} has no source files");
        found
            .into_iter()
            .map(move |(file, text)| (Path::new(folder).join(file), lines_of_code(&text)))
    });
    found.filter(|(file, _)| !is_left_out(file)).collect()
}

#[test]
fn lines_of_code_are_within_their_limits() {
    for (limited, folders, left_out, most) in &LIMITS {
        let files = counted(folders, left_out);
        match limited {
            Limited::Each => {
                for (file, lines) in files {
                    let file = file.display();
                    assert!(lines <= *most, "{file}: {lines} lines of code, of {most}");
                }
            }
            Limited::All => {
                let lines: usize = files.iter().map(|(_, lines)| lines).sum();
                println!("{folders:?} without {left_out:?}: {lines} lines of code, of {most}");
                assert!(
                    lines <= *most,
                    "{folders:?} without {left_out:?}: {lines} lines of code, of {most}"
                );
            }
        }
    }
}

/// What is code and what is not, or the limits would hold for nothing.
#[test]
fn comments_and_blank_lines_do_not_count() {
    for (text, lines) in [
        ("", 0),
        ("\n  \n\t\n", 0),
        ("// one\n//! two\n    /// three\n", 0),
        ("fn f() {\n\n    // why\n    g(); // what\n}\n", 3),
        ("/* one */\nlet a = 1;\n", 1),
        ("/*\n * a block\n\n */\nlet a = 1;\n/*\n*/\n", 1),
        ("    mov x0, x1 // copy\n\n/* x */\n    ret", 2),
    ] {
        assert_eq!(lines_of_code(text), lines, "{text:?}");
    }
}
