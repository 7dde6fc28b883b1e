//! Why a rule is broken, and the steps that would have made it right.

use alloc::vec::Vec;
use core::fmt;

use crate::desc::Desc;
use crate::event::{Event, Expect, What};

/// Why a rule is broken. As text it is a sentence without its full stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Reason {
    /// No DSB has made the descriptor visible to the walkers.
    Unpublished,
    /// No context synchronisation of the core that uses it has followed that DSB.
    Unsynchronised,
    /// No ISB has followed the write of TTBR0.
    UnsynchronisedTtbr0,
    /// A valid descriptor is stored over another that TLBs may hold.
    OverLive,
    /// The new descriptor is made before the invalidation of the old one is complete.
    MadeEarly(Stage),
    /// What is relied on to be gone may be there.
    Relied(Stage),
    /// The ASID was that of the space of this root, whose translations were not invalidated since.
    AsidInUse(u64),
    /// A descriptor that is still valid maps the frame, at this address.
    StillMapped(u64),
    /// The table is a root that TTBR0 has, or that was not invalidated since it had it.
    RootInUse,
    /// The table is linked, and its space was not invalidated since it was last in use.
    TableLinked,
    /// The operand of a TLBI is none: what is wrong with it.
    Operand(&'static str),
    /// What was stored is not visible to the walkers.
    LeftUnpublished(End),
    /// What was stored is visible, and its owner's context is not synchronised.
    LeftUnsynchronised(End),
    /// A translation was withdrawn and may still be used, at the end of a task.
    LeftStale(Stage),
    /// A switch, before a DSB has completed this core's TLBI: one of another core does not.
    SwitchedUncompleted,
    /// A switch, before a DSB has followed this core's store.
    SwitchedUnordered,
    /// Nobody has zeroed the table.
    NotZeroed,
    /// No barrier stands between the contents of the table in this frame and the link that leads to it.
    LinkUnordered(u64),
    /// No DSB stands between the contents of the table in this frame and the write of TTBR0 that leads to it.
    RootUnordered(u64),
    /// The descriptor was this, and whoever stores believes something else.
    Foreign(u64),
}

/// How far the invalidation of something has come that is relied on to be gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Its store is not visible to the walkers.
    Stored,
    /// The store is visible, and no TLBI has covered it; for a table one that reaches walk caches.
    Visible {
        /// It was a table.
        table: bool,
    },
    /// The TLBI was executed before the store was visible to the walkers.
    Early {
        /// It is by now.
        visible: bool,
    },
    /// The TLBI was for one core, and others run.
    Local,
    /// The TLBI's operand frees the cores from dropping it.
    Flawed,
    /// No DSB has completed its TLBI.
    Issued,
    /// No context synchronisation has followed its invalidation on this core.
    Completed,
    /// This core may have fetched instructions through it, and has not synchronised its context since.
    Fetched,
}

/// Who leaves debt behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// A section.
    Section,
    /// An interrupt handler.
    Handler,
    /// A task.
    Task,
}

/// A step that is missing. As text it is what to execute, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Step {
    /// The table is filled with zeroes.
    Zero,
    /// An invalid descriptor is stored first.
    Break,
    /// TTBR0 is written on every core that has the root, with an ISB behind it.
    LeaveRoot,
    /// A barrier that orders the stores of this core: a DMB does.
    Order(u8),
    /// A DSB that waits for the stores of this core.
    Dsb(u8),
    /// A TLBI that covers what was withdrawn, on every core.
    Tlbi {
        /// Walk caches too: none for the last level alone.
        tables: bool,
    },
    /// A TLBI of everything of the space, on every core.
    TlbiSpace,
    /// A DSB for loads and stores on the core of the TLBI.
    Complete,
    /// A context synchronisation of this core.
    Isb(u8),
}

impl Reason {
    /// What is missing, in this order, where the event `at` breaks a rule because of the store `owes`.
    pub(crate) fn missing(self, at: &Event, owes: Option<&Event>) -> Vec<Step> {
        let storing = owes.unwrap_or(at).core;
        let tables = is_of_table(owes.unwrap_or(at));
        match self {
            Reason::Unpublished if is_retried(at) => [Step::Dsb(storing)].into(),
            Reason::Unpublished | Reason::LeftUnpublished(_) => {
                [Step::Dsb(storing), Step::Isb(at.core)].into()
            }
            Reason::Unsynchronised
            | Reason::UnsynchronisedTtbr0
            | Reason::LeftUnsynchronised(_) => [Step::Isb(at.core)].into(),
            Reason::OverLive => {
                let mut steps = Vec::from([Step::Break]);
                steps.extend(Stage::Stored.missing(tables, storing, None));
                steps
            }
            Reason::MadeEarly(stage) => stage.missing(tables, storing, None),
            Reason::Relied(stage) | Reason::LeftStale(stage) => {
                stage.missing(tables, storing, Some(at.core))
            }
            Reason::StillMapped(_) | Reason::TableLinked => {
                let tables = matches!(self, Reason::TableLinked);
                let mut steps = Vec::from([Step::Break]);
                steps.extend(Stage::Stored.missing(tables, at.core, Some(at.core)));
                steps
            }
            Reason::AsidInUse(_) => [Step::TlbiSpace, Step::Complete].into(),
            Reason::RootInUse => [Step::LeaveRoot, Step::TlbiSpace, Step::Complete].into(),
            Reason::SwitchedUncompleted => [Step::Complete].into(),
            Reason::SwitchedUnordered | Reason::RootUnordered(_) => [Step::Dsb(storing)].into(),
            Reason::NotZeroed => [Step::Zero, Step::Order(at.core)].into(),
            Reason::LinkUnordered(_) => [Step::Order(at.core)].into(),
            Reason::Operand(_) | Reason::Foreign(_) => Vec::new(),
        }
    }
}

