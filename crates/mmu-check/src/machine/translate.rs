//! Translation: from a TLB, from what was begun ahead, or by a walk, whichever is worst.

use alloc::vec::Vec;

use super::core_state::{Ahead, Entry, Step};
use super::{Fault, Inner};
use crate::desc::Desc;
use crate::event::AccessKind;
use crate::tlbi::span_pages;

/// Translations begun ahead that one core keeps.
const AHEAD: usize = 16;

impl Inner {
    /// TTBR0 as this translation takes it.
    fn ttbr0(&mut self, core: usize) -> (u64, u16) {
        let state = &self.cores[core];
        match state.ttbr0_before {
            Some(before) if self.chance.pick(2) == 0 => before,
            _ => state.ttbr0,
        }
    }

    /// A core walks for an address nobody has asked for yet, and keeps everything it finds.
    pub(super) fn speculate(&mut self, core: usize, va: u64) {
        let (root, asid) = self.ttbr0(core);
        let entry = self.walk(core, va, root, asid);
        let ahead = Ahead { va, entry, asid };
        let kept = &mut self.cores[core].ahead;
        if !kept.contains(&ahead) {
            if kept.len() == AHEAD {
                kept.remove(0);
            }
            kept.push(ahead);
        }
    }

    /// Walks the tables, from the root or from any cached step of the way. `None`: a translation
    /// fault.
    fn walk(&mut self, core: usize, va: u64, root: u64, asid: u16) -> Option<Entry> {
        let upper = va >> 63 != 0;
        let starts: Vec<Step> = self.cores[core]
            .walks
            .iter()
            .copied()
            .filter(|step| step.leads(va, asid))
            .collect();
        let (mut table, mut level) = match self.chance.pick(starts.len() + 1).checked_sub(1) {
            Some(n) => (starts[n].desc.frame(), starts[n].desc.level + 1),
            None => (if upper { self.ttbr1 } else { root }, 0),
        };
        loop {
            let size = span_pages(level) << 12;
            let base = va & !(size - 1);
            let bits = self.memory.word(table + ((va / size) & 0x1ff) * 8);
            let desc = Desc { bits, level };
            if desc.is_table() {
                self.cores[core].cache_walk(Step {
                    va: base,
                    desc,
                    asid,
                });
                (table, level) = (desc.frame(), level + 1);
                continue;
            }
            if !desc.is_cacheable() {
                return None;
            }
            let entry = Entry {
                va: base,
                desc,
                asid: (!desc.is_global()).then_some(asid),
            };
            self.fill(core, entry);
            return Some(entry);
        }
    }

    /// Translates an access that really happens.
    pub(super) fn access(&mut self, core: usize, va: u64, kind: AccessKind) -> Result<u64, Fault> {
        self.stir();
        let (root, asid) = self.ttbr0(core);
        let page = va & !0xfff;
        let state = &self.cores[core];
        let ahead = state.ahead.iter().filter(|a| {
            let same = va >> 63 != 0 || a.asid == asid;
            a.va & !0xfff == page && same
        });
        let ahead = ahead.map(|a| a.entry);
        let held = state.tlb.iter().filter(|e| e.translates(va, asid));
        let mut ways: Vec<Option<Entry>> = ahead.chain(held.map(|e| Some(*e))).collect();
        ways.dedup();
        let entry = match self.chance.pick(ways.len() + 1).checked_sub(1) {
            Some(n) => ways[n],
            None => self.walk(core, va, root, asid),
        };
        let entry = entry.ok_or(Fault::Translation)?;
        let allowed = match kind {
            AccessKind::Read => true,
            AccessKind::Write => entry.desc.is_writable(),
            AccessKind::Execute => entry.desc.is_executable(),
        };
        if !allowed {
            return Err(Fault::Permission);
        }
        Ok(entry.desc.frame() + (va & (entry.desc.size() - 1)))
    }
}
