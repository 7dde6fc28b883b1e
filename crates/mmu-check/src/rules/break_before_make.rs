//! R2: break-before-make.
//!
//! Two descriptors that a TLB may hold at once for one address must agree in output address, memory
//! type, shareability, size, Contiguous bit and nG, and must not be a table and a block (Arm ARM
//! D8, break-before-make; Arm's herd model `aarch64bbm.cat`). Where they do not: store an invalid
//! one, DSB, TLBI in the right scope, DSB, and only then store the new one. FEAT_BBM is not relied
//! on.

use alloc::vec::Vec;
use core::cmp::Ordering;

use super::reliance::stage;
use super::{Description, Finding, Reason, Withdrawn};
use crate::desc::{Desc, needs_break};
use crate::event::{Event, What};
use crate::ledger::Stale;
use crate::state::State;

pub(super) const RULE: Description = Description {
    name: "R2",
    title: "a live descriptor is replaced without break-before-make",
    basis: "Arm ARM D8, break-before-make, Arm's herd model aarch64bbm.cat",
};

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
    let new = Desc { bits: new, level };
    if !new.is_cacheable() {
        return None;
    }
    if !state.is_walked(slot, va, level) {
        return None;
    }
    let table = state.tables.find(slot & !0xfff);
    let index = slot >> 3 & 0x1ff;
    let va = (va & !((new.size() << 9) - 1)) + index * new.size();
    let held = table.and_then(|table| state.tables.get(table).known(index as u16));
    let old = held.unwrap_or(Desc { bits: old, level });
    if needs_break(old, new) {
        return Some(Finding {
            why: Reason::OverLive,
            address: va,
            owes: None,
            withdrawn: Some(Withdrawn::live(va, old)),
        });
    }
    if old.is_cacheable() {
        return None;
    }
    // Broken before, here or at one of the same addresses in a table that is unlinked now.
    let asids = table.map_or_else(Vec::new, |table| state.asids(table).1);
    let global = new.is_leaf() && new.is_global();
    let pages = new.held_pages();
    let first = va & !((pages << 12) - 1);
    let mut stales = state.ledger.stale_within(first, pages);
    let stale = stales.find(|stale| {
        stale.held != 0 && stale.may_meet(global, &asids) && clashes(state, stale, va, new)
    })?;
    Some(Finding {
        why: Reason::MadeEarly(stage(stale, event.core.into())),
        address: va,
        owes: Some(state.ledger.withdrawn_by(stale)),
        withdrawn: Some(Withdrawn::stale(stale, event.core.into())),
    })
}

/// Whether a TLB that holds the old translation may mix it up with the new one.
fn clashes(state: &State, stale: &Stale, va: u64, new: Desc) -> bool {
    let old = stale.old;
    match old.level.cmp(&new.level) {
        Ordering::Equal if stale.va == va => needs_break(old, new),
        // One of two neighbours is held with the other, by the Contiguous bit.
        Ordering::Equal => {
            let moved = |desc: Desc, va: u64| desc.frame().wrapping_sub(va);
            old.is_contiguous() != new.is_contiguous() || moved(old, stale.va) != moved(new, va)
        }
        // A block above. What an unlinked table further up may lead to is for who links there.
        Ordering::Less => old.is_leaf(),
        Ordering::Greater if new.is_leaf() => true,
        Ordering::Greater => {
            let now = state.tables.translate(new.frame(), stale.va);
            old.is_leaf()
                && now.is_some_and(|now| {
                    now.is_cacheable() && (now.level != old.level || needs_break(old, now))
                })
        }
    }
}