/// Whether it is a store over a descriptor of a table.
fn is_of_table(store: &Event) -> bool {
    match store.what {
        What::Store { level, old, .. } => Desc { bits: old, level }.is_table(),
        _ => false,
    }
}

/// Whether it is an access that is tried again, which needs no ISB.
fn is_retried(at: &Event) -> bool {
    let retries = Expect::Retries;
    matches!(at.what, What::Access { expect, .. } if expect == retries)
}

impl Stage {
    /// The steps from here on, for a table or a leaf: `storing` is the core of the store, and `relying` the one that
    /// must synchronise its context at last.
    fn missing(self, tables: bool, storing: u8, relying: Option<u8>) -> Vec<Step> {
        let all = [
            Some(Step::Dsb(storing)),
            Some(Step::Tlbi { tables }),
            Some(Step::Complete),
            relying.map(Step::Isb),
        ];
        let done = match self {
            Stage::Stored | Stage::Early { visible: false } => 0,
            Stage::Visible { .. } | Stage::Early { visible: true } | Stage::Local => 1,
            Stage::Flawed => 1,
            Stage::Issued => 2,
            Stage::Completed | Stage::Fetched => 3,
        };
        all.into_iter().skip(done).flatten().collect()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Reason::Unpublished => f.write_str(
                "no DSB of the storing core has made the descriptor visible to the walkers",
            ),
            Reason::Unsynchronised => {
                f.write_str("no ISB on this core has followed the DSB that made it visible")
            }
            Reason::UnsynchronisedTtbr0 => {
                f.write_str("no ISB on this core has followed its write of TTBR0")
            }
            Reason::OverLive => f.write_str("TLBs may hold what is there, and would hold both"),
            Reason::MadeEarly(stage) => {
                write!(f, "TLBs may hold both the old and the new: {stage}")
            }
            Reason::Relied(stage) => write!(f, "{stage}"),
            Reason::AsidInUse(root) => write!(
                f,
                "the space of root {root:#x} had this ASID, and its translations were not invalidated since"
            ),
            Reason::StillMapped(va) => write!(f, "{va:#x} is still mapped to the frame"),
            Reason::RootInUse => f.write_str(
                "it is a root that TTBR0 has, or that was not invalidated since it had it",
            ),
            Reason::TableLinked => f.write_str(
                "it is a table that is linked, and its space was not invalidated since it was last in use",
            ),
            Reason::Operand(flaw) => f.write_str(flaw),
            Reason::LeftUnpublished(end) => {
                write!(f, "no DSB has followed that store before the end of {end}")
            }
            Reason::LeftUnsynchronised(end) => {
                write!(f, "no ISB has followed its DSB before the end of {end}")
            }
            Reason::LeftStale(stage) => write!(f, "nobody will invalidate it any more: {stage}"),
            Reason::SwitchedUncompleted => f.write_str(
                "no DSB stands between the TLBI and the switch, and one of another core does not complete it",
            ),
            Reason::SwitchedUnordered => {
                f.write_str("no DSB stands between the store and the switch")
            }
            Reason::NotZeroed => f.write_str("nobody has zeroed the table"),
            Reason::LinkUnordered(table) => write!(
                f,
                "no DMB or DSB stands between the contents of the table in {table:#x} and the link that leads to it"
            ),
            Reason::RootUnordered(table) => write!(
                f,
                "no DSB stands between the contents of the table in {table:#x} and the write of TTBR0 that leads to it"
            ),
            Reason::Foreign(held) => write!(
                f,
                "the descriptor was {held:#x}: somebody else has stored there, or a store was not reported",
            ),
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Stored => "no DSB has followed the store",
            Stage::Visible { table: false } => "no TLBI has covered it since the store was visible",
            Stage::Visible { table: true } => {
                "no TLBI that reaches walk caches has covered it since the store was visible"
            }
            Stage::Early { .. } => {
                "the TLBI was executed before the store was visible to the walkers"
            }
            Stage::Local => "the TLBI was for one core, and others run",
            Stage::Flawed => "the TLBI's operand frees the cores from dropping it",
            Stage::Issued => "no DSB has completed its TLBI",
            Stage::Completed => "no ISB on this core has followed the completion of its TLBI",
            Stage::Fetched => {
                "this core may have fetched instructions through it, and has not synchronised its context since"
            }
        })
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            End::Section => "the section",
            End::Handler => "the interrupt handler",
            End::Task => "the task",
        })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Zero => f.write_str("zeroes in the whole table"),
            Step::Break => f.write_str("a store of an invalid descriptor"),
            Step::LeaveRoot => f.write_str(
                "another root in TTBR0 of every core that has this one, and an isb there",
            ),
            Step::Order(core) => write!(f, "dmb ishst on core {core}"),
            Step::Dsb(core) => write!(f, "dsb ishst on core {core}"),
            Step::Tlbi { tables: false } => f.write_str("a broadcast TLBI that covers it"),
            Step::Tlbi { tables: true } => {
                f.write_str("a broadcast TLBI that covers it, and not for the last level alone")
            }
            Step::TlbiSpace => f.write_str("a broadcast TLBI of the whole ASID"),
            Step::Complete => f.write_str("dsb ish on the core of the TLBI"),
            Step::Isb(core) => write!(f, "isb on core {core}"),
        }
    }
}
