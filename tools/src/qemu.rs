//! Finding QEMU, and what the one found can do.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The oldest QEMU the kernels are tested with.
pub const OLDEST: (u32, u32) = (7, 2);

/// A usable QEMU.
#[derive(Clone, Debug)]
pub struct Qemu {
    /// The program to start.
    pub program: OsString,
    /// Major and minor version.
    pub version: (u32, u32),
}

/// Why there is no usable QEMU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoQemu {
    /// It could not be started.
    Missing {
        /// The program that was tried.
        program: String,
        /// What the system says.
        why: String,
    },
    /// It started, but what it says of its version is not understood.
    Strange {
        /// The program that was tried.
        program: String,
        /// What it said.
        said: String,
    },
    /// It is older than [`OLDEST`].
    TooOld((u32, u32)),
}

impl fmt::Display for NoQemu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { program, why } => {
                write!(
                    f,
                    "cannot start {program}: {why}; `tools/setup.sh` installs it, or set QEMU to the program"
                )
            }
            Self::Strange { program, said } => {
                write!(
                    f,
                    "`{program} --version` does not name a version of QEMU, but says: {said}"
                )
            }
            Self::TooOld((major, minor)) => write!(
                f,
                "QEMU {major}.{minor} is too old; install {}.{} or newer, or set QEMU to the program",
                OLDEST.0, OLDEST.1
            ),
        }
    }
}

impl std::error::Error for NoQemu {}

impl Qemu {
    /// The QEMU to use: what the variable `QEMU` names, else `qemu-system-aarch64`. Looked up once per process.
    ///
    /// # Errors
    /// [`NoQemu`] says why there is none.
    pub fn find() -> Result<Self, NoQemu> {
        static FOUND: OnceLock<Result<Qemu, NoQemu>> = OnceLock::new();
        FOUND.get_or_init(Self::look).clone()
    }

    fn look() -> Result<Self, NoQemu> {
        let program = env::var_os("QEMU")
            .filter(|p| !p.is_empty())
            .unwrap_or_else(|| OsString::from("qemu-system-aarch64"));
        let shown = program.to_string_lossy().into_owned();
        let output = Command::new(&program)
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .map_err(|e| NoQemu::Missing {
                program: shown.clone(),
                why: e.to_string(),
            })?;
        let said = String::from_utf8_lossy(&output.stdout);
        let version = parse_version(&said).ok_or_else(|| NoQemu::Strange {
            program: shown,
            said: said.lines().next().unwrap_or("nothing").to_owned(),
        })?;
        if version < OLDEST {
            return Err(NoQemu::TooOld(version));
        }
        Ok(Self { program, version })
    }

    /// The version of the plugin interface to build for.
    ///
    /// QEMU refuses a plugin that names a version newer than its own or older than its oldest, and that moves: 9.0
    /// dropped version 1, 11.1 all before 7. So each gets its own version; `tools/plugin/src/api.rs` says what differs.
    #[must_use]
    pub fn plugin_api(&self) -> u32 {
        match self.version {
            (..9, _) => 1,
            (9, 0) => 2,
            (9, 1) => 3,
            (9, _) | (10, 0) => 4,
            (10, _) => 5,
            (11, 0) => 6,
            _ => 7,
        }
    }
}

/// Major and minor from `QEMU emulator version 7.2.22 (…)`.
fn parse_version(said: &str) -> Option<(u32, u32)> {
    let numbers = said.lines().next()?.split("version ").nth(1)?;
    let mut parts = numbers.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(
            parse_version("QEMU emulator version 7.2.22 (Debian 1:7.2)\nCopyright"),
            Some((7, 2))
        );
        assert_eq!(
            parse_version("QEMU emulator version 10.1.0-rc1\n"),
            Some((10, 1))
        );
        assert_eq!(parse_version("version banana"), None);
        assert_eq!(parse_version(""), None);
    }

    #[test]
    fn interface_of_each_version() {
        let api = |version| {
            Qemu {
                program: OsString::new(),
                version,
            }
            .plugin_api()
        };
        assert_eq!(
            [api((7, 2)), api((8, 2)), api((9, 0)), api((9, 1))],
            [1, 1, 2, 3]
        );
        assert_eq!(
            [
                api((9, 2)),
                api((10, 0)),
                api((10, 2)),
                api((11, 0)),
                api((11, 1))
            ],
            [4, 4, 5, 6, 7]
        );
    }
}
