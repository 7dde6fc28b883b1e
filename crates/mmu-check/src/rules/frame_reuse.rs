//! R4: a frame is not reused while a translation may still lead to it.
//!
//! Until the invalidation is complete any core may read and write the frame through its TLB, its
//! next owner's data included (Arm ARM D8, what a TLB may hold; this is what Linux's `mmu_gather`
//! keeps pages back for). So it may while a mapping is still there that was made since the frame was
//! allocated; one from before, as the linear map's, is not its owner's.

use super::{Description, Finding, Reason, Withdrawn};
use crate::event::{Event, What};
use crate::state::State;

pub(super) const RULE: Description = Description {
    name: "R4",
    title: "a frame is reused while a translation may still lead to it",
    basis: "Arm ARM D8, what a TLB may hold and completion of TLB maintenance; Linux mmu_gather",
};

pub(super) fn check(state: &State, event: &Event) -> Option<Finding> {
    let What::Free { frame } = event.what else {
        return None;
    };
    let mut mappings = state.tables.mappings(frame).into_iter();
    let slot = mappings.find(|slot| state.is_reachable(slot.table))?;
    let table = state.tables.get(slot.table);
    let va = table.va_of(slot.index);
    Some(Finding {
        why: Reason::StillMapped(va),
        address: frame,
        owes: None,
        withdrawn: Some(Withdrawn::live(va, table.desc(slot.index))),
    })
}
