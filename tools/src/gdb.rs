//! The gdb that `make debug` waits for.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::places;

/// Those that may know AArch64, the one that is sure to first.
const PROGRAMS: [&str; 3] = ["gdb-multiarch", "aarch64-elf-gdb", "gdb"];

/// A gdb on this machine that knows AArch64.
#[must_use]
pub fn find() -> Option<&'static str> {
    PROGRAMS.into_iter().find(|program| {
        let mut gdb = Command::new(program);
        gdb.args(["-nx", "-batch", "-ex", "set architecture aarch64"]);
        let output = gdb.stdin(Stdio::null()).output();
        output.is_ok_and(|output| output.status.success() && output.stderr.is_empty())
    })
}

/// The script that knows this kernel.
#[must_use]
pub fn script() -> PathBuf {
    places::repository().join("tools/gdb/lazy_mmu.py")
}

/// What is typed in another terminal; without a gdb, what to install as well.
#[must_use]
pub fn command(kernel: &Path, port: u16) -> String {
    let program = find();
    let command = format!(
        "{} -q -ex 'target remote :{port}' -x {} {}",
        program.unwrap_or(PROGRAMS[0]),
        script().display(),
        kernel.display()
    );
    match program {
        Some(_) => command,
        None => format!(
            "{command}\n(there is no gdb that knows AArch64: install the package gdb-multiarch (Debian, Ubuntu) or gdb (Fedora, Arch, Homebrew))"
        ),
    }
}
