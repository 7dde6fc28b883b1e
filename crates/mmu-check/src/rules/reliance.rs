//! What rules 3, 4, 5, 6, 7 and 9 have in common: an event that relies on a translation being gone,
//! and one that may not be.
//!
//! A translation is gone after: a DSB behind the store, a TLBI that covers it on every core, a DSB
//! of the core of the TLBI for loads and stores (Arm ARM D8, completion of TLB maintenance), and
//! for what that core itself does next a context synchronisation. Instructions that another core has
//! fetched through it stay fetched until that core synchronises its context (B2.3, instruction fetch).
//! A frame is reused when nobody uses the translation any more, so the core of the TLBI has synchronised, whoever
//! frees.
//! For a core that has stored by itself it is gone after `dsb nshst`, a TLBI of its own, `dsb nsh` and `isb`: a core
//! and its walker are one non-shareable domain (Linux `local_flush_tlb_all`). Other cores may read and hold the old
//! descriptor still.
//! Which rule is broken depends on why it is not gone: the TLBI came early (R9), stayed at home (R7) or
//! said something else (R6); or else on what is lost by it: a frame (R4), a table (R5), an answer (R3).

use super::{Finding, Reason, Rule, Stage, Withdrawn};
use crate::desc::Desc;
use crate::event::{AccessKind, Event, Expect, What};
use crate::ledger::{Missed, Stale};
use crate::state::State;

/// The first rule that the event breaks by relying on what is not gone, of those that are `wanted`.
pub(super) fn first(
    state: &State,
    event: &Event,
    wanted: impl Fn(Rule) -> bool,
) -> Option<(Rule, Finding)> {
    let core = usize::from(event.core);
    let mut first: Option<(Rule, &Stale)> = None;
    let mut add = |stale| {
        let rule = rule(stale, event);
        if wanted(rule) && first.is_none_or(|(known, _)| rule < known) {
            first = Some((rule, stale));
        }
    };
    match event.what {
        What::Done {
            va,
            pages,
            asid,
            tables,
        } => {
            let stales = state.ledger.stale_within(va, pages);
            let claimed = |s: &&Stale| !s.is_gone(core) && claims(state, event, s, asid, tables);
            stales.filter(claimed).for_each(&mut add);
        }
        What::Access { va, kind, expect } => {
            let stales = state.ledger.stale_within(va, 1);
            let relied = |s: &&Stale| relies(state, core, s, (va, kind), expect);
            stales.filter(relied).for_each(&mut add);
        }
        What::Free { frame } | What::Alloc { frame } => {
            let stales = state.ledger.leading_to(frame);
            stales
                .filter(|s| !s.is_gone_everywhere())
                .for_each(&mut add);
        }
        _ => {}
    }
    let (rule, stale) = first?;
    let finding = Finding {
        why: Reason::Relied(stage_for(stale, event)),
        address: address(stale, event),
        owes: Some(state.ledger.withdrawn_by(stale)),
        withdrawn: Some(Withdrawn::stale(stale, core)),
    };
    Some((rule, finding))
}

/// Whether "done" is said of this one: the same owner withdrew it, in that space.
fn claims(state: &State, event: &Event, stale: &Stale, asid: u16, tables: bool) -> bool {
    let ours = stale.origin.owner == state.owner(event.task);
    let space = stale.asid.is_none_or(|own| own == asid);
    ours && space && (tables || !stale.old.is_table())
}

/// Whether an access shows it: a stale translation would let through what must fault, hold up what must
/// work, or have fetched other instructions.
fn relies(
    state: &State,
    core: usize,
    stale: &Stale,
    (va, kind): (u64, AccessKind),
    expect: Expect,
) -> bool {
    if is_elsewhere(state, core, stale) {
        return false;
    }
    let lets_through = if stale.old.is_table() {
        leads_on(state, stale.old, va, kind)
    } else {
        permits(stale.old, kind)
    };
    let fetched = kind == AccessKind::Execute && stale.may_be_fetched(core);
    let other_text = fetched && lets_through && stale.old.is_leaf();
    match expect {
        Expect::Faults => lets_through && (stale.may_be_used(core) || fetched),
        Expect::Works => (!lets_through && stale.may_be_used(core)) || other_text,
        // A retry cures a fault that was begun ahead, and never what a TLB holds. Where there is no fault, nothing
        // is tried again.
        Expect::Retries => {
            let elsewhere = lets_through && stale.may_be_used(core);
            (!lets_through && stale.is_held(core))
                || other_text
                || (elsewhere && leads_elsewhere(state, core, stale, va))
        }
    }
}

