//! The tables as the stores have made them: what hangs below a table that is unlinked, whose tables
//! these are, and which frames were zeroed to become tables.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::desc::Desc;
use crate::ledger::{Key, MAX_CORES};
use crate::tlbi::span_pages;

const ENTRIES: usize = 512;

/// A table that descriptors were stored to, or that was linked.
struct Table {
    level: u8,
    /// The first address it translates.
    va: u64,
    /// The descriptor that links it.
    parent: Option<Key>,
    words: Box<[u64; ENTRIES]>,
    /// A bit per mapping that was used since it was made.
    used: [u64; ENTRIES / 64],
}

/// Zeroes on their way into memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Zeroes {
    /// A walker that sees a later store may not see them.
    Unordered,
    /// It does, by a DMB.
    Ordered,
    /// They are complete, by a DSB.
    Complete,
}

/// An address space seen in TTBR0.
#[derive(Clone, Copy, Debug)]
struct Root {
    frame: u64,
    asid: u16,
    /// When a core last left it.
    left: u64,
}

/// Everything known about tables.
#[derive(Default)]
pub(crate) struct Shadow {
    tables: BTreeMap<u64, Table>,
    zeroed: BTreeMap<u64, Zeroes>,
    /// Frames zeroed, or filled before they were linked, by a core since its last barrier.
    unordered: [Vec<u64>; MAX_CORES],
    roots: Vec<Root>,
    /// TTBR0 per core: a frame in `roots`.
    ttbr0: [Option<u64>; MAX_CORES],
    /// What TTBR0 of a core had before, and whether a context synchronisation was reported since. Until
    /// the core is heard of behind that, it may walk there.
    leaving: [Vec<(u64, bool)>; MAX_CORES],
    /// When TTBR0 was last written, per core.
    written: [u64; MAX_CORES],
    /// When everything of an ASID, or everything, was last invalidated on all cores.
    flushed: BTreeMap<u16, u64>,
    flushed_all: u64,
    /// The level 0 table of the upper half.
    upper: Option<u64>,
}

impl Table {
    fn new(level: u8, va: u64) -> Self {
        Table {
            level,
            va,
            parent: None,
            words: Box::new([0; ENTRIES]),
            used: [0; ENTRIES / 64],
        }
    }
}

impl Shadow {
    /// The key of a stored descriptor. Its address is worked out from the slot where a caller gives
    /// any address below it.
    pub fn key(slot: u64, va: u64, level: u8) -> Key {
        let size = span_pages(level) << 12;
        let table = size << 9;
        Key {
            va: (va & !(table - 1)) | ((slot >> 3 & 0x1ff) * size),
            level,
            slot,
        }
    }

    /// Records a store. A store to a table that nothing links yet is one more that must be ordered
    /// before the link.
    pub fn store(&mut self, key: Key, new: Desc, core: usize) {
        let frame = key.slot & !0xfff;
        let base = key.va & !((new.size() << 9) - 1);
        let table = self
            .tables
            .entry(frame)
            .or_insert_with(|| Table::new(key.level, base));
        if key.level == 0 && base >> 63 != 0 {
            self.upper = Some(frame);
        }
        let index = (key.slot >> 3) as usize % ENTRIES;
        table.words[index] = new.bits;
        table.used[index / 64] &= !(1 << (index % 64));
        if table.parent.is_none()
            && let Some(zeroes) = self.zeroed.get_mut(&frame)
        {
            *zeroes = Zeroes::Unordered;
            if self.unordered[core].last() != Some(&frame) {
                self.unordered[core].push(frame);
            }
        }
        if new.is_table() {
            self.link(key, new.frame());
        }
    }

    fn link(&mut self, key: Key, frame: u64) {
        self.zeroed.remove(&frame);
        let table = self
            .tables
            .entry(frame)
            .or_insert_with(|| Table::new(key.level + 1, key.va));
        (table.parent, table.level, table.va) = (Some(key), key.level + 1, key.va);
    }

    /// Takes the subtree below an unlinked table away from its parent and calls `f` for every
    /// cacheable descriptor in it.
    pub fn unlink(&mut self, frame: u64, f: &mut impl FnMut(Key, Desc)) {
        let Some(table) = self.tables.get_mut(&frame) else {
            return;
        };
        table.parent = None;
        let (level, base) = (table.level, table.va);
        let size = span_pages(level) << 12;
        let words: Vec<(usize, u64)> = table
            .words
            .iter()
            .copied()
            .enumerate()
            .filter(|(_, bits)| bits & 1 != 0)
            .collect();
        for (index, bits) in words {
            let desc = Desc { bits, level };
            let key = Key {
                va: base.wrapping_add(index as u64 * size),
                level,
                slot: frame + index as u64 * 8,
            };
            if desc.is_cacheable() {
                f(key, desc);
            }
            if desc.is_table() {
                self.unlink(desc.frame(), f);
            }
        }
    }

    /// The descriptor that links the table of this slot.
    pub fn parent(&self, slot: u64) -> Option<Key> {
        self.tables.get(&(slot & !0xfff))?.parent
    }

    /// The table's root, as far up as is known.
    fn root(&self, slot: u64) -> u64 {
        let mut frame = slot & !0xfff;
        for _ in 0..4 {
            match self.parent(frame) {
                Some(parent) => frame = parent.slot & !0xfff,
                None => break,
            }
        }
        frame
    }

    /// Whose translations the table of this slot makes, if it was ever in TTBR0.
    pub fn asid(&self, slot: u64) -> Option<u16> {
        self.asid_of_root(self.root(slot))
    }

    fn asid_of_root(&self, root: u64) -> Option<u16> {
        self.roots
            .iter()
            .find(|r| r.frame == root)
            .map(|root| root.asid)
    }

