//! What `forced` visits, and how often.

use lazy_mmu::Policy;

use super::breakpoint::{self, Visitor};
use super::points;
use crate::println;
use crate::workloads::{Failure, failure, progress};

/// The fewest instructions of a part that a run must come by. Under `eager`, which executes the fewest, there are twice as many.
const FEWEST: u64 = 60;

/// What is visited, and what happens there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::workloads) enum Visits {
    /// Both parts, each instruction twice: a preemption, and a handler's work before it.
    All,
    /// The four calls and the flush: a preemption.
    Preempted,
    /// The same: a handler's work, and then a preemption.
    Interrupted,
}

impl Visits {
    /// Whether a handler works at some of them.
    pub(super) fn has_work(self) -> bool {
        self != Self::Preempted
    }
}

/// The visitor: visits every instruction of every part, twice if it is reached. The handler works on page tables the second time.
pub(super) fn visit_all(policy: Policy, visits: Visits) -> Result<(), Failure> {
    let visitor = Visitor::new(policy)?;
    let parts = if visits == Visits::All { 2 } else { 1 };
    for part in points::parts().into_iter().take(parts) {
        let (mut reached, count) = (0, part.points.len());
        let preempted = breakpoint::preempted();
        for (number, &point) in part.points.iter().enumerate() {
            progress::report(format_args!(
                "{}, instruction {number} of {count}",
                part.name
            ));
            if !visitor.visit(point, visits == Visits::Interrupted, part.yields)? {
                continue;
            }
            reached += 1;
            points::note(point);
            if visits == Visits::All && !visitor.visit(point, true, part.yields)? && !part.yields {
                return Err(failure!("{point:#x} was reached once and not again"));
            }
        }
        let preempted = breakpoint::preempted() - preempted;
        println!(
            "forced under {policy}: {}: {reached} of {count} instructions are on the way, {} under some policy so far; {preempted} preemptions there",
            part.name,
            points::noted(&part),
        );
        // Each visit preempts the visitor, unless for a while there was no task to switch to: of two visits one must have.
        if reached < FEWEST || !part.yields && preempted < reached {
            return Err(failure!(
                "too few instructions of {} were visited",
                part.name
            ));
        }
    }
    Ok(())
}
