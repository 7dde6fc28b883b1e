//! Where things lie: the repository, the target directory, a boot's own working directory.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// The target that kernels are built for.
pub const BARE_TARGET: &str = "aarch64-unknown-none-softfloat";

/// The root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR"));
    tools.parent().unwrap_or(tools).to_path_buf()
}

/// Cargo's target directory: the one this program was built in, else what `CARGO_TARGET_DIR` says, else `target/`.
#[must_use]
pub fn target_dir() -> PathBuf {
    // Cargo marks the directory; going up from the program finds it however Cargo was told where it is.
    let built_in = env::current_exe().ok().and_then(|program| {
        program
            .ancestors()
            .find(|dir| dir.join("CACHEDIR.TAG").is_file())
            .map(Path::to_path_buf)
    });
    built_in
        .or_else(|| {
            env::var_os("CARGO_TARGET_DIR")
                .filter(|dir| !dir.is_empty())
                .map(PathBuf::from)
        })
        .unwrap_or_else(|| repository().join("target"))
}

/// Where `cargo build --release` puts the kernel `name`.
#[must_use]
pub fn kernel(name: &str) -> PathBuf {
    target_dir().join(BARE_TARGET).join("release").join(name)
}

/// A fresh directory of one boot, removed when dropped.
///
/// The kernel writes its files relative to QEMU's working directory; boots that run at the same time each have
/// their own.
#[derive(Debug)]
pub struct WorkDir(PathBuf);

impl WorkDir {
    /// Makes a new directory under the target directory.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn new() -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = target_dir().join("boots").join(name);
        // The number of a process comes back some day: what an interrupted boot left must not be taken for this one's.
        match fs::remove_dir_all(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The text of a file in it, if there is such a file.
    #[must_use]
    pub fn read(&self, name: &str) -> Option<String> {
        fs::read(self.0.join(name))
            .ok()
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        // A leftover directory is harmless, and there is nobody to tell.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_dirs_differ_and_vanish() {
        let first = WorkDir::new().unwrap();
        let second = WorkDir::new().unwrap();
        assert_ne!(first.path(), second.path());
        fs::write(first.path().join("x"), "1").unwrap();
        assert_eq!(first.read("x").as_deref(), Some("1"));
        assert_eq!(second.read("x"), None);
        let gone = first.path().to_path_buf();
        drop(first);
        assert!(!gone.exists());
    }

    #[test]
    fn the_repository_has_a_workspace() {
        assert!(repository().join("Cargo.toml").is_file());
        assert!(target_dir().is_dir());
    }
}
