//! The outside witness.