    /// Whether the slot's descriptor translates for this core. Where the root is not known, it
    /// does.
    pub fn translates_for(&self, key: Key, core: usize) -> bool {
        let root = self.root(key.slot);
        let known = self.tables.get(&root).is_some_and(|t| t.level == 0);
        key.va >> 63 != 0 || !known || self.ttbr0[core].is_none_or(|current| current == root)
    }

    /// Whether the core is known to run with another ASID.
    pub fn runs_other_than(&self, asid: u16, core: usize) -> bool {
        let current = self.ttbr0[core].and_then(|root| self.asid_of_root(root));
        current.is_some_and(|current| current != asid)
    }

    /// The frame is zeroed by this core.
    pub fn zero(&mut self, frame: u64, core: usize) {
        self.tables.remove(&frame);
        self.zeroed.insert(frame, Zeroes::Unordered);
        self.unordered[core].push(frame);
    }

    /// A barrier for stores.
    pub fn order(&mut self, core: usize, complete: bool) {
        for frame in &self.unordered[core] {
            if let Some(zeroes) = self.zeroed.get_mut(frame) {
                *zeroes = if complete {
                    Zeroes::Complete
                } else {
                    Zeroes::Ordered
                };
            }
        }
        // After a DMB a DSB still has something to do.
        if complete {
            self.unordered[core].clear();
        }
    }

    /// What became of a frame's zeroes; `None` if nobody zeroed it, or it is linked.
    pub fn zeroes(&self, frame: u64) -> Option<Zeroes> {
        self.zeroed.get(&frame).copied()
    }

    /// Whether the frame is a table that is linked, or that TTBR0 had.
    pub fn is_in_use(&self, frame: u64) -> bool {
        self.tables.get(&frame).is_some_and(|t| t.parent.is_some())
            || self.roots.iter().any(|r| r.frame == frame)
    }

    /// The frame is no table any more.
    pub fn forget(&mut self, frame: u64) {
        self.tables.remove(&frame);
        self.zeroed.remove(&frame);
        self.roots.retain(|root| root.frame != frame);
    }

    /// TTBR0 of the core was written.
    pub fn activate(&mut self, root: u64, asid: u16, core: usize, now: u64) {
        if let Some(before) = self.ttbr0[core].replace(root) {
            self.leaving[core].push((before, false));
        }
        self.written[core] = now;
        self.zeroed.remove(&root);
        match self.roots.iter_mut().find(|r| r.frame == root) {
            Some(known) => (known.asid, known.left) = (asid, now),
            None => self.roots.push(Root {
                frame: root,
                asid,
                left: now,
            }),
        }
    }

    /// The core synchronises its context, or is about to.
    pub fn synchronise(&mut self, core: usize) {
        self.leaving[core].iter_mut().for_each(|root| root.1 = true);
    }

    /// The core is heard of: a synchronisation that it was about to do is done.
    pub fn settle(&mut self, core: usize, now: u64) {
        let roots = &mut self.roots;
        self.leaving[core].retain(|&(root, synchronised)| {
            if synchronised && let Some(root) = roots.iter_mut().find(|r| r.frame == root) {
                root.left = now;
            }
            !synchronised
        });
    }

    /// When TTBR0 of the core was last written; 0 if never.
    pub fn written(&self, core: usize) -> u64 {
        self.written[core]
    }

    /// Everything, or everything of an ASID, was invalidated on all cores.
    pub fn flush(&mut self, asid: Option<u16>, now: u64) {
        match asid {
            Some(asid) => drop(self.flushed.insert(asid, now)),
            None => self.flushed_all = now,
        }
    }

    /// Whether TLBs may hold what `root` translated: a core's TTBR0 has it, or may have it still, or
    /// had it after the last invalidation of its ASID. `false` for a root that was never there.
    pub fn may_be_cached(&self, root: u64) -> bool {
        let Some(known) = self.roots.iter().find(|r| r.frame == root) else {
            return false;
        };
        let flushed = self.flushed.get(&known.asid).copied().unwrap_or(0);
        let leaving = || self.leaving.iter().flatten().any(|(left, _)| *left == root);
        self.ttbr0.contains(&Some(root)) || leaving() || known.left > flushed.max(self.flushed_all)
    }

    /// Another root that has this ASID and that TLBs may hold translations of.
    pub fn other_with(&self, asid: u16, root: u64) -> Option<u64> {
        self.roots
            .iter()
            .find(|r| r.asid == asid && r.frame != root && self.may_be_cached(r.frame))
            .map(|r| r.frame)
    }

    /// A table that is freed while it is linked: below a root that TLBs may hold?
    pub fn is_reachable(&self, frame: u64) -> bool {
        let Some(table) = self.tables.get(&frame) else {
            return false;
        };
        if table.va >> 63 != 0 {
            return table.parent.is_some();
        }
        self.may_be_cached(self.root(frame))
    }

    /// Notes that the mapping of `va` was used; returns whether there is one and this is its first
    /// use.
    pub fn touch(&mut self, va: u64, core: usize) -> Option<bool> {
        let mut frame = if va >> 63 != 0 {
            self.upper?
        } else {
            self.ttbr0[core]?
        };
        loop {
            let table = self.tables.get_mut(&frame)?;
            let size = span_pages(table.level) << 12;
            let index = (va / size) as usize % ENTRIES;
            let desc = Desc {
                bits: table.words[index],
                level: table.level,
            };
            if desc.is_table() {
                frame = desc.frame();
                continue;
            }
            let (word, bit) = (index / 64, 1 << (index % 64));
            let first = table.used[word] & bit == 0;
            table.used[word] |= bit;
            return desc.is_leaf().then_some(first);
        }
    }
}
