//! Building the QEMU plugin that is the outside witness.
//!
//! QEMU loads a plugin only if it names a version of the interface that this QEMU takes, so the plugin is built for
//! the QEMU at hand, each version in a directory of its own.

use std::collections::BTreeMap;
use std::env::{self, consts};
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use crate::places;
use crate::process::{self, End};
use crate::qemu::Qemu;

/// Why there is no plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoPlugin {
    /// This QEMU was built without plugins.
    NotInQemu,
    /// Cargo could not be started.
    NoCargo(String),
    /// It does not build.
    Build(String),
}

impl fmt::Display for NoPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInQemu => {
                write!(
                    f,
                    "this QEMU was built without plugins; use one configured with --enable-plugins"
                )
            }
            Self::NoCargo(why) => write!(
                f,
                "the plugin is built by cargo, which cannot be started: {why}"
            ),
            Self::Build(why) => write!(f, "the plugin does not build (tools/plugin): {why}"),
        }
    }
}

impl std::error::Error for NoPlugin {}

/// The plugin for this QEMU, built if it is not there yet; each version once per process.
///
/// # Errors
/// [`NoPlugin`] says why there is none.
pub fn library(qemu: &Qemu) -> Result<PathBuf, NoPlugin> {
    static BUILT: Mutex<BTreeMap<(OsString, u32), Result<PathBuf, NoPlugin>>> =
        Mutex::new(BTreeMap::new());
    let key = (qemu.program.clone(), qemu.plugin_api());
    // A builder that panicked has inserted nothing, so what is there is sound.
    let mut built = BUILT
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    built.entry(key).or_insert_with(|| build(qemu)).clone()
}

fn build(qemu: &Qemu) -> Result<PathBuf, NoPlugin> {
    if !takes_plugins(qemu) {
        return Err(NoPlugin::NotInQemu);
    }
    let api = qemu.plugin_api().to_string();
    let target = places::target_dir()
        .join("plugin")
        .join(format!("api-{api}"));
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut build = Command::new(cargo);
    build
        .args([
            "build",
            "--quiet",
            "--release",
            "--package",
            "lazy-mmu-plugin",
            "--target-dir",
        ])
        .arg(&target)
        .current_dir(places::repository())
        .env("LAZY_MMU_PLUGIN_API", &api)
        .env_remove("CARGO_BUILD_TARGET");
    let done =
        process::run(&mut build, None, false).map_err(|e| NoPlugin::NoCargo(e.to_string()))?;
    match done.end {
        End::Itself(status) if status.success() => {}
        End::Interrupted(cause) => return Err(NoPlugin::Build(cause.to_string())),
        _ => return Err(NoPlugin::Build(done.stderr.trim().to_owned())),
    }
    let file = format!(
        "{}lazy_mmu_plugin{}",
        consts::DLL_PREFIX,
        consts::DLL_SUFFIX
    );
    let library = target.join("release").join(file);
    if library.is_file() {
        Ok(library)
    } else {
        Err(NoPlugin::Build(format!(
            "cargo built no {}",
            library.display()
        )))
    }
}

fn takes_plugins(qemu: &Qemu) -> bool {
    Command::new(&qemu.program)
        .arg("--help")
        .stdin(Stdio::null())
        .output()
        .is_ok_and(|help| {
            String::from_utf8_lossy(&help.stdout)
                .lines()
                .any(|line| line.starts_with("-plugin "))
        })
}
