//! Says which version of QEMU's plugin interface to build for.
//!
//! QEMU reads it from the library before it calls anything in it, so it is chosen at build time: the boot runner sets
//! `LAZY_MMU_PLUGIN_API` to what the QEMU at hand takes. Without it, 1: QEMU 7.2 to 8.2.

fn main() {
    println!("cargo::rerun-if-env-changed=LAZY_MMU_PLUGIN_API");
    println!("cargo::rustc-check-cfg=cfg(insn_data_copies, callbacks_take_data)");
    let api = std::env::var("LAZY_MMU_PLUGIN_API")
        .ok()
        .and_then(|api| api.parse::<u32>().ok())
        .unwrap_or(1);
    println!("cargo::rustc-env=PLUGIN_API={api}");
    if api >= 3 {
        println!("cargo::rustc-cfg=insn_data_copies");
    }
    if api >= 7 {
        println!("cargo::rustc-cfg=callbacks_take_data");
    }
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("macos") {
        // QEMU itself has the functions; the linker of macOS must know it.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-undefined,dynamic_lookup");
    }
}
