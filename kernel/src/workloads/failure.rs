//! A check that failed, as a text for the console.

use core::fmt;

use alloc::string::String;
use lazy_mmu::{Policy, PolicyInUse};
use stage1_paging::Error;

use crate::arch::Fault;
use crate::report::Run;

/// A check that failed: where, what was expected, and what was found.
#[derive(Clone, Debug)]
pub struct Failure(String);

impl Failure {
    /// With the text as it is.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The same failure, with the run and the policy in front of the text.
    pub fn within(self, run: Run, policy: Policy) -> Self {
        failure!("{run} under {policy}: {}", self.0)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A [`Failure`] from a format string.
macro_rules! failure {
    ($($argument:tt)*) => { $crate::workloads::Failure::new(alloc::format!($($argument)*)) };
}
pub(crate) use failure;

/// Errors that `?` makes a [`Failure`], with their own text.
macro_rules! failure_from {
    ($($error:ty),*) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                failure!("{error}")
            }
        })*
    };
}
failure_from!(Error, Fault, PolicyInUse);
