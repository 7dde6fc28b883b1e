//! The rules. A rule looks at the state *before* an event and says whether the event may happen; it changes
//! nothing.

mod break_before_make;
mod broadcast;
mod done;
mod early;
mod frame_reuse;
mod leftover;
mod operand;
mod ownership;
mod publish;
mod reason;
mod reliance;
mod table_reuse;
mod zeroes;

use crate::desc::Desc;
use crate::event::{Event, What};
use crate::ledger::Stale;
use crate::state::State;

pub use reason::{End, Reason, Stage, Step};

/// What a rule found.
pub(crate) struct Finding {
    pub why: Reason,
    pub address: u64,
    pub owes: Option<Event>,
    pub withdrawn: Option<Withdrawn>,
}

/// What must be invalidated.
pub(crate) struct Withdrawn {
    /// The first address it translates.
    va: u64,
    /// What it was.
    old: Desc,
    /// The core of the event may have it still, and not other cores alone.
    is_own: bool,
}

impl Withdrawn {
    /// A descriptor that is still there, for every walker.
    fn live(va: u64, old: Desc) -> Self {
        let is_own = true;
        Withdrawn { va, old, is_own }
    }

    /// What `core` relies on to be gone.
    fn stale(stale: &Stale, core: usize) -> Self {
        Withdrawn {
            va: stale.va,
            old: stale.old,
            is_own: stale.may_be_used(core),
        }
    }
}

/// A rule as its module describes it.
struct Description {
    name: &'static str,
    /// What is wrong when it is broken.
    title: &'static str,
    /// What it follows from.
    basis: &'static str,
}

/// The rules, by name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Rule {
    /// R1: publish before use.
    Publish,
    /// R2: break-before-make.
    BreakBeforeMake,
    /// R3: an invalidation is complete before "done" is claimed.
    Done,
    /// R4: a frame is reused too early.
    FrameReuse,
    /// R5: a table is reused too early.
    TableReuse,
    /// R6: the encoding of an operand.
    Operand,
    /// R7: local where broadcast is needed.
    Broadcast,
    /// R8: debt left over.
    Leftover,
    /// R9: a TLBI before its store.
    Early,
    /// R10: a table linked before its zeroes are ordered.
    Zeroes,
    /// R11: a descriptor that somebody else has changed.
    Ownership,
}

impl Rule {
    /// All of them.
    pub const ALL: [Rule; 11] = [
        Rule::Publish,
        Rule::BreakBeforeMake,
        Rule::Done,
        Rule::FrameReuse,
        Rule::TableReuse,
        Rule::Operand,
        Rule::Broadcast,
        Rule::Leftover,
        Rule::Early,
        Rule::Zeroes,
        Rule::Ownership,
    ];

    const fn description(self) -> Description {
        match self {
            Rule::Publish => publish::RULE,
            Rule::BreakBeforeMake => break_before_make::RULE,
            Rule::Done => done::RULE,
            Rule::FrameReuse => frame_reuse::RULE,
            Rule::TableReuse => table_reuse::RULE,
            Rule::Operand => operand::RULE,
            Rule::Broadcast => broadcast::RULE,
            Rule::Leftover => leftover::RULE,
            Rule::Early => early::RULE,
            Rule::Zeroes => zeroes::RULE,
            Rule::Ownership => ownership::RULE,
        }
    }

    /// `R1` to `R11`.
    pub const fn name(self) -> &'static str {
        self.description().name
    }

    /// What is wrong when it is broken.
    pub const fn title(self) -> &'static str {
        self.description().title
    }

    /// What it follows from.
    pub const fn basis(self) -> &'static str {
        self.description().basis
    }
}

type Check = fn(&State, &Event) -> Option<Finding>;

/// The first rule, in the order of their numbers, that the event breaks, but for those in `without`.
pub(crate) fn first(state: &State, event: &Event, without: &[Rule]) -> Option<(Rule, Finding)> {
    let checks: &[(Rule, Check)] = match event.what {
        What::Store { .. } => &[
            (Rule::BreakBeforeMake, break_before_make::check),
            (Rule::Zeroes, zeroes::check),
            (Rule::Ownership, ownership::check),
        ],
        What::Access { .. } => &[(Rule::Publish, publish::check)],
        What::Free { .. } => &[
            (Rule::FrameReuse, frame_reuse::check),
            (Rule::TableReuse, table_reuse::check),
        ],
        What::Alloc { .. } => &[(Rule::TableReuse, table_reuse::check)],
        What::Tlbi { .. } => &[(Rule::Operand, operand::check)],
        What::Ttbr0 { .. } => &[(Rule::Done, done::check), (Rule::Zeroes, zeroes::check)],
        What::Switch { .. } | What::Call(_) | What::IrqExit | What::TaskEnd => {
            &[(Rule::Leftover, leftover::check)]
        }
        _ => &[],
    };
    let wanted = |rule: Rule| !without.contains(&rule);
    let own = checks
        .iter()
        .filter(|(rule, _)| wanted(*rule))
        .find_map(|&(rule, check)| Some((rule, check(state, event)?)));
    let relied = reliance::first(state, event, wanted);
    match (own, relied) {
        (Some(own), Some(relied)) if relied.0 <= own.0 => Some(relied),
        (own, relied) => own.or(relied),
    }
}
