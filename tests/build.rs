//! Links every test kernel with the linker script at the top of the repository.

use std::path::Path;

fn main() {
    // 44_mode_cost and 53_speed hold their figures for the compiler that they were measured with.
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = std::process::Command::new(rustc).arg("--version").output();
    let version = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    println!(
        "cargo::rustc-env=LAZY_MMU_RUSTC={}",
        version.unwrap_or_default()
    );
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    // This package, and those in folders below it.
    let mut above = here.ancestors().map(|folder| folder.join("linker.ld"));
    let script = above.find(|script| script.exists());
    if let Some(script) = script {
        println!("cargo::rerun-if-changed={}", script.display());
        println!("cargo::rustc-link-arg-bins=-T{}", script.display());
    }
}
