//! One core: its TLB, the walks on their way, what it has translated ahead of time, and the TLBIs that it has
//! executed.

use alloc::vec::Vec;

use super::tlb::{Entry, Tlb};
use super::walk::Walk;
use crate::tlbi::{Cover, Decoded, Target};

/// Translations made ahead that one core keeps.
const AHEAD: usize = 16;

/// A translation made ahead of time, before the instruction that will need it is sure to
/// execute.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Ahead {
    pub va: u64,
    /// `None`: a fault.
    pub entry: Option<Entry>,
    pub asid: u16,
}

/// A TLBI that no DSB has completed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Issued {
    pub tlbi: Decoded,
    /// The cores that have carried it out, a bit each.
    pub done: u32,
}

/// A core.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Core {
    pub tlb: Tlb,
    pub walks: Vec<Walk>,
    pub ahead: Vec<Ahead>,
    /// Translations that are gone, through which instructions may have been fetched that are still to be executed.
    pub fetched: Vec<Entry>,
    /// TTBR0: root and ASID.
    pub ttbr0: (u64, u16),
    /// All that was there since the last context synchronisation, in an order that does not say when.
    pub ttbr0_before: Vec<(u64, u16)>,
    pub issued: Vec<Issued>,
}

impl Ahead {
    fn is_ended_by(&self, tlbi: &Decoded) -> bool {
        let fault = || Target {
            va: self.va & !0xfff,
            pages: 1,
            level: 3,
            table: false,
            global: self.va >> 63 != 0,
            asid: Some(self.asid),
        };
        let target = self.entry.map_or_else(fault, |entry| entry.target());
        tlbi.covers(&target) == Cover::Yes
    }
}

impl Core {
    /// Keeps what was found ahead of time, in an order that does not say when.
    pub fn keep(&mut self, ahead: Ahead) {
        if let Err(place) = self.ahead.binary_search(&ahead) {
            if self.ahead.len() == AHEAD {
                self.ahead[place.min(AHEAD - 1)] = ahead;
            } else {
                self.ahead.insert(place, ahead);
            }
        }
    }

    /// Carries out an invalidation.
    pub fn invalidate(&mut self, tlbi: &Decoded) {
        for entry in self.tlb.invalidate(tlbi) {
            // An access that is on its way may have it.
            self.keep(Ahead {
                va: entry.va,
                entry: Some(entry),
                asid: entry.asid.unwrap_or(self.ttbr0.1),
            });
            if entry.desc.is_executable()
                && let Err(place) = self.fetched.binary_search(&entry)
            {
                self.fetched.insert(place, entry);
            }
        }
        // As an access may have a walk that is half done.
        for walk in &mut self.walks {
            walk.is_outdated |= walk.is_covered_by(tlbi);
        }
    }

    /// Another core's TLBI is complete: what was begun through a translation that is now gone has ended, and so
    /// has what had found none.
    pub fn finish(&mut self, tlbi: &Decoded) {
        self.ahead.retain(|ahead| !ahead.is_ended_by(tlbi));
        self.walks
            .retain(|walk| !(walk.is_outdated && walk.is_covered_by(tlbi)));
    }

    /// A context synchronisation event.
    pub fn synchronise(&mut self) {
        self.ahead.clear();
        self.walks.retain(|walk| !walk.is_outdated);
        self.fetched.clear();
        self.ttbr0_before.clear();
    }
}
