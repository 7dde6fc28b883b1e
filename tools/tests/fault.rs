//! `make fault`: the list, a fault with who sees it, and one that is seen by nobody where nobody looks.
//!
//! `make build` builds the image with the faults.

use std::process::{Command, Output};

use lazy_mmu_tools::faults;

fn fault(variables: &[(&str, &str)]) -> (Output, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fault"));
    for name in ["FAULT", "ARGS", "CPU", "SMP", "LAZY_MMU_ENDS_WITH"] {
        command.env_remove(name);
    }
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, said)
}

#[test]
fn without_a_name_all_are_listed() {
    let (output, said) = fault(&[]);
    assert!(output.status.success());
    for of in faults::all().unwrap() {
        let entry = of.entry;
        let listed = format!(
            "{:<25} {}\n{:25} seen by {}",
            entry.name,
            entry.what,
            "",
            faults::seen_by(&of)
        );
        assert!(said.contains(&listed), "{listed}");
    }
    let (output, _) = fault(&[("FAULT", "no-such")]);
    assert_eq!(output.status.code(), Some(2));
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(why.contains("there is no fault `no-such`"), "{why}");
}

#[test]
fn each_observer_of_a_fault_is_shown() {
    let (output, said) = fault(&[("FAULT", "tlbi-none")]);
    assert!(output.status.success(), "{said}");
    for words in [
        "tlbi-none: no TLBI is executed\nmade in tests/faults/src/",
        "$ make fault FAULT=tlbi-none ARGS=\"run=all policy=flat,v3 pages=64 k=16 check=off\"",
        "QEMU: QEMU's own TLB",
        "is the old translation still in the TLB",
        "rules: the rules of mmu-check",
        "VIOLATION R3",
        "verdict 1 (a check failed), as it must be",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

/// What was not shown is no success: here there is no QEMU to show it with.
#[test]
fn a_fault_that_nobody_has_seen_is_a_failure() {
    let (output, said) = fault(&[("FAULT", "tlbi-none"), ("QEMU", "/nonexistent/qemu")]);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(why.contains("/nonexistent/qemu"), "{why}");
}

/// QEMU shows no missing barrier, so without the rules nothing is seen of an ISB that is left out.
#[test]
fn with_ones_own_words_the_boot_is_as_of_make_run() {
    let status = |args: &str| {
        let (output, said) = fault(&[
            ("FAULT", "tlbi-no-isb"),
            ("ARGS", args),
            ("KEEP", env!("CARGO_TARGET_TMPDIR")),
        ]);
        (output.status.code(), said)
    };
    let (code, said) = status("run=protect policy=v3 pages=16 k=4 check=off");
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = status("run=protect policy=v3 pages=16 k=4 check=on");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("VIOLATION R4"), "{said}");
}
