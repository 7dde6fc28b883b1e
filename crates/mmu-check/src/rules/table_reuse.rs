//! R5: a table is not reused while a walk cache may still lead to it.
//!
//! A core may keep table descriptors of any level and start a walk from them (Arm ARM D8,
//! intermediate caching). Only an invalidation that is not for the last level alone reaches those,
//! or one of the whole ASID. Otherwise a walker takes for descriptors whatever the frame's next
//! owner writes (Linux: `tlb->freed_tables`).

use super::{Finding, reliance};
use crate::checker::State;
use crate::event::{Event, What};

pub(super) const TITLE: &str = "a table is reused while a walk cache may still lead to it";
pub(super) const BASIS: &str =
    "Arm ARM D8 (intermediate caching of table descriptors); Linux tlb->freed_tables";

pub(super) fn check(state: &State, event: &Event) -> Option<Finding> {
    if let What::Free { frame } | What::Alloc { frame } = event.what
        && state.shadow.is_reachable(frame)
    {
        return Some(Finding {
            why: "the table is linked, and its space was not invalidated since it was last in use",
            address: frame,
            owes: None,
        });
    }
    reliance::find(state, event, reliance::Fault::Table)
}
