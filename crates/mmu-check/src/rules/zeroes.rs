//! R10: a table's zeroes are ordered before the store that links it.
//!
//! A walker that sees the link must see zeroes behind it, or it reads as descriptors whatever the
//! frame held before. Stores of one core to different places are not ordered for another observer
//! without a barrier (Arm ARM B2.3; D8, ordering of table walks): `dmb ishst`, or a store-release.
//! The pair that publishes the link comes later, and deferred much later, so it does not help. A
//! root is linked by writing TTBR0, which is no store: there it takes a DSB.

use super::{Description, Finding, Reason};
use crate::desc::Desc;
use crate::event::{Event, What};
use crate::state::State;
use crate::tables::Contents;

pub(super) const RULE: Description = Description {
    name: "R10",
    title: "a table is linked before its zeroes are ordered",
    basis: "Arm ARM B2.3 (ordering of stores), D8 (walks observe stores in order)",
};

pub(super) fn check(state: &State, event: &Event) -> Option<Finding> {
    let (frame, why) = match event.what {
        What::Store {
            slot,
            va,
            level,
            old,
            new,
        } => {
            let (old, new) = (Desc { bits: old, level }, Desc { bits: new, level });
            if !new.is_table() || (old.is_table() && old.frame() == new.frame()) {
                return None;
            }
            let walked = state.is_walked(slot, va, level);
            at_link(state, walked, new.frame())?
        }
        What::Ttbr0 { root, .. } if state.spaces.is_in_use(root) => return None,
        What::Ttbr0 { root, .. } => {
            let frame = state.tables.behind(root, &[Contents::Complete])?;
            (frame, Reason::RootUnordered(frame))
        }
        _ => return None,
    };
    Some(Finding {
        why,
        address: frame,
        owes: None,
        withdrawn: None,
    })
}

/// The link of the table in this frame, into a table that is `walked`.
fn at_link(state: &State, walked: bool, frame: u64) -> Option<(u64, Reason)> {
    let tables = &state.tables;
    let in_use =
        tables.find(frame).is_some_and(|id| tables.is_linked(id)) || state.spaces.is_known(frame);
    if tables.contents(frame) == Contents::Unknown && !in_use {
        return Some((frame, Reason::NotZeroed));
    }
    // In a table that no walker comes to it is one more store to be ordered later.
    let ordered = [Contents::Ordered, Contents::Complete];
    let behind = tables.behind(frame, &ordered).filter(|_| walked)?;
    Some((behind, Reason::LinkUnordered(behind)))
}
