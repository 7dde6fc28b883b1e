//! The lines of a trace that are no event: what it is, where the run begins, and where it ends.

use core::fmt;
use core::str::FromStr;

/// The version of the format that is written.
pub const VERSION: u32 = 1;

/// What the first line begins with.
pub(super) const NAME: &str = "mmu-check";

/// The first line of a trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// How many counts of [`Event::time`](crate::Event::time) are a second; 0 where that is not known.
    pub clock: u64,
}

/// The line before the first event of the run.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Run {
    /// The sequence number of the first event behind it.
    pub first: u32,
    /// How many lines before it say how things stand.
    pub stated: u64,
    /// How many events the rules had been given when the trace began, all of which are left out.
    pub before: u64,
}

/// The last line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct End {
    /// How many events there were behind [`Run`], each store of a run of stores counted.
    pub events: u64,
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{NAME} trace {VERSION} clock={}", self.clock)
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Run {
            first,
            stated,
            before,
        } = self;
        write!(f, "run first={first} stated={stated} before={before}")
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "end events={}", self.events)
    }
}

/// A line that is none of these, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeaderError {
    /// It is the first line of another version.
    Version(u32),
    /// It is not of the form that these print.
    Form,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeaderError::Version(version) => write!(
                f,
                "the trace is of version {version}, and this reads {VERSION} and what has no first line: use the \
                 check_trace of what wrote it"
            ),
            HeaderError::Form => f.write_str(
                "no line of the form `mmu-check trace VERSION clock=COUNTS`, \
                 `run first=NUMBER stated=LINES before=EVENTS` or `end events=NUMBER`",
            ),
        }
    }
}

impl core::error::Error for HeaderError {}

impl FromStr for Header {
    type Err = HeaderError;

    fn from_str(line: &str) -> Result<Self, HeaderError> {
        let mut words = line.split_ascii_whitespace();
        if (words.next(), words.next()) != (Some(NAME), Some("trace")) {
            return Err(HeaderError::Form);
        }
        let version = words.next().and_then(|word| word.parse().ok());
        let version: u32 = version.ok_or(HeaderError::Form)?;
        if version != VERSION {
            return Err(HeaderError::Version(version));
        }
        let [clock] = fields(words, ["clock="]).ok_or(HeaderError::Form)?;
        Ok(Header { clock })
    }
}

impl FromStr for Run {
    type Err = HeaderError;

    fn from_str(line: &str) -> Result<Self, HeaderError> {
        let words = line.strip_prefix("run ").ok_or(HeaderError::Form)?;
        let words = words.split_ascii_whitespace();
        let values = fields(words, ["first=", "stated=", "before="]);
        let [first, stated, before] = values.ok_or(HeaderError::Form)?;
        Ok(Run {
            first: u32::try_from(first).map_err(|_| HeaderError::Form)?,
            stated,
            before,
        })
    }
}

impl FromStr for End {
    type Err = HeaderError;

    fn from_str(line: &str) -> Result<Self, HeaderError> {
        let words = line.strip_prefix("end ").ok_or(HeaderError::Form)?;
        let values = fields(words.split_ascii_whitespace(), ["events="]);
        let [events] = values.ok_or(HeaderError::Form)?;
        Ok(End { events })
    }
}

/// These fields, all decimal, and nothing behind them.
fn fields<'a, const N: usize>(
    mut words: impl Iterator<Item = &'a str>,
    names: [&str; N],
) -> Option<[u64; N]> {
    let mut values = [0; N];
    for (value, name) in values.iter_mut().zip(names) {
        let digits = words.next()?.strip_prefix(name)?;
        let decimal = digits.bytes().all(|digit| digit.is_ascii_digit());
        *value = decimal.then(|| digits.parse().ok())??;
    }
    words.next().is_none().then_some(values)
}