/// Whether it is a leaf, and what it has for the address is not what the tables have now.
fn leads_elsewhere(state: &State, core: usize, stale: &Stale, va: u64) -> bool {
    let lower = state.spaces.current(core).map(|(root, _)| root);
    let at = |leaf: Desc| {
        let within = (leaf.held_pages() << 12) - 1;
        leaf.frame() & !within | va & within
    };
    // Where the root is not known, by the same table.
    let here = || state.tables.leaf_below(state.ledger.table_of(stale)?, va);
    let now = state.tables.leaf(va, lower).or_else(here);
    stale.old.is_leaf() && now.is_some_and(|now| at(now) != at(stale.old))
}

/// Whether the core is known to run in another space.
fn is_elsewhere(state: &State, core: usize, stale: &Stale) -> bool {
    let global = stale.old.is_leaf() && stale.old.is_global();
    let Some((root, asid)) = state.spaces.current(core).filter(|_| stale.va >> 63 == 0) else {
        return false;
    };
    match stale.asid {
        _ if global => false,
        Some(own) => own != asid,
        None => {
            let table = state.tables.find(stale.root);
            table.is_some_and(|table| state.tables.has_known_root(table)) && stale.root != root
        }
    }
}

/// Whether a walk from an old table comes to a leaf that permits the access. What it was before that, is stale by
/// itself; what a frame holds that is no table any more, nobody knows.
fn leads_on(state: &State, table: Desc, va: u64, kind: AccessKind) -> bool {
    match state.tables.translate(table.frame(), va) {
        None => true,
        Some(desc) => desc.is_table() || (desc.is_cacheable() && permits(desc, kind)),
    }
}

fn permits(leaf: Desc, kind: AccessKind) -> bool {
    match kind {
        AccessKind::Read => true,
        AccessKind::Write => leaf.is_writable(),
        AccessKind::Execute => leaf.is_executable(),
    }
}

/// Whether no TLBI is on its way that would do.
fn is_waiting(stale: &Stale) -> bool {
    stale.held != 0 && stale.issued == 0
}

fn rule(stale: &Stale, event: &Event) -> Rule {
    let missed = stale.missed.filter(|_| !is_off_its_core(stale, event));
    match (missed, event.what) {
        (Some(Missed::Early), _) if is_waiting(stale) => Rule::Early,
        (Some(Missed::Local), _) if is_waiting(stale) => Rule::Broadcast,
        (Some(Missed::Operand), _) if is_waiting(stale) => Rule::Operand,
        // Walk caches are what a table's invalidation is about, whoever relies on it.
        _ if stale.old.is_table() => Rule::TableReuse,
        (_, What::Free { .. } | What::Alloc { .. }) => Rule::FrameReuse,
        _ => Rule::Done,
    }
}

fn address(stale: &Stale, event: &Event) -> u64 {
    match event.what {
        What::Free { frame } | What::Alloc { frame } => frame,
        _ => stale.va,
    }
}

/// Whether an access is by a core whose own TLB is rid of it, whatever others hold.
fn is_off_its_core(stale: &Stale, event: &Event) -> bool {
    matches!(event.what, What::Access { .. }) && !stale.is_held(event.core.into())
}

/// How far the invalidation of `stale` has come, for what relies on it.
fn stage_for(stale: &Stale, event: &Event) -> Stage {
    let core = event.core.into();
    match is_off_its_core(stale, event) {
        true if stale.may_be_used(core) => Stage::Completed,
        true => Stage::Fetched,
        false => stage(stale, core),
    }
}

/// How far the invalidation of `stale` has come, for what `core` relies on.
pub(super) fn stage(stale: &Stale, core: usize) -> Stage {
    let (table, visible) = (stale.old.is_table(), stale.visible);
    if stale.held == 0 {
        // Nothing would be relied on that is gone everywhere.
        return match stale.is_gone(core) {
            true => Stage::Behind {
                core: stale.behind(),
            },
            false => Stage::Completed,
        };
    }
    match stale.missed {
        Some(Missed::Early) if is_waiting(stale) => Stage::Early { visible },
        Some(Missed::Local) if is_waiting(stale) => Stage::Local,
        Some(Missed::Operand) if is_waiting(stale) => Stage::Flawed,
        _ if !visible => Stage::Stored,
        _ if is_waiting(stale) => Stage::Visible { table },
        _ => Stage::Issued {
            core: stale.issuer(core),
        },
    }
}
