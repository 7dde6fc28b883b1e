//! R9: an invalidation comes after the store it is meant for.
//!
//! A TLB entry that is dropped while a walker can still read the old descriptor comes back (Arm ARM
//! D8, completion of TLB maintenance: the store must be complete, by a DSB, before the TLBI). So a
//! TLBI before the store, or before the DSB behind it, is none. Batching updates makes this easy to
//! get wrong: the store may be deferred, and the TLBI not.

use super::{Finding, reliance};
use crate::checker::State;
use crate::event::Event;

pub(super) const TITLE: &str = "an invalidation comes before the store it is meant for";
pub(super) const BASIS: &str =
    "Arm ARM D8, completion of TLB maintenance (the store completes, by a DSB, before the TLBI)";

pub(super) fn check(state: &State, event: &Event) -> Option<Finding> {
    reliance::find(state, event, reliance::Fault::Early)
}
