//! R2: break-before-make.
//!
//! Two descriptors that a TLB may hold at once for one address must agree in output address, memory
//! type, shareability, size, Contiguous bit and nG, and must not be a table and a block (Arm ARM
//! D8, break-before-make; Arm's herd model `aarch64bbm.cat`). Where they do not: store an invalid
//! one, DSB, TLBI in the right scope, DSB, and only then store the new one. FEAT_BBM is not relied
//! on.

use super::Finding;
use crate::checker::State;
use crate::desc::{Desc, needs_break};
use crate::event::{Event, What};
use crate::ledger::Progress;
use crate::shadow::Shadow;

pub(super) const TITLE: &str = "a live descriptor is replaced without break-before-make";
pub(super) const BASIS: &str = "Arm ARM D8, break-before-make, Arm's herd model aarch64bbm.cat";

pub(super) fn check(state: &State, event: &Event) -> Option<Finding> {
    let What::Store {
        slot,
        va,
        level,
        old,
        new,
    } = event.what
    else {
        return None;
    };
    let key = Shadow::key(slot, va, level);
    let (old, new) = (Desc { bits: old, level }, Desc { bits: new, level });
    if needs_break(old, new) {
        return Some(Finding {
            why: "a valid descriptor is stored over another that TLBs may hold",
            address: key.va,
            owes: None,
        });
    }
    if old.is_cacheable() || !new.is_cacheable() {
        return None;
    }
    // Broken before, here or at the same address in a table that is unlinked now.
    let (upper, asid) = (key.va >> 63 != 0, state.shadow.asid(slot));
    let mut others = state.ledger.on_the_way(key.va);
    let owed = others.find_map(|debt| {
        let owed = debt.invalidation?;
        let same_space = debt.key.slot == slot || upper || (asid.is_some() && owed.asid == asid);
        let gone = matches!(owed.progress, Progress::Complete(..));
        (debt.key.level == level && same_space && !gone && needs_break(owed.old, new))
            .then_some(owed)
    })?;
    Some(Finding {
        why: "the new descriptor is made before the invalidation of the old one is complete",
        address: key.va,
        owes: Some(owed.store),
    })
}
