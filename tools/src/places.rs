//! Where things lie: the repository, the target directory, a boot's own working directory.

use std::collections::hash_map::RandomState;
use std::env;
use std::fs::{self, File, TryLockError};
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::Once;

/// The target that kernels are built for.
pub const BARE_TARGET: &str = "aarch64-unknown-none-softfloat";

/// The root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR"));
    tools.parent().unwrap_or(tools).to_path_buf()
}

/// The commit of the working tree, with `+` where files were changed since; `None` without git.
#[must_use]
pub fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.arg("-C").arg(repository()).args(arguments);
        let output = git.output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let head = git(&["rev-parse", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(marked(head, &changed))
}

fn marked(head: String, changed: &str) -> String {
    if changed.is_empty() { head } else { head + "+" }
}

/// Cargo's target directory: the one this program was built in, else what `CARGO_TARGET_DIR` says, else `target/`.
#[must_use]
pub fn target_dir() -> PathBuf {
    // Cargo marks the directory; going up from the program finds it wherever Cargo was made to put it.
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

/// A number that nobody has had before, and nobody can expect: not 0.
#[must_use]
pub fn nonce() -> u64 {
    // The standard library seeds its hash maps from the system's random numbers.
    let random = RandomState::new().build_hasher().finish();
    random.max(1)
}

/// A fresh directory of one boot, removed when dropped.
///
/// The kernel writes its files relative to QEMU's working directory; boots that run at the same time each have
/// their own. The lock beside it says that its owner lives: a runner that is killed cannot clean up, so the next one removes
/// the directories that nobody owns.
#[derive(Debug)]
pub struct WorkDir {
    path: PathBuf,
    lock: PathBuf,
    /// Locked as long as it is open.
    _locked: File,
}

impl WorkDir {
    /// Makes a new directory under the target directory. The first of a process sweeps what dead ones have left.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn new() -> io::Result<Self> {
        static SWEEP: Once = Once::new();
        let boots = target_dir().join("boots");
        fs::create_dir_all(&boots)?;
        SWEEP.call_once(|| sweep(&boots));
        Self::under(&boots)
    }

    fn under(boots: &Path) -> io::Result<Self> {
        // A name is never used again: the number of a process comes back some day.
        let name = format!("{}-{:016x}", process::id(), nonce());
        let path = boots.join(&name);
        let lock = boots.join(name + LOCK_SUFFIX);
        // The lock is there, and held, before the directory: who sees one without the other sees what nobody owns.
        let locked = File::create_new(&lock)?;
        if let Err(TryLockError::WouldBlock) = locked.try_lock() {
            return Err(io::Error::other(format!("{} is locked", lock.display())));
        }
        fs::create_dir(&path)?;
        Ok(Self {
            path,
            lock,
            _locked: locked,
        })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text of a file in it, if there is such a file.
    #[must_use]
    pub fn read(&self, name: &str) -> Option<String> {
        fs::read(self.path.join(name))
            .ok()
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        // What cannot be removed now is swept later.
        let _ = fs::remove_dir_all(&self.path);
        let _ = fs::remove_file(&self.lock);
    }
}

const LOCK_SUFFIX: &str = ".lock";

/// Removes the directories whose owners are dead: nobody holds the lock, or there is none.
fn sweep(boots: &Path) {
    // A leftover is harmless: what cannot be read or removed stays for the next time.
    let Ok(entries) = fs::read_dir(boots) else {
        return;
    };
    for entry in entries.flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let dir = entry.path();
        let mut lock = dir.clone().into_os_string();
        lock.push(LOCK_SUFFIX);
        let file = match File::open(&lock) {
            Ok(file) => Some(file),
            Err(why) if why.kind() == io::ErrorKind::NotFound => None,
            Err(_) => continue,
        };
        if file.as_ref().is_none_or(|file| file.try_lock().is_ok())
            && fs::remove_dir_all(&dir).is_ok()
        {
            let _ = fs::remove_file(&lock);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_tree_is_marked() {
        assert_eq!(marked("c0ffee".to_owned(), ""), "c0ffee");
        assert_eq!(marked("c0ffee".to_owned(), " M README.md"), "c0ffee+");
    }

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
    fn what_the_dead_left_is_swept_and_the_living_keep_theirs() {
        let boots = WorkDir::new().unwrap();
        let mine = WorkDir::under(boots.path()).unwrap();
        let dead = |name: &str| {
            let dir = boots.path().join(name);
            fs::create_dir(&dir).unwrap();
            fs::write(dir.join("windows.txt"), "1").unwrap();
            dir
        };
        // Killed; and from a version that had no locks.
        let (killed, old) = (dead("77-12ab"), dead("123-0"));
        let lock = boots.path().join("77-12ab.lock");
        fs::write(&lock, "").unwrap();
        sweep(boots.path());
        assert!(mine.path().is_dir());
        assert!(!killed.exists() && !old.exists() && !lock.exists());
        drop(mine);
        assert_eq!(fs::read_dir(boots.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_repository_has_a_workspace() {
        assert!(repository().join("Cargo.toml").is_file());
        assert!(target_dir().is_dir());
    }
}
