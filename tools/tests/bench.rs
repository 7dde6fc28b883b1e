//! `make bench`: how it ends where nothing could be measured.

use std::process::Command;

fn bench(variable: &str, value: &str) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    for name in ["SHORT", "BASELINE", "LAZY_MMU_ENDS_WITH"] {
        command.env_remove(name);
    }
    let output = command.env(variable, value).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

#[test]
fn without_a_boot_it_fails() {
    let (status, said) = bench("QEMU", "/nonexistent/qemu");
    assert_eq!(status, Some(1), "{said}");
    assert!(
        said.contains("bench: FAILED") && said.contains("/nonexistent/qemu"),
        "{said}"
    );
}

#[test]
fn bad_arguments_are_said() {
    let (status, said) = bench("SHORT", "perhaps");
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("SHORT"), "{said}");
}
