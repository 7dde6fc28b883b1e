//! What every floor above stands on: the lock, the layout of addresses, limits, the verdict.

pub mod layout;
mod limits;
mod sync;
mod verdict;

pub use limits::{MAX_CORES, MAX_TASKS};
pub use sync::{Guard, Lock, Yield};
pub use verdict::Verdict;
