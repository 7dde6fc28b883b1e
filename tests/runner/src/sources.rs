//! The repository's own sources, for tests of their shape.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use lazy_mmu_tools::places;

/// Every source file of the kernel: its path from `kernel/src` on, and its text.
///
/// # Panics
/// If they cannot be read, or are too few to be a kernel's: then a test that looks at them would look at nothing.
#[must_use]
pub fn kernel() -> Vec<(PathBuf, String)> {
    let found = files(&places::repository().join("kernel/src"), &["rs"]);
    assert!(
        found.len() > 50,
        "{} files: where is the kernel?",
        found.len()
    );
    found
}

/// Every file in a folder, and in the folders in it, whose name has one of these endings: its path from the folder on, and its
/// text.
///
/// # Panics
/// If one cannot be read.
#[must_use]
pub fn files(folder: &Path, endings: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    if let Err(error) = collect(folder, folder, endings, &mut found) {
        panic!("{}: {error}", folder.display());
    }
    found
}

fn collect(
    root: &Path,
    folder: &Path,
    endings: &[&str],
    found: &mut Vec<(PathBuf, String)>,
) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, endings, found)?;
        } else if path
            .extension()
            .is_some_and(|end| endings.iter().any(|ending| end == *ending))
        {
            let text = fs::read_to_string(&path)?;
            let name = path.strip_prefix(root).unwrap_or(&path);
            found.push((name.to_owned(), text));
        }
    }
    Ok(())
}

/// The lines of a Rust or assembly source without their comments and what indents them.
pub fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.split("//").next().unwrap_or("").trim())
}

/// Lines of code of a Rust or assembly source: those that are not blank and not only a comment.
#[must_use]
pub fn lines_of_code(text: &str) -> usize {
    let mut in_block = false;
    let is_code = |line: &&str| {
        let line = line.trim();
        if in_block || line.starts_with("/*") {
            in_block = !line.contains("*/");
            return false;
        }
        !line.is_empty() && !line.starts_with("//")
    };
    text.lines().filter(is_code).count()
}
