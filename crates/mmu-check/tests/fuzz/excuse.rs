//! The causes why the rules may be stricter than the architecture (LITMUS.md): what they say of a program is explained
//! where they accept it with what a cause says added.

use mmu_check::event::Barrier::{Ish, Ishst};
use mmu_check::{Checker, Event, MAX_CORES, What};

use crate::first_broken;
use crate::plan::ROOT;

/// The causes that such programs have. Who gives a frame back accesses it once more here (4).
const CAUSES: [u32; 4] = [1, 2, 3, 5];

/// Whether one of the causes why the rules may be stricter explains what they say of these events, or some together.
pub fn is_explained(events: &[Event]) -> bool {
    let accepted = |events: Vec<Event>| first_broken(Checker::new(), &events).is_none();
    (1..1 << CAUSES.len()).any(|which| {
        let used = |cause| CAUSES.iter().position(|known| *known == cause);
        accepted(excused(events, |cause| {
            used(cause).is_some_and(|at| which >> at & 1 != 0)
        }))
    })
}

/// The events as they would be without what the rules are stricter about, by the causes that are `used`.
fn excused(events: &[Event], used: impl Fn(u32) -> bool) -> Vec<Event> {
    let mut excused = Vec::new();
    // Whether something was mapped, and which cores have a TLBI for all behind that which no DSB has completed.
    let (mut mapped, mut issued) = (false, [false; MAX_CORES]);
    let mut away = [false; MAX_CORES];
    let cores = events.iter().map(|event| event.core).max().unwrap_or(0);
    for (at, event) in events.iter().enumerate() {
        let also = |core, what| Event {
            core,
            what,
            ..*event
        };
        let core = usize::from(event.core);
        let next = events.get(at + 1);
        // 2. A root is in order before TTBR0 has it.
        if used(2) && matches!(event.what, What::Ttbr0 { .. }) {
            excused.push(also(event.core, What::Dsb(Ishst)));
        }
        // 5. A core that has left the first space has dropped what it finds there.
        if let What::Ttbr0 { root, .. } = event.what {
            away[core] = root != ROOT;
        }
        if used(5) && away[core] && matches!(event.what, What::Tlbi { .. }) {
            excused.push(also(event.core, What::Dsb(Ishst)));
        }
        excused.push(*event);
        match event.what {
            // 1. Another core goes on behind this DMB: it has seen what is stored before that, without a DSB.
            What::Dmb(Ish) if used(1) && next.is_some_and(|next| next.core != event.core) => {
                excused.push(also(event.core, What::Dsb(Ishst)));
            }
            What::Store { new, level, .. } => {
                mapped |= new & 1 != 0;
                // 2. It is in order before its table is linked.
                if used(2) && level == 3 {
                    excused.push(also(event.core, What::Dmb(Ishst)));
                }
            }
            What::Tlbi { op, .. } => issued[core] |= mapped && op.is_broadcast(),
            // 3. Where a TLBI for all is complete, the other cores have ended what had found no mapping.
            What::Dsb(Ish) if used(3) && issued[core] => {
                issued[core] = false;
                let others = (0..=cores).filter(|other| *other != event.core);
                excused.extend(others.map(|other| also(other, What::Isb)));
            }
            _ => {}
        }
    }
    excused
}
