//! R4: a frame is not reused while a translation may still lead to it.
//!
//! Until the invalidation is complete any core may read and write the frame through its TLB, its
//! next owner's data included (Arm ARM D8, what a TLB may hold; this is what Linux's `mmu_gather`
//! keeps pages back for).

use super::{Finding, reliance};
use crate::checker::State;
use crate::event::Event;

pub(super) const TITLE: &str = "a frame is reused while a translation may still lead to it";
pub(super) const BASIS: &str =
    "Arm ARM D8, what a TLB may hold and completion of TLB maintenance; Linux mmu_gather";

pub(super) fn check(state: &State, event: &Event) -> Option<Finding> {
    reliance::find(state, event, reliance::Fault::Frame)
}
