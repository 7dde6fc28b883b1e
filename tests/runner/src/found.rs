//! Which boots there are: from the comments of the test kernels, and from `product.boots`.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lazy_mmu_tools::{Boot, Witnessing, places};

use lazy_mmu_tools::directive::{self, BadDirective, Case};

/// The kernel with faults: the only one that has any of `lazy-mmu-faults` in it.
pub const FAULT_IMAGE: &str = "lazy-mmu-fault-image";

/// Lists of boots: the file, the prefix of the tests' names, the kernel's binary.
const LISTS: [(&str, &str, &str); 2] = [
    ("product.boots", "product", "lazy-mmu-kernel"),
    ("faults.boots", "faults", FAULT_IMAGE),
];

/// What is wrong with the description of a test. Each becomes a test that fails.
#[derive(Debug)]
pub enum InvalidTest {
    /// A file cannot be read.
    Unreadable(PathBuf, io::Error),
    /// A file has no `@boot` line, so it would test nothing.
    NoBoot(PathBuf),
    /// A line is not as it must be.
    Line(PathBuf, usize, BadDirective),
}

impl fmt::Display for InvalidTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, why) => write!(f, "cannot read {}: {why}", path.display()),
            Self::NoBoot(path) => {
                write!(
                    f,
                    "{}: there is no `@boot` line, so it is never booted; a bare `@boot` is one",
                    path.display()
                )
            }
            Self::Line(path, line, why) => write!(f, "{}:{line}: @boot: {why}", path.display()),
        }
    }
}

impl std::error::Error for InvalidTest {}

/// A test: a boot under its full name, or why there is none.
#[derive(Debug)]
pub struct Test {
    /// `10_boot::cortex-a72,smp=2`
    pub name: String,
    /// The boot.
    pub case: Result<Case, InvalidTest>,
}

/// All tests under the directory `tests`, in the order of the files' names.
#[must_use]
pub fn all(tests: &Path) -> Vec<Test> {
    let mut found = Vec::new();
    match kernels(tests) {
        Ok(kernels) => {
            for source in kernels {
                let stem = source
                    .file_stem()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                found.extend(of_file(&source, &stem, &stem, comment));
            }
        }
        Err(why) => {
            found.push(Test {
                name: "tests".to_owned(),
                case: Err(InvalidTest::Unreadable(tests.to_path_buf(), why)),
            });
        }
    }
    for (file, prefix, kernel) in LISTS {
        found.extend(of_file(&tests.join(file), prefix, kernel, |line| {
            Some(line)
        }));
    }
    tell_apart(&mut found);
    found
}

/// The sources `NN_name.rs`, sorted.
fn kernels(tests: &Path) -> io::Result<Vec<PathBuf>> {
    let mut sources = Vec::new();
    for entry in fs::read_dir(tests)? {
        let path = entry?.path();
        let numbered = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes()[0].is_ascii_digit());
        if numbered && path.extension().is_some_and(|end| end == "rs") {
            sources.push(path);
        }
    }
    sources.sort();
    Ok(sources)
}

/// A line of the comment that a crate begins with; `None` ends it.
fn comment(line: &str) -> Option<&str> {
    line.strip_prefix("//!")
}

fn of_file(path: &Path, prefix: &str, kernel: &str, part: fn(&str) -> Option<&str>) -> Vec<Test> {
    let failed = |invalid| {
        vec![Test {
            name: format!("{prefix}::description"),
            case: Err(invalid),
        }]
    };
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(why) => return failed(InvalidTest::Unreadable(path.to_path_buf(), why)),
    };
    let boot = Boot {
        witness: Witnessing::Required,
        timeout: Some(Duration::from_secs(60)),
        ..Boot::new(places::kernel(kernel))
    };
    let mut tests = Vec::new();
    for (i, line) in text.lines().map_while(part).enumerate() {
        let Some(directive) = line.trim().strip_prefix("@boot") else {
            continue;
        };
        match directive::parse(directive, &boot) {
            Ok(cases) => tests.extend(cases.into_iter().map(|case| Test {
                name: format!("{prefix}::{}", case.name),
                case: Ok(case),
            })),
            Err(why) => tests.extend(failed(InvalidTest::Line(path.to_path_buf(), i + 1, why))),
        }
    }
    if tests.is_empty() {
        failed(InvalidTest::NoBoot(path.to_path_buf()))
    } else {
        tests
    }
}

