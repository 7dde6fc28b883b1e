//! The two contracts and the baselines, each a page.
//!
//! A call decides on what it read of the counts at its start and then has its effects, in the contract's
//! order. An interrupt handler may run between any two of them. One that keeps its own calls balanced
//! leaves the bytes as it found them, with the exception that [`seed`] names.

pub(crate) mod flat;
pub(crate) mod linux7;
pub(crate) mod reenter;
pub(crate) mod seed;
