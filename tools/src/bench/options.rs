//! The options of `make bench`: `SHORT=on`, `BASELINE=write`.

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Only sizes up to 512 pages.
    pub short: bool,
    /// The baseline is written anew, instead of compared with.
    pub write_baseline: bool,
}

/// Reads the two variables, and refuses other values, and a baseline of half the rows.
///
/// # Errors
/// What is wrong, and what is allowed.
pub fn parse(variable: impl Fn(&str) -> Option<String>) -> Result<Options, String> {
    let given = |name| variable(name).filter(|value| !value.is_empty());
    let short = match given("SHORT").as_deref() {
        None | Some("off") => false,
        Some("on") => true,
        Some(other) => return Err(format!("SHORT={other}: it is on or off")),
    };
    let write_baseline = match given("BASELINE").as_deref() {
        None => false,
        Some("write") => true,
        Some(other) => return Err(format!("BASELINE={other}: it is write, or not given")),
    };
    if short && write_baseline {
        return Err("BASELINE=write with SHORT=on: a baseline has all rows".to_owned());
    }
    Ok(Options {
        short,
        write_baseline,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(short: &str, baseline: &str) -> Result<Options, String> {
        parse(|name| Some(if name == "SHORT" { short } else { baseline }.to_owned()))
    }

    #[test]
    fn values() {
        let full = Options {
            short: false,
            write_baseline: false,
        };
        assert_eq!(parse(|_| None), Ok(full));
        assert_eq!(parsed("off", ""), Ok(full));
        assert!(parsed("on", "").unwrap().short);
        assert!(parsed("", "write").unwrap().write_baseline);
        assert!(parsed("yes", "").unwrap_err().contains("SHORT=yes"));
        assert!(parsed("", "on").unwrap_err().contains("BASELINE=on"));
        assert!(parsed("on", "write").is_err());
    }
}
