//! The causes why the rules may be stricter than the architecture (LITMUS.md): what they say of a program is explained
//! where they accept it with what a cause says added.

use mmu_check::event::Barrier::{Ish, Ishst, Nsh};
use mmu_check::{Checker, Event, MAX_CORES, Op, What};

use crate::first_broken;
use crate::plan::ROOT;

/// The causes, by their numbers.
const CAUSES: [u32; 5] = [1, 2, 3, 4, 5];

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
    let (mut away, mut unlinked) = ([const { Away::NEW }; MAX_CORES], false);
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
        // 4. Every core has synchronised its context before a frame is given back.
        if used(4) && matches!(event.what, What::Free { .. }) {
            excused.extend((0..=cores).map(|core| also(core, What::Isb)));
        }
        // 5. A core that has left the first space, or that finds no link to the table, reads nothing there.
        for (who, away) in away.iter_mut().enumerate() {
            let dropped = away.come_back(event, who);
            excused.extend(
                dropped
                    .filter(|_| used(5))
                    .map(|what| also(event.core, what)),
            );
            away.change(event, who);
        }
        if let What::Store { level: 2, new, .. } = event.what {
            unlinked = new & 1 == 0;
        }
        if used(5) && unlinked && matches!(event.what, What::Store { level: 3, .. }) {
            excused.push(also(event.core, What::Dsb(Ish)));
        }
        if used(5) && unlinked && matches!(event.what, What::Tlbi { .. }) {
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

/// A core that may be in the second space: what its TLB has lost of the first one there, it does not have when it comes back.
struct Away {
    /// TTBR0 has another root than the first space's; and whether the core has synchronised its context since.
    left: bool,
    out: bool,
    /// TLBIs that it carries out meanwhile, with their cores, and those that are complete on it.
    issued: Vec<(u8, Op, u64)>,
    complete: Vec<(Op, u64)>,
}

impl Away {
    const NEW: Self = Away {
        left: false,
        out: false,
        issued: Vec::new(),
        complete: Vec::new(),
    };

    /// Where the core `who` comes back by this event: the TLBIs that were complete on it, as its own.
    fn come_back(&mut self, event: &Event, who: usize) -> impl Iterator<Item = What> + use<> {
        let is_back =
            matches!(event.what, What::Ttbr0 { root: ROOT, .. }) && usize::from(event.core) == who;
        let complete = match is_back {
            true => std::mem::replace(self, Self::NEW).complete,
            false => Vec::new(),
        };
        complete.into_iter().flat_map(|(op, operand)| {
            let local = Op::named(op.to_string().trim_end_matches("is"));
            let op = local.expect("each is there for one core");
            [What::Tlbi { op, operand }, What::Dsb(Nsh)]
        })
    }

    fn change(&mut self, event: &Event, who: usize) {
        let by_itself = usize::from(event.core) == who;
        match event.what {
            What::Ttbr0 { root, .. } if by_itself => self.left = root != ROOT,
            What::Isb | What::ExceptionReturn if by_itself => self.out = self.left,
            What::Tlbi { op, operand } if self.out && (by_itself || op.is_broadcast()) => {
                self.issued.push((event.core, op, operand));
            }
            What::Dsb(kind) if kind.completes_tlbi() && (by_itself || !kind.is_local()) => {
                let done = self.issued.extract_if(.., |(core, ..)| *core == event.core);
                self.complete
                    .extend(done.map(|(_, op, operand)| (op, operand)));
            }
            _ => {}
        }
    }
}