/// Numbers the second and later ones of a name, so that each can be chosen.
fn tell_apart(tests: &mut [Test]) {
    for i in 1..tests.len() {
        let (before, rest) = tests.split_at_mut(i);
        let same = before
            .iter()
            .filter(|t| t.name.split(" #").next() == Some(&rest[0].name))
            .count();
        if same > 0 {
            rest[0].name += &format!(" #{}", same + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<Test> {
        let dir = places::WorkDir::new().unwrap();
        // A list that a test is not about has one boot, which is left out again.
        let faults = [("faults.boots", "@boot args=nothing\n")];
        let about_it = files.iter().any(|(name, _)| *name == faults[0].0);
        for (name, text) in faults.iter().chain(files) {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let mut tests = all(dir.path());
        tests.retain(|test| about_it || !test.name.starts_with("faults::"));
        tests
    }

    fn names(tests: &[Test]) -> Vec<&str> {
        tests.iter().map(|test| test.name.as_str()).collect()
    }

    const NONE: (&str, &str) = ("product.boots", "# nothing else\n@boot\n");

    #[test]
    fn kernels_in_order_then_the_product() {
        let tests = found(&[
            (
                "20_traps.rs",
                "//! Traps.\n//! @boot verdict=4\n//!@boot verdict=3 smp=2\n#![no_std]\n//! @boot never",
            ),
            ("10_boot.rs", "//! @boot cpu=max,cortex-a53\n"),
            ("common.rs", "//! @boot\n"),
            ("30_notes.md", "@boot\n"),
            (
                "product.boots",
                "# comment\n\n@boot verdict=2 args=\"pages=banana\"\n@boot args=run=zap\n",
            ),
            ("faults.boots", "@boot verdict=1 args=fault=tlbi-none\n"),
        ]);
        assert_eq!(
            names(&tests),
            [
                "10_boot::max",
                "10_boot::cortex-a53",
                "20_traps::max",
                "20_traps::max,smp=2",
                "product::max,pages=banana",
                "product::max,run=zap",
                "faults::max,fault=tlbi-none"
            ]
        );
        let kernel = |i: usize| {
            tests[i]
                .case
                .as_ref()
                .unwrap()
                .boot
                .kernel
                .file_name()
                .unwrap()
                .to_owned()
        };
        assert_eq!(
            (kernel(0).to_str(), kernel(4).to_str()),
            (Some("10_boot"), Some("lazy-mmu-kernel"))
        );
    }

    #[test]
    fn mistakes_become_tests() {
        let tests = found(&[
            ("10_a.rs", "//! Nothing.\n"),
            ("20_b.rs", "//! b\n//! @boot smp=x\n"),
            NONE,
        ]);
        assert_eq!(
            names(&tests),
            ["10_a::description", "20_b::description", "product::max"]
        );
        assert!(matches!(tests[0].case, Err(InvalidTest::NoBoot(_))));
        let said = tests[1].case.as_ref().unwrap_err().to_string();
        assert!(
            said.ends_with("20_b.rs:2: @boot: smp=x: it must be 1 to 512"),
            "{said}"
        );
        assert!(matches!(
            found(&[])[0].case,
            Err(InvalidTest::Unreadable(..))
        ));
    }

    #[test]
    fn equal_names_are_numbered() {
        let tests = found(&[
            (
                "10_a.rs",
                "//! @boot\n//! @boot verdict=3\n//! @boot expect=x\n",
            ),
            NONE,
        ]);
        assert_eq!(
            names(&tests),
            ["10_a::max", "10_a::max #2", "10_a::max #3", "product::max"]
        );
    }
}
