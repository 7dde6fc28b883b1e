//! R3: an invalidation is complete before "done" is claimed.
//!
//! "Done" is said when an unmap or a lost permission is relied on: by the proof that an
//! invalidation returns, by a probe that must fault, by an access that needs a permission the old
//! descriptor did not give, by an ASID that another space gets. A TLBI is complete when a DSB of
//! the same core is, one for loads *and* stores (Arm ARM D8, completion of TLB maintenance); that
//! core must then synchronise its context, for what it has fetched or translated ahead. Linux
//! leaves that ISB out for user pages, where an exception return follows; here loads do.
//!
//! An ASID is free when its space's root is in no TTBR0 and what TLBs hold of it was invalidated since. A
//! core walks from a root that TTBR0 has no more until its next context synchronisation.

use super::{Description, Finding, Reason};
use crate::event::{Event, What};
use crate::state::State;

pub(super) const RULE: Description = Description {
    name: "R3",
    title: "something is relied on to be gone before its invalidation is complete",
    basis: "Arm ARM D8, completion of TLB maintenance (DSB, and a context synchronisation here)",
};

pub(super) fn check(state: &State, event: &Event) -> Option<Finding> {
    let What::Ttbr0 { root, asid } = event.what else {
        return None;
    };
    let other = state.spaces.other_with(asid, root)?;
    Some(Finding {
        why: Reason::AsidInUse(other),
        address: other,
        owes: None,
        withdrawn: None,
    })
}
