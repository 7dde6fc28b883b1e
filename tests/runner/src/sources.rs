//! The kernel's own sources, for tests of their shape.

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
    let root = places::repository().join("kernel/src");
    let mut found = Vec::new();
    if let Err(error) = collect(&root, &root, &mut found) {
        panic!("{}: {error}", root.display());
    }
    assert!(
        found.len() > 50,
        "{} files: where is the kernel?",
        found.len()
    );
    found
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<(PathBuf, String)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, found)?;
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path)?;
            let name = path.strip_prefix(root).unwrap_or(&path);
            found.push((name.to_owned(), text));
        }
    }
    Ok(())
}
