//! What a core's TLB and walk caches hold, and what an invalidation takes from them.

use alloc::vec::Vec;

use crate::desc::{Desc, needs_break};
use crate::tlbi::{Cover, Decoded, Target};

/// A leaf held by a TLB.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Entry {
    pub va: u64,
    pub desc: Desc,
    /// The ASID it is tagged with; `None`: global.
    pub asid: Option<u16>,
}

/// A table descriptor held by a walk cache.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Step {
    pub va: u64,
    pub desc: Desc,
    pub asid: u16,
}

/// Leaves and tables, in any order that is always the same.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Tlb {
    leaves: Vec<Entry>,
    tables: Vec<Step>,
}

fn contains(base: u64, desc: Desc, va: u64) -> bool {
    va & !(desc.size() - 1) == base
}

impl Entry {
    pub fn translates(&self, va: u64, asid: u16) -> bool {
        contains(self.va, self.desc, va) && self.asid.is_none_or(|own| own == asid)
    }

    /// Whether a core that holds both may raise a TLB conflict abort, or mix them.
    fn conflicts(&self, other: &Entry) -> bool {
        let same_asid = self.asid.is_none() || other.asid.is_none() || self.asid == other.asid;
        let overlap =
            contains(self.va, self.desc, other.va) || contains(other.va, other.desc, self.va);
        same_asid
            && overlap
            && (self.desc.level != other.desc.level || needs_break(self.desc, other.desc))
    }

    pub fn target(&self) -> Target {
        Target {
            va: self.va,
            pages: self.desc.held_pages(),
            level: self.desc.level,
            table: false,
            global: self.asid.is_none(),
            asid: self.asid,
        }
    }
}

impl Step {
    pub fn leads(&self, va: u64, asid: u16) -> bool {
        contains(self.va, self.desc, va) && self.asid == asid
    }

    /// Whether a leaf stands where this table stands, or above it.
    fn conflicts(&self, leaf: &Entry) -> bool {
        leaf.desc.level <= self.desc.level
            && contains(leaf.va, leaf.desc, self.va)
            && leaf.asid.is_none_or(|asid| asid == self.asid)
    }

    fn target(&self) -> Target {
        Target {
            va: self.va,
            pages: self.desc.held_pages(),
            level: self.desc.level,
            table: true,
            global: false,
            asid: Some(self.asid),
        }
    }
}

impl Tlb {
    /// Holds a leaf; returns whether that is in conflict with another.
    pub fn fill(&mut self, entry: Entry) -> bool {
        let Err(place) = self.leaves.binary_search(&entry) else {
            return false;
        };
        let leaves = self.leaves.iter().any(|held| held.conflicts(&entry));
        let tables = self.tables.iter().any(|held| held.conflicts(&entry));
        self.leaves.insert(place, entry);
        leaves || tables
    }

    /// Holds a table; returns whether that is in conflict with a leaf or with another table.
    pub fn cache(&mut self, step: Step) -> bool {
        let Err(place) = self.tables.binary_search(&step) else {
            return false;
        };
        let leaves = self.leaves.iter().any(|leaf| step.conflicts(leaf));
        let tables = self.tables.iter().any(|held| {
            (held.va, held.desc.level, held.asid) == (step.va, step.desc.level, step.asid)
                && held.desc.frame() != step.desc.frame()
        });
        self.tables.insert(place, step);
        leaves || tables
    }

    /// The leaves held for an address.
    pub fn leaves(&self, va: u64, asid: u16) -> impl Iterator<Item = Entry> {
        let held = self.leaves.iter().copied();
        held.filter(move |entry| entry.translates(va, asid))
    }

    /// The tables held on the way to an address.
    pub fn tables(&self, va: u64, asid: u16) -> impl Iterator<Item = Step> {
        let held = self.tables.iter().copied();
        held.filter(move |step| step.leads(va, asid))
    }

    /// Carries out an invalidation and returns the leaves that it has dropped. A flawed one does nothing, as it
    /// may.
    pub fn invalidate(&mut self, tlbi: &Decoded) -> Vec<Entry> {
        let is_kept = |entry: &Entry| tlbi.covers(&entry.target()) != Cover::Yes;
        let (kept, dropped) = self.leaves.iter().partition(|entry| is_kept(entry));
        self.leaves = kept;
        self.tables
            .retain(|step| tlbi.covers(&step.target()) != Cover::Yes);
        dropped
    }
}

/// Whether an invalidation is about a walk that has come below a table of this level.
pub(super) fn covers_walk(tlbi: &Decoded, va: u64, level: u8, asid: u16) -> bool {
    let desc = Desc { bits: 0b11, level };
    let step = Step {
        va: va & !(desc.size() - 1),
        desc,
        asid,
    };
    tlbi.covers(&step.target()) == Cover::Yes
}
