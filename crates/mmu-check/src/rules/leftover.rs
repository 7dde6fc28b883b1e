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

use super::Finding;
use crate::checker::State;
use crate::event::{Call, Contract, Event, What};
use crate::ledger::{Owner, Progress};

pub(super) const TITLE: &str = "debt is left behind";
pub(super) const BASIS: &str = "the mode's contract (Linux 5ab246749569, \"enable lazy_mmu sections to nest\"); Linux __switch_to";

pub(super) fn check(state: &State, event: &Event) -> Option<Finding> {
    let (task, core) = (event.task, usize::from(event.core));
    let irq = state.in_irq(task);
    match event.what {
        What::Switch { .. } => at_switch(state, core),
        What::Call(call @ (Call::Disable | Call::Pause)) => {
            let inner = call == Call::Disable && state.depth(task) > 1;
            if inner && state.contract(task) == Contract::OutermostExit {
                return None;
            }
            unpaid(state, Owner { task, irq }, core, "at the end of a section")
        }
        What::IrqExit => unpaid(
            state,
            Owner { task, irq: true },
            core,
            "at the end of an interrupt handler",
        ),
        What::TaskEnd => {
            let owner = Owner { task, irq: false };
            unpaid(state, owner, core, "at the end of a task")
                .or_else(|| uninvalidated(state, owner, core))
        }
        _ => None,
    }
}

fn at_switch(state: &State, core: usize) -> Option<Finding> {
    if let Some(debt) = state.ledger.issued(core) {
        return Some(Finding {
            why: "no DSB between the TLBI and the switch: one of another core does not complete it",
            address: debt.key.va,
            owes: debt.invalidation.map(|i| i.store),
        });
    }
    let mut unordered = state.ledger.unordered(core);
    unordered.find_map(|debt| {
        let publish = debt.publish.filter(|p| p.visible.is_none());
        let withdrawn = debt.invalidation.filter(|i| i.progress == Progress::Stored);
        let store = publish.map(|p| p.store).or(withdrawn.map(|i| i.store))?;
        (usize::from(store.core) == core).then_some(Finding {
            why: "no DSB between the store and the switch",
            address: debt.key.va,
            owes: Some(store),
        })
    })
}

fn unpaid(state: &State, owner: Owner, core: usize, why: &'static str) -> Option<Finding> {
    let ledger = &state.ledger;
    let debt = ledger
        .unpublished(owner)
        .or_else(|| ledger.unsynchronised(owner, core))?;
    Some(Finding {
        why,
        address: debt.key.va,
        owes: debt.publish.map(|p| p.store),
    })
}

fn uninvalidated(state: &State, owner: Owner, core: usize) -> Option<Finding> {
    let mut debts = state.ledger.debts();
    debts.find_map(|debt| {
        let owed = debt.invalidation.filter(|i| i.owner == owner)?;
        (!state.ledger.is_complete(&owed, core)).then_some(Finding {
            why: "a translation is withdrawn and not invalidated, at the end of a task",
            address: debt.key.va,
            owes: Some(owed.store),
        })
    })
}
