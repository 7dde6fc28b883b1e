//! Gives the linker where the guest lies.

fn main() {
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo::rustc-link-arg-bins=-T{here}/guest.ld");
    println!("cargo::rerun-if-changed=guest.ld");
}
