//! R10: a table's zeroes are ordered before the store that links it.
//!
//! A walker that sees the link must see zeroes behind it, or it reads as descriptors whatever the
//! frame held before. Stores of one core to different places are not ordered for another observer
//! without a barrier (Arm ARM B2.3; D8, ordering of table walks): `dmb ishst`, or a store-release.
//! The pair that publishes the link comes later, and deferred much later, so it does not help. A
//! root is linked by writing TTBR0, which is no store: there it takes a DSB.

use super::Finding;
use crate::checker::State;
use crate::desc::Desc;
use crate::event::{Event, What};
use crate::shadow::Zeroes;

pub(super) const TITLE: &str = "a table is linked before its zeroes are ordered";
pub(super) const BASIS: &str =
    "Arm ARM B2.3 (ordering of stores), D8 (walks observe stores in order)";

pub(super) fn check(state: &State, event: &Event) -> Option<Finding> {
    let (frame, why) = match event.what {
        What::Store {
            level, old, new, ..
        } => {
            let (old, new) = (Desc { bits: old, level }, Desc { bits: new, level });
            if !new.is_table() || (old.is_table() && old.frame() == new.frame()) {
                return None;
            }
            let why = match state.shadow.zeroes(new.frame()) {
                None if state.shadow.is_in_use(new.frame()) => return None,
                None => "nobody has zeroed the table",
                Some(Zeroes::Unordered) => {
                    "no DMB or DSB between the table's contents and the link"
                }
                Some(Zeroes::Ordered | Zeroes::Complete) => return None,
            };
            (new.frame(), why)
        }
        What::Ttbr0 { root, .. } => match state.shadow.zeroes(root)? {
            Zeroes::Complete => return None,
            _ => (root, "no DSB between the root table's contents and TTBR0"),
        },
        _ => return None,
    };
    Some(Finding {
        why,
        address: frame,
        owes: None,
    })
}
