//! R6: an invalidation's operand means what its author thinks.
//!
//! VA\[55:12\] has 44 bits of the operand; above it are TTL and ASID (Arm ARM C5.5). An address of
//! the upper half that is shifted and not masked spills its sign into both, and a core may ignore
//! an invalidation whose TTL names no level of the granule in use. The same holds for a level hint
//! that is not the leaf's, and for a range that is not aligned to its hint (D8, TTL).
//! aarch64-paging 0.12.3 fixed exactly that.

use super::{Description, Finding, Reason};
use crate::event::{Event, What};
use crate::state::State;

pub(super) const RULE: Description = Description {
    name: "R6",
    title: "an invalidation's operand does not say what is to be dropped",
    basis: "Arm ARM C5.5 (operands of TLBI), D8 (TTL and ranges)",
};

pub(super) fn check(_: &State, event: &Event) -> Option<Finding> {
    let What::Tlbi { op, operand } = event.what else {
        return None;
    };
    let decoded = op.decode(operand);
    Some(Finding {
        why: Reason::Operand(decoded.flaw()?),
        address: decoded.pages().map_or(0, |(va, _)| va),
        owes: None,
        withdrawn: None,
    })
}
