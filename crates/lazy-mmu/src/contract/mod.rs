//! The two contracts and the baselines, each a page.
//!
//! A call checks for misuse, decides, and then has its effects, in the contract's order. An interrupt handler
//! may run between any two of them. Where handlers' calls count, in [`v3`], a count is read again where the
//! contract's text changes it or reads it after the change; elsewhere they are ignored, and what was read at
//! the start still holds. A handler that keeps its own calls balanced leaves the bytes as it found them, with
//! the exception that [`v3`] names.

pub(crate) mod flat;
pub(crate) mod linux7;
pub(crate) mod reenter;
pub(crate) mod v3;
