//! R5: a table is not reused while a walk cache may still lead to it.
//!
//! A core may keep table descriptors of any level and start a walk from them (Arm ARM D8,
//! intermediate caching). Only an invalidation that is not for the last level alone reaches those,
//! or one of the whole ASID. Otherwise a walker takes for descriptors whatever the frame's next
//! owner writes (Linux: `tlb->freed_tables`).

use super::{Description, Finding, Reason, Withdrawn};
use crate::desc::Desc;
use crate::event::{Event, What};
use crate::state::State;

pub(super) const RULE: Description = Description {
    name: "R5",
    title: "a table is reused while a walk cache may still lead to it",
    basis: "Arm ARM D8 (intermediate caching of table descriptors); Linux tlb->freed_tables",
};

pub(super) fn check(state: &State, event: &Event) -> Option<Finding> {
    let (What::Free { frame } | What::Alloc { frame }) = event.what else {
        return None;
    };
    let table = state.tables.find(frame);
    let linked = table.filter(|id| state.tables.is_linked(*id) && state.is_reachable(*id));
    let (why, withdrawn) = if state.spaces.is_in_use(frame) {
        (Reason::RootInUse, None)
    } else {
        let table = state.tables.get(linked?);
        let level = table.level.saturating_sub(1);
        let link = Desc {
            bits: frame | 3,
            level,
        };
        (Reason::TableLinked, Some(Withdrawn::live(table.va, link)))
    };
    Some(Finding {
        why,
        address: frame,
        owes: None,
        withdrawn,
    })
}
