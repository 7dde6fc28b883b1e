//! What rules 3, 4, 5, 6, 7 and 9 have in common: an event that relies on a translation being gone,
//! and one that may not be.
//!
//! A translation is gone after: a DSB behind the store, a TLBI that covers it on every core, a DSB
//! of the core of the TLBI for loads and stores (Arm ARM D8, completion of TLB maintenance), and
//! for what that core itself does next a context synchronisation. Which rule is broken depends on
//! why it is not: the TLBI came early (R9), stayed at home (R7) or said something else (R6); or
//! else on what is lost by it: a frame (R4), a table (R5), an answer (R3).

use super::Finding;
use crate::checker::State;
use crate::desc::Desc;
use crate::event::{AccessKind, Event, Expect, What};
use crate::ledger::{Debt, Invalidation, Missed, Owner, Progress};

/// What is relied on, and why not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Early,
    Local,
    Operand,
    Frame,
    Table,
    Answer,
}

/// The finding of this event that belongs to `wanted`.
pub(super) fn find(state: &State, event: &Event, wanted: Fault) -> Option<Finding> {
    let core = usize::from(event.core);
    let pick = |debt: &Debt| {
        let owed = debt.invalidation?;
        let done = state.ledger.is_complete(&owed, core);
        (!done && fault(&owed, event) == wanted).then(|| Finding {
            why: reason(&owed),
            address: address(debt, event),
            owes: Some(owed.store),
        })
    };
    match event.what {
        What::Done {
            va,
            pages,
            asid,
            tables,
        } => {
            let claimed = |debt: &&Debt| claims(state, event, debt, asid, tables);
            let mut within = state.ledger.within(va, pages).filter(claimed);
            within.find_map(pick)
        }
        What::Access { va, kind, expect } => {
            let relied = |debt: &&Debt| relies(state, core, debt, kind, expect);
            let mut debts = state.ledger.on_the_way(va).filter(relied);
            debts.find_map(pick)
        }
        What::Free { frame } | What::Alloc { frame } => {
            let mut debts = state.ledger.leading_to(frame);
            debts.find_map(pick)
        }
        _ => None,
    }
}

/// Whether "done" is said of this debt: the same owner withdrew it, in that space.
fn claims(state: &State, event: &Event, debt: &Debt, asid: u16, tables: bool) -> bool {
    debt.invalidation.is_some_and(|owed| {
        let ours = owed.owner
            == Owner {
                task: event.task,
                irq: state.in_irq(event.task),
            };
        let space = debt.key.va >> 63 != 0 || owed.asid.is_none_or(|a| a == asid);
        ours && space && (tables || !owed.old.is_table())
    })
}

/// Whether an access shows this debt: a stale translation would let through what must fault, or
/// hold up what must work.
fn relies(state: &State, core: usize, debt: &Debt, kind: AccessKind, expect: Expect) -> bool {
    debt.invalidation.is_some_and(|owed| {
        let stale = owed.old.is_table() || permits(owed.old, kind);
        let older = owed.older.map(|older| permits(older, kind));
        let shows = match expect {
            Expect::Faults => stale || older == Some(true),
            Expect::Works => !stale || older == Some(false),
            Expect::Retries => false,
        };
        // A table that hangs nowhere any more still has the ASID of the space it was taken from.
        let elsewhere = owed
            .asid
            .is_some_and(|asid| state.shadow.runs_other_than(asid, core));
        shows && !elsewhere && state.shadow.translates_for(debt.key, core)
    })
}

fn permits(leaf: Desc, kind: AccessKind) -> bool {
    match kind {
        AccessKind::Read => true,
        AccessKind::Write => leaf.is_writable(),
        AccessKind::Execute => leaf.is_executable(),
    }
}

fn fault(owed: &Invalidation, event: &Event) -> Fault {
    let waiting = matches!(owed.progress, Progress::Stored | Progress::Visible);
    match (owed.missed, event.what) {
        (Some(Missed::Early), _) if waiting => Fault::Early,
        (Some(Missed::Local), _) if waiting => Fault::Local,
        (Some(Missed::Operand), _) if waiting => Fault::Operand,
        (_, What::Free { .. } | What::Alloc { .. }) if owed.old.is_table() => Fault::Table,
        (_, What::Free { .. } | What::Alloc { .. }) => Fault::Frame,
        // Walk caches are what a table's invalidation is about, whoever relies on it.
        _ if owed.old.is_table() => Fault::Table,
        _ => Fault::Answer,
    }
}

fn address(debt: &Debt, event: &Event) -> u64 {
    match event.what {
        What::Free { frame } | What::Alloc { frame } => frame,
        _ => debt.key.va,
    }
}

fn reason(owed: &Invalidation) -> &'static str {
    match (owed.progress, owed.missed) {
        (Progress::Stored | Progress::Visible, Some(Missed::Early)) => {
            "the TLBI was executed before the store was visible to the walkers"
        }
        (Progress::Stored | Progress::Visible, Some(Missed::Local)) => {
            "the TLBI was for one core, and others run"
        }
        (Progress::Stored | Progress::Visible, Some(Missed::Operand)) => {
            "the TLBI's operand frees the cores from dropping it"
        }
        (Progress::Stored, None) => "no DSB has followed the store",
        (Progress::Visible, None) if owed.old.is_table() => {
            "no TLBI has reached the walk caches for it"
        }
        (Progress::Visible, None) => "no TLBI has covered it",
        (Progress::Issued(_), _) => "no DSB has completed its TLBI",
        (Progress::Complete(..), _) => "no ISB has followed its invalidation on this core",
    }
}
