//! Which tests are run: `TESTS="00_boot 11_panic --test-threads=1"`.

use std::fmt;

use crate::found::Test;

/// A name that no test has in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoSuchTest(String);

impl fmt::Display for NoSuchTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "TESTS: no QEMU test has `{}` in its name; `make test TESTS=--list` lists them",
            self.0
        )
    }
}

impl std::error::Error for NoSuchTest {}

/// The words of `TESTS`: names, and options, which begin with `-` and are libtest's, their values behind `=`.
#[must_use]
pub fn split(words: &str) -> (Vec<String>, Vec<String>) {
    let words = words.split_whitespace().map(str::to_owned);
    words.partition(|word| !word.starts_with('-'))
}

/// The tests that have one of `names` in theirs, or with `exact` as theirs; all of them when there are no names.
///
/// # Errors
/// When a name chooses none: a test that was renamed must not look like one that passes.
pub fn of(tests: Vec<Test>, names: &[String], exact: bool) -> Result<Vec<Test>, NoSuchTest> {
    let fits = |test: &Test, name: &str| {
        if exact {
            test.name == name
        } else {
            test.name.contains(name)
        }
    };
    let unknown = names
        .iter()
        .find(|name| !tests.iter().any(|test| fits(test, name)));
    if let Some(name) = unknown {
        return Err(NoSuchTest(name.clone()));
    }
    let chosen = |test: &Test| names.is_empty() || names.iter().any(|name| fits(test, name));
    Ok(tests.into_iter().filter(chosen).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::found::InvalidTest;

    fn chosen(words: &str) -> Result<Vec<String>, String> {
        let tests = ["00_boot::max", "00_boot::smp=8", "product::max,run=zap"].map(|name| Test {
            name: name.to_owned(),
            case: Err(InvalidTest::NoBoot("x".into())),
        });
        let (names, options) = split(words);
        let exact = options.iter().any(|option| option == "--exact");
        let chosen = of(tests.into(), &names, exact).map_err(|why| why.to_string())?;
        Ok(chosen.into_iter().map(|test| test.name).collect())
    }

    #[test]
    fn each_name_chooses_and_none_chooses_all() {
        assert_eq!(chosen("").unwrap().len(), 3);
        assert_eq!(
            chosen("smp=8 run=zap").unwrap(),
            ["00_boot::smp=8", "product::max,run=zap"]
        );
        assert_eq!(chosen("00_boot 00_boot::max").unwrap().len(), 2);
    }

    #[test]
    fn a_name_that_chooses_nothing_is_an_error() {
        let why = chosen("00_boot 99_none").unwrap_err();
        assert!(why.contains("`99_none`"), "{why}");
        assert!(chosen("--exact 00_boot").is_err());
        assert_eq!(chosen("--exact 00_boot::max").unwrap(), ["00_boot::max"]);
    }

    #[test]
    fn options_are_none_of_the_names() {
        let (names, options) = split(" a --list\n--test-threads=1 b ");
        assert_eq!(names, ["a", "b"]);
        assert_eq!(options, ["--list", "--test-threads=1"]);
        assert_eq!(chosen("--list").unwrap().len(), 3);
    }
}
