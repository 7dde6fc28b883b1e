//! R1: publish before use.
//!
//! A store that makes a valid descriptor is visible to the table walkers of every core after a DSB
//! of the core that stored, and only then (Arm ARM D8, ordering of table walks: a walk is a
//! separate observer; B2.3, DSB). Without FEAT_ETS2 that orders the walks of later instructions
//! only across a context synchronisation event: until an ISB, an exception or a return, the core
//! may take a fault it speculated from the old descriptor (D8, what a TLB may hold; Linux
//! `emit_pte_barriers`). This is the pair `dsb ishst; isb` that the lazy mode defers.
//!
//! A DSB of the non-shareable domain is as good for the core's own uses: its walker is in that domain, other
//! cores' are not.
//!
//! The synchronisation is the using core's own: a task that has paid on one core and moves to
//! another needs one on arrival, an `isb` of the switch or an exception return. An exception entry is
//! one too, for what was settled before that core's previous report: when after it the exception was
//! taken, nobody has seen.
//!
//! Another address space is published to the core that writes TTBR0 by an ISB alone (D8, ordering
//! of table walks: a system register counts from the next context synchronisation on).
//!
//! A core that uses what *another* one has published has done no ISB of its own. It either
//! synchronises, or distinguishes a spurious fault from a real one and retries (`AT S1E1R`; Linux
//! `is_spurious_el1_translation_fault`): the access says which. What no retry makes up for is the
//! DSB.

use super::{Description, Finding, Reason};
use crate::event::{Event, Expect, What};
use crate::state::State;

pub(super) const RULE: Description = Description {
    name: "R1",
    title: "a mapping is used before it is published",
    basis: "Arm ARM D8, ordering of table walks (a walk is ordered after a store by a DSB and a context synchronisation)",
};

pub(super) fn check(state: &State, event: &Event) -> Option<Finding> {
    let What::Access { va, expect, .. } = event.what else {
        return None;
    };
    let core = usize::from(event.core);
    if va >> 63 == 0 && state.spaces.written(core) > state.ledger.core_synced(core) {
        return Some(Finding {
            why: Reason::UnsynchronisedTtbr0,
            address: va,
            owes: None,
            withdrawn: None,
        });
    }
    if expect == Expect::Faults {
        return None;
    }
    let synced = state.ledger.core_synced(core);
    let mut on_the_way = state.ledger.publications(va);
    let (why, store) = on_the_way.find_map(|publish| {
        let why = match publish.visible_to(core) {
            None => Reason::Unpublished,
            Some(at) if expect == Expect::Works && synced <= at => Reason::Unsynchronised,
            Some(_) => return None,
        };
        let (base, frame) = state.ledger.place_of(publish);
        let ours = state.translates_for(base, frame, core);
        ours.then(|| (why, state.ledger.made_by(publish)))
    })?;
    Some(Finding {
        why,
        address: va,
        owes: Some(store),
        withdrawn: None,
    })
}
