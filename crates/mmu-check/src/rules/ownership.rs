//! R11: whoever stores a descriptor knows what was there.
//!
//! Descriptors are changed without a lock by who owns their addresses (Linux: the owner of a vmalloc area, of
//! a page of the linear map). That is right as long as nobody else changes them. A store that expects
//! another descriptor than the last store has left there shows that somebody does, or that a store
//! was not reported.

use super::{Description, Finding, Reason};
use crate::event::{Event, What};
use crate::state::State;

pub(super) const RULE: Description = Description {
    name: "R11",
    title: "a descriptor is changed by somebody else than its owner",
    basis: "Linux mm: last-level tables of the kernel are changed by the owner of the range, without a lock",
};

pub(super) fn check(state: &State, event: &Event) -> Option<Finding> {
    let What::Store { slot, va, old, .. } = event.what else {
        return None;
    };
    let table = state.tables.find(slot & !0xfff)?;
    let index = (slot >> 3 & 0x1ff) as u16;
    let held = state.tables.get(table).known(index)?;
    (held.bits != old).then_some(Finding {
        why: Reason::Foreign(held.bits),
        address: va,
        owes: None,
        withdrawn: None,
    })
}
