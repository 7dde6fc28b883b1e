//! Why a rule is broken, and the steps that would have made it right.

use alloc::vec::Vec;
use core::fmt;

use super::{Finding, Withdrawn};
use crate::desc::Desc;
use crate::event::{AccessKind, Event, Expect, What};

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
    /// No DSB of the core that has executed its TLBI has completed it.
    Issued {
        /// That core.
        core: u8,
    },
    /// No context synchronisation has followed its invalidation on this core.
    Completed,
    /// The same on another core, which has completed it.
    Behind {
        /// That core.
        core: u8,
    },
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
    /// A broadcast TLBI that covers what was withdrawn.
    Tlbi {
        /// The core that executes it: any other does, if the rest is done there too.
        core: u8,
        /// An address that it is about, the first that what was withdrawn translates.
        va: u64,
        /// Walk caches too: none for the last level alone.
        tables: bool,
        /// Without the level hint that the last one had.
        unhinted: bool,
    },
    /// A broadcast TLBI of everything of the space, on this core or another one.
    TlbiSpace(u8),
    /// A DSB for loads and stores on this core, which has executed the TLBI.
    Complete(u8),
    /// A context synchronisation of this core.
    Isb(u8),
}

impl Reason {
    /// What is missing, in this order, where the event `at` breaks a rule because of what was found.
    pub(crate) fn missing(self, at: &Event, found: &Finding) -> Vec<Step> {
        let owes = found.owes.as_ref().unwrap_or(at);
        let storing = owes.core;
        let stages = |stage: Stage| {
            let withdrawn = found.withdrawn.as_ref();
            withdrawn.map_or_else(Vec::new, |gone| stage.missing(at, owes, gone))
        };
        match self {
            Reason::Unpublished if is_retried(at) => [Step::Dsb(storing)].into(),
            Reason::Unpublished | Reason::LeftUnpublished(_) => {
                [Step::Dsb(storing), Step::Isb(at.core)].into()
            }
            Reason::Unsynchronised
            | Reason::UnsynchronisedTtbr0
            | Reason::LeftUnsynchronised(_) => [Step::Isb(at.core)].into(),
            Reason::MadeEarly(stage) | Reason::Relied(stage) | Reason::LeftStale(stage) => {
                stages(stage)
            }
            Reason::OverLive | Reason::StillMapped(_) | Reason::TableLinked => {
                let mut steps = Vec::from([Step::Break]);
                steps.extend(stages(Stage::Stored));
                steps
            }
            Reason::AsidInUse(_) => [Step::TlbiSpace(at.core), Step::Complete(at.core)].into(),
            Reason::RootInUse => [
                Step::LeaveRoot,
                Step::TlbiSpace(at.core),
                Step::Complete(at.core),
            ]
            .into(),
            Reason::SwitchedUncompleted => [Step::Complete(at.core)].into(),
            Reason::SwitchedUnordered | Reason::RootUnordered(_) => [Step::Dsb(storing)].into(),
            Reason::NotZeroed => [Step::Zero, Step::Order(at.core)].into(),
            Reason::LinkUnordered(_) => [Step::Order(at.core)].into(),
            Reason::Operand(_) | Reason::Foreign(_) => Vec::new(),
        }
    }
}

/// Whether it is a store over a descriptor of a table, by which a walk still comes to what was below.
fn unlinks(store: &Event) -> bool {
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
    /// The steps from here on, where `at` relies on what the store `owes` has withdrawn.
    fn missing(self, at: &Event, owes: &Event, gone: &Withdrawn) -> Vec<Step> {
        let (va, old) = (gone.va, gone.old);
        // Whose TLBI is missing may invalidate anywhere: its owner where it is now.
        let core = match self {
            Stage::Issued { core } => core,
            _ if at.task == owes.task => at.core,
            _ => owes.core,
        };
        // A frame is reused when nobody uses the old translation: not the core of the TLBI either.
        let reused = matches!(at.what, What::Free { .. } | What::Alloc { .. });
        let (isb, synchronising) = match self {
            Stage::Behind { core } => (true, core),
            _ if reused && core != at.core => (true, core),
            _ => {
                let own = gone.is_own && core == at.core;
                (self.synchronises(at, old, own), at.core)
            }
        };
        let all = [
            Some(Step::Dsb(owes.core)),
            Some(Step::Tlbi {
                core,
                va,
                tables: old.is_table() || unlinks(owes),
                unhinted: self == Stage::Flawed,
            }),
            Some(Step::Complete(core)),
            isb.then_some(Step::Isb(synchronising)),
        ];
        let done = match self {
            Stage::Stored | Stage::Early { visible: false } => 0,
            Stage::Visible { .. } | Stage::Early { visible: true } | Stage::Local => 1,
            Stage::Flawed => 1,
            Stage::Issued { .. } => 2,
            Stage::Completed | Stage::Behind { .. } | Stage::Fetched => 3,
        };
        all.into_iter().skip(done).flatten().collect()
    }

    /// Whether the core of `at` must synchronise its context at last: behind an invalidation of its `own`,
    /// and where it may have fetched instructions by what is withdrawn. Break-before-make needs none.
    fn synchronises(self, at: &Event, old: Desc, own: bool) -> bool {
        match at.what {
            _ if matches!(self, Stage::Completed | Stage::Fetched) => true,
            What::Store { .. } => false,
            What::Access { kind, expect, .. } => {
                let fetches = kind == AccessKind::Execute && old.is_text();
                fetches || own && expect != Expect::Retries
            }
            _ => own,
        }
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
            Stage::Issued { core } => {
                return write!(f, "no DSB of core {core} has completed its TLBI");
            }
            Stage::Completed => "no ISB on this core has followed the completion of its TLBI",
            Stage::Behind { core } => {
                return write!(
                    f,
                    "no ISB on core {core}, which has completed its TLBI, has followed that"
                );
            }
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
            Step::Tlbi {
                core,
                va,
                tables,
                unhinted,
            } => {
                write!(f, "a broadcast TLBI of {va:#x} on core {core}")?;
                if *unhinted {
                    f.write_str(", without a level hint")?;
                }
                if *tables {
                    f.write_str(", not for the last level alone")?;
                }
                Ok(())
            }
            Step::TlbiSpace(core) => {
                write!(f, "a broadcast TLBI of the whole ASID on core {core}")
            }
            Step::Complete(core) => write!(f, "dsb ish on core {core}"),
            Step::Isb(core) => write!(f, "isb on core {core}"),
        }
    }
}
