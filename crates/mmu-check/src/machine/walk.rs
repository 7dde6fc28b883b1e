//! A walk of the tables, a descriptor at a time: others may store between two of its reads.

use super::memory::Memory;
use super::tlb::{Entry, Step, covers_walk};
use crate::desc::Desc;
use crate::tlbi::{Decoded, span_pages};

/// A walk on its way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Walk {
    pub va: u64,
    pub asid: u16,
    /// The table that is read next, and its level.
    table: u64,
    level: u8,
    /// It has come by a table that an invalidation has dropped since. Only an access that had begun by then may use
    /// what it finds, and no TLB keeps it.
    pub is_outdated: bool,
}

/// What a read of a descriptor has led to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Read {
    /// Another table, which a walk cache may keep.
    Further(Step),
    /// A leaf.
    Leaf(Entry),
    /// A translation fault.
    Fault,
}

impl Walk {
    /// From the root.
    pub fn from_root(va: u64, root: u64, asid: u16) -> Self {
        Walk {
            va,
            asid,
            table: root,
            level: 0,
            is_outdated: false,
        }
    }

    /// From a table that a walk cache holds.
    pub fn from_step(va: u64, step: Step) -> Self {
        Walk {
            va,
            asid: step.asid,
            table: step.desc.frame(),
            level: step.desc.level + 1,
            is_outdated: false,
        }
    }

    /// Behind a table that it has found.
    pub fn behind(self, step: Step) -> Self {
        Walk {
            is_outdated: self.is_outdated,
            ..Walk::from_step(self.va, step)
        }
    }

    /// The frame that is read next.
    pub fn frame(&self) -> u64 {
        self.table
    }

    /// The walker of `core` reads the next descriptor.
    pub fn read(self, core: usize, memory: &Memory) -> Read {
        let Walk {
            va,
            asid,
            table,
            level,
            ..
        } = self;
        let size = span_pages(level) << 12;
        let base = va & !(size - 1);
        let bits = memory.walked(core, table + ((va / size) & 0x1ff) * 8);
        let desc = Desc { bits, level };
        if desc.is_table() {
            let step = Step {
                va: base,
                desc,
                asid,
            };
            return Read::Further(step);
        }
        if !desc.is_cacheable() {
            return Read::Fault;
        }
        Read::Leaf(Entry {
            va: base,
            desc,
            asid: (!desc.is_global()).then_some(asid),
        })
    }

    /// Whether an invalidation is about it: it has come by a table that may be gone.
    pub fn is_covered_by(&self, tlbi: &Decoded) -> bool {
        let above = self.level.checked_sub(1);
        above.is_some_and(|level| covers_walk(tlbi, self.va, level, self.asid))
    }
}
