//! R8: who leaves leaves no debt behind.
//!
//! - A section's end publishes everything stored before it, at any depth (v3 and Linux 7.0
//!   alike; the baseline `reenter` only at the outermost), and so does a pause: the inner user of a
//!   nested section goes on to use what it mapped.
//! - A switch executes one `dsb ish`, so that whatever this core has stored is visible, and its
//!   TLBIs are complete, before the task goes on elsewhere, where no DSB would do that (Linux
//!   `__switch_to`). Its ISB comes when the task pays: a debt may cross a switch, an unordered
//!   store may not.
//! - An interrupt handler's stores pay at once: nobody else would pay for them.
//! - A task ends with everything published and invalidated.

use super::reliance::stage;
use super::{Description, End, Finding, Reason, Withdrawn};
use crate::event::{Call, Contract, Event, What};
use crate::ledger::Owner;
use crate::state::State;

pub(super) const RULE: Description = Description {
    name: "R8",
    title: "a section, a switch, a task or an interrupt handler ends and leaves debt behind",
    basis: "the mode's contract (Linux 5ab246749569, \"enable lazy_mmu sections to nest\"); Linux __switch_to",
};

pub(super) fn check(state: &State, event: &Event) -> Option<Finding> {
    let (task, core) = (event.task, usize::from(event.core));
    let owner = state.owner(task);
    match event.what {
        What::Switch { .. } => at_switch(state, core),
        What::Call(call @ (Call::Disable | Call::Pause)) => {
            let inner = call == Call::Disable && state.depth(task) > 1;
            if inner && state.contract(task) == Contract::OutermostExit {
                return None;
            }
            unpaid(state, owner, core, End::Section)
        }
        What::IrqExit => {
            let handler = Owner { task, irq: true };
            unpaid(state, handler, core, End::Handler)
        }
        What::TaskEnd => {
            let owner = Owner { task, irq: false };
            unpaid(state, owner, core, End::Task).or_else(|| uninvalidated(state, owner, core))
        }
        _ => None,
    }
}

fn at_switch(state: &State, core: usize) -> Option<Finding> {
    let ledger = &state.ledger;
    if let Some(stale) = ledger.issued(core) {
        return Some(Finding {
            why: Reason::SwitchedUncompleted,
            address: stale.va,
            owes: Some(ledger.withdrawn_by(stale)),
            withdrawn: None,
        });
    }
    let stored = |why, address, store| Finding {
        why,
        address,
        owes: Some(store),
        withdrawn: None,
    };
    let mut unordered = ledger.unordered(core);
    let published = unordered.find(|publish| usize::from(publish.origin.core) == core);
    let why = Reason::SwitchedUnordered;
    if let Some(publish) = published {
        let (va, _) = ledger.place_of(publish);
        return Some(stored(why, va, ledger.made_by(publish)));
    }
    let stale = ledger.invisible(core)?;
    Some(stored(why, stale.va, ledger.withdrawn_by(stale)))
}

fn unpaid(state: &State, owner: Owner, core: usize, end: End) -> Option<Finding> {
    let ledger = &state.ledger;
    let (publish, why) = match ledger.unpublished(owner) {
        Some(publish) => (publish, Reason::LeftUnpublished(end)),
        None => {
            let publish = ledger.unsynchronised(owner, core)?;
            (publish, Reason::LeftUnsynchronised(end))
        }
    };
    Some(Finding {
        why,
        address: ledger.place_of(publish).0,
        owes: Some(ledger.made_by(publish)),
        withdrawn: None,
    })
}

fn uninvalidated(state: &State, owner: Owner, core: usize) -> Option<Finding> {
    let mut stales = state.ledger.stales();
    let stale = stales.find(|stale| stale.origin.owner == owner && !stale.is_gone(core))?;
    Some(Finding {
        why: Reason::LeftStale(stage(stale, core)),
        address: stale.va,
        owes: Some(state.ledger.withdrawn_by(stale)),
        withdrawn: Some(Withdrawn::stale(stale, core)),
    })
}
