//! One core: its TLB, the walks on their way, what it has translated ahead of time, and the TLBIs that it has
//! executed.

use alloc::vec::Vec;

use super::tlb::{Entry, Tlb};
use super::walk::Walk;
use crate::tlbi::{Cover, Decoded, Target};

/// Translations made ahead that one core keeps.
const AHEAD: usize = 16;

/// A translation made ahead of time, before the instruction that will ask for it is sure to
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
    /// TTBR0: root and ASID.
    pub ttbr0: (u64, u16),
    /// What was there before, if no context synchronisation has come since.
    pub ttbr0_before: Option<(u64, u16)>,
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
    /// Keeps what was found ahead of time.
    pub fn keep(&mut self, ahead: Ahead) {
        if !self.ahead.contains(&ahead) {
            if self.ahead.len() == AHEAD {
                self.ahead.remove(0);
            }
            self.ahead.push(ahead);
        }
    }

    /// Carries out an invalidation.
    pub fn invalidate(&mut self, tlbi: &Decoded) {
        self.tlb.invalidate(tlbi);
        self.walks.retain(|walk| !walk.is_ended_by(tlbi));
    }

    /// Another core's TLBI is complete: what was begun through a translation that is now gone has ended, and so
    /// has what had found none.
    pub fn finish(&mut self, tlbi: &Decoded) {
        self.ahead.retain(|ahead| !ahead.is_ended_by(tlbi));
    }

    /// A context synchronisation event.
    pub fn synchronise(&mut self) {
        self.ahead.clear();
        self.ttbr0_before = None;
    }
}
