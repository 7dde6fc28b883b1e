//! Links every test kernel with the linker script at the top of the repository.

use std::path::Path;

fn main() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    // This package, and those in folders below it.
    let mut above = here.ancestors().map(|folder| folder.join("linker.ld"));
    let script = above.find(|script| script.exists());
    if let Some(script) = script {
        println!("cargo::rerun-if-changed={}", script.display());
        println!("cargo::rustc-link-arg-bins=-T{}", script.display());
    }
}
