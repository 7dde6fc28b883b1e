//! What the README and the pages of `docs/` say to type is typed, and what they quote of the output is what comes.
//!
//! In a block `$ make …` is typed, and the lines below are its output; `...` stands for lines that are left out, at a line's end
//! for the rest of it. `make build` builds the kernels.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use lazy_mmu_tools::{faults, places};

/// The directory of the boots whose output is compared.
const QUOTED: &str = "docs-quoted";

/// Name and text of every page.
fn pages() -> Vec<(String, String)> {
    let root = places::repository();
    let mut files = vec![root.join("README.md")];
    let docs = fs::read_dir(root.join("docs")).unwrap();
    files.extend(
        docs.map(|file| file.unwrap().path())
            .filter(|path| path.extension().is_some_and(|ext| ext == "md")),
    );
    files.sort();
    let text = |path: &Path| {
        (
            path.file_name().unwrap().to_string_lossy().into_owned(),
            fs::read_to_string(path).unwrap(),
        )
    };
    files.iter().map(|path| text(path)).collect()
}

/// The lines of the blocks of a page.
fn blocks(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let blocks = text.split("\n```\n").skip(1).step_by(2);
    blocks.map(|block| block.lines().collect())
}

/// The words of a command, without the quotes around a value.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in command.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Runs what make would: with the settings in the environment, and the files in a directory of its own.
fn typed(command: &str, dir: &str) -> Output {
    let words = words(command);
    let [make, target, settings @ ..] = words.as_slice() else {
        panic!("`{command}` is no command");
    };
    assert_eq!(make, "make", "{command}");
    let mut program = match target.as_str() {
        "fault" => Command::new(env!("CARGO_BIN_EXE_fault")),
        "run" | "trace" | "report" | "debug" => {
            let mut boot = Command::new(env!("CARGO_BIN_EXE_boot"));
            boot.arg(places::kernel("lazy-mmu-kernel"));
            boot
        }
        _ => panic!("`{command}`: nobody tries it"),
    };
    for name in [
        "ARGS",
        "CPU",
        "SMP",
        "MEM",
        "GIC",
        "EL2",
        "ICOUNT",
        "FAULT",
        "GDB",
        "LAZY_MMU_ENDS_WITH",
    ] {
        program.env_remove(name);
    }
    for setting in settings {
        let (name, value) = setting.split_once('=').unwrap();
        program.env(name, value);
    }
    program
        .env("KEEP", kept(dir))
        .current_dir(places::repository())
        .output()
        .unwrap()
}

/// Where the files of a boot go. Two boots at once take two places, and say so.
fn kept(dir: &str) -> String {
    format!("{}/{dir}", env!("CARGO_TARGET_TMPDIR"))
}

/// The lines of an output, with the files where they are without KEEP.
fn lines(output: &Output) -> Vec<String> {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let here = places::repository().display().to_string() + "/";
    let kept = kept(QUOTED).replace(&here, "") + "/";
    said.lines()
        .map(|line| line.trim_end().replace(&kept, "target/"))
        .collect()
}

/// Whether a line is as quoted.
fn is(line: &str, quoted: &str) -> bool {
    match quoted.strip_suffix("...") {
        Some(begin) => line.starts_with(begin),
        None => line == quoted,
    }
}

/// Compares an output with what is quoted of it.
fn compare(page: &str, command: &str, quoted: &[&str], said: &[String]) {
    let (mut at, mut gap) = (0, false);
    for line in quoted {
        if *line == "..." {
            gap = true;
            continue;
        }
        let found = said[at..].iter().position(|other| is(other, line));
        let found = found.filter(|passed| gap || *passed == 0);
        let context = || {
            said[at..]
                .iter()
                .take(5)
                .cloned()
                .collect::<Vec<_>>()
                .join("\n")
        };
        let passed = found.unwrap_or_else(|| {
            panic!(
                "{page}: `{command}` does not say\n{line}\nbut\n{}",
                context()
            )
        });
        (at, gap) = (at + passed + 1, false);
    }
}

#[test]
fn what_is_quoted_comes() {
    let mut tried = 0;
    for (page, text) in pages() {
        for block in blocks(&text) {
            let starts = block
                .iter()
                .enumerate()
                .filter(|(_, line)| line.starts_with("$ "));
            let starts: Vec<usize> = starts.map(|(at, _)| at).collect();
            for (number, at) in starts.iter().enumerate() {
                let end = starts.get(number + 1).copied().unwrap_or(block.len());
                let command = &block[*at][2..];
                let output = typed(command, QUOTED);
                assert!(output.status.success(), "{page}: {command}: {output:?}");
                compare(&page, command, &block[at + 1..end], &lines(&output));
                tried += 1;
            }
        }
    }
    assert!(tried >= 4, "{tried} commands with their output");
}

/// The commands that boot, in the text and in blocks without an output. What `make report` and `make trace` do besides has tests of its own.
#[test]
fn what_is_to_be_typed_works() {
    let mut commands = BTreeSet::new();
    for (_, text) in pages() {
        let in_text = text.split('`').map(str::to_owned);
        let in_blocks = blocks(&text)
            .flatten()
            .map(str::to_owned)
            .collect::<Vec<_>>();
        for command in in_text.chain(in_blocks) {
            let boots = ["run", "trace", "report", "debug"]
                .iter()
                .any(|target| command.starts_with(&format!("make {target} ")));
            if boots && !command.contains('\n') {
                // The same boot, whatever is made of it.
                let settings = command
                    .split_once(' ')
                    .and_then(|(_, rest)| rest.split_once(' '));
                commands.extend(settings.map(|(_, settings)| format!("make run {settings}")));
            }
            if let Some(name) = command.strip_prefix("make fault FAULT=") {
                let known = faults::all().unwrap();
                assert!(
                    known.iter().any(|of| of.entry.name == name),
                    "there is no fault {name}"
                );
            }
        }
    }
    assert!(commands.len() > 10, "{commands:?}");
    for command in commands {
        let output = typed(&command, "docs-typed");
        assert!(output.status.success(), "{command}: {output:?}");
    }
}

#[test]
fn a_line_that_does_not_come_is_noticed() {
    let said = ["a", "b 1 2", "c"].map(str::to_owned);
    let differs = |quoted: &[&str]| {
        std::panic::catch_unwind(|| compare("page", "make", quoted, &said)).is_err()
    };
    for right in [
        &["a", "b ...", "c"][..],
        &["...", "c"],
        &["a", "...", "c"],
        &["a"],
        &["..."],
    ] {
        assert!(!differs(right), "{right:?}");
    }
    for wrong in [
        &["a", "c"][..],
        &["b ..."],
        &["...", "c", "a"],
        &["a", "b 1"],
        &["...", "d"],
    ] {
        assert!(differs(wrong), "{wrong:?}");
    }
    assert_eq!(
        words("make run SMP=4 ARGS=\"run=all check=on\""),
        ["make", "run", "SMP=4", "ARGS=run=all check=on"]
    );
}
