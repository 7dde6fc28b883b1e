//! Where a boot leaves its files: the report, what the witness saw, the trace.
//!
//! One directory has one boot at a time. A second one that comes while the first still runs takes a directory of its own in it,
//! and says so: neither overwrites what the other has left.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::events;
use crate::perfetto;
use crate::report;
use crate::witness;

/// How many boots at once find a place.
const PLACES: u32 = 64;

/// A directory that is this boot's as long as this lives.
#[derive(Debug)]
pub struct Results {
    dir: PathBuf,
    beside: bool,
    /// Locked as long as it is open.
    _locked: File,
}

impl Results {
    /// Takes `wanted`, or, when another boot has it, the first `wanted/beside-N` that is free. What an earlier boot has left
    /// there is removed, so that nobody takes it for this one's.
    ///
    /// # Errors
    /// When files cannot be made or removed there, or every place is taken.
    pub fn claim(wanted: &Path) -> io::Result<Self> {
        for place in 1..=PLACES {
            let dir = match place {
                1 => wanted.to_path_buf(),
                n => wanted.join(format!("beside-{n}")),
            };
            fs::create_dir_all(&dir)?;
            let lock = dir.join("results.lock");
            let locked = File::options().create(true).append(true).open(lock)?;
            // A file system without locks has to do without.
            if let Err(TryLockError::WouldBlock) = locked.try_lock() {
                continue;
            }
            forget(&dir)?;
            return Ok(Self {
                dir,
                beside: place > 1,
                _locked: locked,
            });
        }
        Err(io::Error::other(format!("{PLACES} boots are running")))
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether another boot had the directory that was wanted.
    #[must_use]
    pub fn beside(&self) -> bool {
        self.beside
    }

    /// Writes a file, and returns its path.
    ///
    /// # Errors
    /// When it cannot be written; it is not there then.
    pub fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        whole(self.dir.join(name), |path| fs::write(path, text))
    }

    /// Copies the files of `from` that end in `.extension`, without those named in `but`, and adds their paths to `copied`.
    ///
    /// # Errors
    /// When one cannot be read or written; it is not there then.
    pub fn copy(
        &self,
        from: &Path,
        extension: &str,
        but: &[&str],
        copied: &mut Vec<PathBuf>,
    ) -> io::Result<()> {
        for name in names(from)? {
            let fits = Path::new(&name).extension() == Some(OsStr::new(extension));
            if fits && !but.iter().any(|but| name == *but) {
                let path = self.dir.join(&name);
                copied.push(whole(path, |path| {
                    fs::copy(from.join(&name), path).map(drop)
                })?);
            }
        }
        Ok(())
    }
}

/// Leaves no half of a file, where the disk is full for one.
fn whole(path: PathBuf, write: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<PathBuf> {
    match write(&path) {
        Ok(()) => Ok(path),
        Err(why) => {
            // Of the two errors the first says why.
            let _ = fs::remove_file(&path);
            Err(why)
        }
    }
}

fn names(dir: &Path) -> io::Result<Vec<OsString>> {
    let entries = fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name()));
    let mut names = entries.collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

fn forget(dir: &Path) -> io::Result<()> {
    let of_a_boot = [
        report::FILE,
        witness::JSON_FILE,
        events::FILE,
        perfetto::FILE,
    ];
    for file in of_a_boot {
        match fs::remove_file(dir.join(file)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places::WorkDir;

    #[test]
    fn two_at_once_have_two_places_and_a_later_one_the_first() {
        let work = WorkDir::new().unwrap();
        let first = Results::claim(work.path()).unwrap();
        first.write(report::FILE, "first").unwrap();
        let second = Results::claim(work.path()).unwrap();
        assert!(!first.beside() && second.beside());
        assert_eq!(second.dir(), work.path().join("beside-2"));
        second.write(report::FILE, "second").unwrap();
        assert_eq!(work.read(report::FILE).as_deref(), Some("first"));
        drop(first);
        let third = Results::claim(work.path()).unwrap();
        assert!(!third.beside());
        assert_eq!(work.read(report::FILE), None);
        assert!(second.dir().join(report::FILE).is_file());
    }

    #[test]
    fn what_is_copied_is_named() {
        let (from, to) = (WorkDir::new().unwrap(), WorkDir::new().unwrap());
        for name in ["bench.json", "report.json", "windows.txt", "json"] {
            fs::write(from.path().join(name), name).unwrap();
        }
        let results = Results::claim(to.path()).unwrap();
        let mut copied = Vec::new();
        results
            .copy(from.path(), "json", &[report::FILE], &mut copied)
            .unwrap();
        assert_eq!(copied, [to.path().join("bench.json")]);
        assert_eq!(to.read("bench.json").as_deref(), Some("bench.json"));
    }

    #[test]
    fn half_a_file_is_not_left() {
        let to = WorkDir::new().unwrap();
        let half =
            |path: &Path| fs::write(path, "half").and(Err(io::ErrorKind::StorageFull.into()));
        let why = whole(to.path().join(report::FILE), half).unwrap_err();
        assert_eq!(why.kind(), io::ErrorKind::StorageFull);
        assert_eq!(to.read(report::FILE), None);
    }
}
