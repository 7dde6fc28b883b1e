//! One core's translations: TLB, walk caches, and what it has begun ahead of time.

use alloc::vec::Vec;

use crate::desc::{Desc, needs_break};
use crate::tlbi::{Cover, Decoded, Target};

/// A leaf held by a TLB.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    pub va: u64,
    pub desc: Desc,
    /// The ASID it is tagged with; `None`: global.
    pub asid: Option<u16>,
}

/// A table descriptor held by a walk cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Step {
    pub va: u64,
    pub desc: Desc,
    pub asid: u16,
}

/// A translation made ahead of time, before the instruction that will ask for it is sure to
/// execute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ahead {
    pub va: u64,
    /// `None`: a fault.
    pub entry: Option<Entry>,
    pub asid: u16,
}

/// A core.
#[derive(Default)]
pub(super) struct Core {
    pub tlb: Vec<Entry>,
    pub walks: Vec<Step>,
    pub ahead: Vec<Ahead>,
    /// TTBR0: root and ASID.
    pub ttbr0: (u64, u16),
    /// What was there before, if no context synchronisation has come since.
    pub ttbr0_before: Option<(u64, u16)>,
    /// TLBIs that this core has executed and no DSB has completed, with the cores that have carried
    /// them out.
    pub pending: Vec<(Decoded, u32)>,
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

    fn target(&self) -> Target {
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
}

impl Core {
    /// Holds a leaf; returns whether that is in conflict with another.
    pub fn fill(&mut self, entry: Entry) -> bool {
        if self.tlb.contains(&entry) {
            return false;
        }
        let conflict = self.tlb.iter().any(|held| held.conflicts(&entry));
        self.tlb.push(entry);
        conflict
    }

    pub fn cache_walk(&mut self, step: Step) {
        if !self.walks.contains(&step) {
            self.walks.push(step);
        }
    }

    /// Carries out an invalidation. A flawed one does nothing, as it may.
    pub fn invalidate(&mut self, tlbi: &Decoded) {
        self.tlb
            .retain(|entry| tlbi.covers(&entry.target()) != Cover::Yes);
        self.walks.retain(|step| {
            let target = Target {
                va: step.va,
                pages: step.desc.held_pages(),
                level: step.desc.level,
                table: true,
                global: false,
                asid: Some(step.asid),
            };
            tlbi.covers(&target) != Cover::Yes
        });
    }

    /// What was begun through a translation that is now gone has ended: another core's TLBI is
    /// complete.
    pub fn finish(&mut self, tlbi: &Decoded) {
        self.ahead.retain(|ahead| {
            ahead
                .entry
                .is_none_or(|entry| tlbi.covers(&entry.target()) != Cover::Yes)
        });
    }

    /// A context synchronisation event.
    pub fn synchronise(&mut self) {
        self.ahead.clear();
        self.ttbr0_before = None;
    }
}
