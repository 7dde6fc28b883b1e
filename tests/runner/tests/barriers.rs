//! What stands around each barrier of the kernel, and in which order the boot code writes its registers: QEMU executes in order, keeps
//! nothing stale and begins with empty caches, so no boot shows a weaker barrier, one on the wrong side, or one that is gone from
//! where nobody counts. `barriers.txt` says it a second time; `BARRIERS=write` writes it anew, for whoever means to change it.

use std::fs;
use std::iter;
use std::path::PathBuf;

use lazy_mmu_tests::sources::{code, kernel};
use lazy_mmu_tools::places;

/// Each barrier of a file of the kernel, between its neighbours. An end of a block says nothing.
fn of_rust(text: &str) -> String {
    let lines = code(text).filter(|line| line.contains(char::is_alphanumeric));
    let lines: Vec<&str> = iter::once("").chain(lines).chain([""]).collect();
    let mut listed = String::new();
    for around in lines.windows(3) {
        if let [before, barrier, after] = around
            && barrier.contains(".execute(Op::")
        {
            listed += &format!("    {before}\n  * {barrier}\n    {after}\n\n");
        }
    }
    listed
}

/// All instructions and constants of the boot code.
fn of_assembly(text: &str) -> String {
    let lines = code(text).filter(|line| !line.is_empty() && !line.starts_with(".section"));
    let words = lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    words.fold(String::new(), |listed, line| listed + "    " + &line + "\n")
}

fn listed() -> String {
    let mut files = kernel();
    files.sort();
    let mut text = String::new();
    // Hazards are wrong on purpose, and each ends in what it is expected to.
    let right = |(name, _): &&(PathBuf, String)| !name.starts_with("workloads/hazards");
    for (name, source) in files.iter().filter(right) {
        let barriers = of_rust(source);
        if !barriers.is_empty() {
            text += &format!("kernel/src/{}\n{barriers}", name.display());
        }
    }
    let name = "boot/src/entry.s";
    let source = fs::read_to_string(places::repository().join(name)).expect(name);
    text + name + "\n" + &of_assembly(&source)
}

#[test]
fn barriers_stand_where_they_are_written_down() {
    let path = places::repository().join("tests/runner/tests/barriers.txt");
    let now = listed();
    if std::env::var_os("BARRIERS").is_some_and(|value| value == "write") {
        fs::write(&path, &now).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap();
    let mut lines = written.lines().zip(now.lines());
    if let Some((written, now)) = lines.find(|(written, now)| written != now) {
        panic!("written down is `{written}`, and there is `{now}`");
    }
    assert_eq!(written, now);
}

#[test]
fn a_barrier_is_found_between_its_neighbours() {
    let text = "fn f() {\n    read();\n    // Why.\n    machine.execute(Op::Isb, Why::Send);\n\n    end()\n}\n";
    assert_eq!(
        of_rust(text),
        "    read();\n  * machine.execute(Op::Isb, Why::Send);\n    end()\n\n"
    );
    assert_eq!(
        of_assembly("1:  tlbi    vmalle1  // all\n\n"),
        "    1: tlbi vmalle1\n"
    );
}
