//! The tables as the stores have made them: what hangs below a table, what leads to it, whether its contents
//! are ordered, and which descriptors map a frame.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::desc::Desc;
use crate::frame_map::FrameMap;
use crate::ledger::{MAX_CORES, PlaceId};
use crate::queue;
use crate::tlbi::span_pages;

const ENTRIES: usize = 512;
const LEVELS: usize = 4;
/// The level of a table that nothing was stored to and nothing links.
const NO_LEVEL: u8 = u8::MAX;

/// Which table.
pub(crate) type TableId = u32;

/// Which descriptor: its table, and where in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Slot {
    pub table: TableId,
    pub index: u16,
}

/// A table's contents on their way into memory: its zeroes, and what was stored to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Contents {
    /// Nobody has zeroed it.
    Unknown,
    /// A walker that sees a later store may not see them.
    Unordered,
    /// It does, by a DMB.
    Ordered,
    /// They are complete, by a DSB.
    Complete,
}

/// A table that was zeroed, stored to, or linked.
pub(crate) struct Table {
    pub frame: u64,
    pub level: u8,
    /// The first address it translates.
    pub va: u64,
    /// The descriptor that links it.
    pub parent: Option<Slot>,
    /// Where the ledger keeps what its descriptors owe.
    pub place: Option<PlaceId>,
    pub contents: Contents,
    /// It is known that nothing links it: it was zeroed, or taken from its parent.
    unlinked: bool,
    words: Box<[u64; ENTRIES]>,
    /// A bit per word that is known: all of a table that was zeroed, else those that were stored.
    known: [u64; ENTRIES / 64],
    /// A bit per mapping that was used since it was made.
    used: [u64; ENTRIES / 64],
}

/// A frame that was taken from the allocator.
#[derive(Clone, Copy, Default)]
struct Allocated {
    at: u64,
    /// The page descriptor that was last made for it since.
    page: Option<Slot>,
}

/// All tables.
#[derive(Default)]
pub(crate) struct Tables {
    all: Vec<Table>,
    free: Vec<TableId>,
    by_frame: FrameMap<TableId>,
    /// Tables stored to, or zeroed, by a core since its last DSB.
    unordered: [Vec<u64>; MAX_CORES],
    /// The level 0 table of the upper half.
    upper: Option<TableId>,
    allocated: FrameMap<Allocated>,
    /// How many of them there are.
    in_use: usize,
    /// Other page descriptors of such a frame.
    more_pages: BTreeSet<(u64, Slot)>,
    /// Block descriptors, and when they were made.
    blocks: Vec<(u64, Slot)>,
}

impl Table {
    fn new(frame: u64) -> Self {
        Table {
            frame,
            level: NO_LEVEL,
            va: 0,
            parent: None,
            place: None,
            contents: Contents::Unknown,
            unlinked: false,
            words: Box::new([0; ENTRIES]),
            known: [0; ENTRIES / 64],
            used: [0; ENTRIES / 64],
        }
    }

    /// The descriptor at `index`.
    pub fn desc(&self, index: u16) -> Desc {
        Desc {
            bits: self.words[usize::from(index) % ENTRIES],
            level: self.level,
        }
    }

    /// The descriptor at `index`, if anybody has said what it is.
    pub fn known(&self, index: u16) -> Option<Desc> {
        let index = usize::from(index) % ENTRIES;
        let known = self.known[index / 64] >> (index % 64) & 1 != 0;
        known.then(|| self.desc(index as u16))
    }

    /// The first address that the descriptor translates.
    pub fn va_of(&self, index: u16) -> u64 {
        let size = span_pages(self.level) << 12;
        self.va.wrapping_add(u64::from(index).wrapping_mul(size))
    }

    /// The physical address of the descriptor at `index`.
    pub fn pa_of(&self, index: u16) -> u64 {
        self.frame + 8 * u64::from(index)
    }

    fn valid(&self) -> impl Iterator<Item = (u16, Desc)> {
        let words = self.words.iter().enumerate();
        let valid = words.filter(|(_, bits)| **bits & 1 != 0);
        valid.map(|(index, _)| (index as u16, self.desc(index as u16)))
    }
}

impl Tables {
    /// About how many bytes it takes.
    pub fn memory(&self) -> usize {
        let unordered: usize = self.unordered.iter().map(Vec::len).sum();
        let table = size_of::<Table>() + size_of::<[u64; ENTRIES]>();
        table * self.all.len()
            + size_of::<(u64, Allocated)>() * self.in_use
            + size_of::<(u64, Slot)>() * (self.more_pages.len() + self.blocks.len())
            + size_of::<u64>() * unordered
    }

    /// All of them, in the order of their frames.
    pub fn in_order(&self) -> Vec<TableId> {
        let ids = 0..self.all.len() as TableId;
        let mut known: Vec<TableId> = ids
            .filter(|id| self.find(self.get(*id).frame) == Some(*id))
            .collect();
        known.sort_by_key(|id| self.get(*id).frame);
        known
    }

    /// Whether there is a table that is known to be linked nowhere and whose zeroing was not seen.
    pub fn has_unzeroed_and_unlinked(&self) -> bool {
        let live = self.all.iter().filter(|table| table.unlinked);
        live.filter(|table| table.contents == Contents::Unknown)
            .any(|table| self.find(table.frame).is_some())
    }

    /// Whether every link is the one that its table has, and at the table's place; and the root of the upper half is one.
    pub fn are_a_tree(&self) -> bool {
        let upper = self.upper.map(|id| self.get(id));
        if upper.is_some_and(|root| root.level != 0 || root.va >> 63 == 0) {
            return false;
        }
        let blocks = self.blocks();
        let all = self.all.iter().enumerate();
        let mut live = all.filter(|(id, table)| self.find(table.frame) == Some(*id as TableId));
        live.all(|(id, table)| {
            let linked = table.parent.is_none_or(|slot| {
                let link = self.get(slot.table).desc(slot.index);
                link.is_table() && link.frame() == table.frame
            });
            let table = id as TableId;
            linked
                && self.get(table).valid().all(|(index, desc)| {
                    // A block that was none when it was stored: the table was at another level.
                    let block = desc.is_leaf() && desc.level < 3;
                    (!block || blocks.contains_key(&Slot { table, index }))
                        && (!desc.is_table() || self.is_linked_at(table, index, desc))
                })
        })
    }

    fn is_linked_at(&self, parent: TableId, index: u16, link: Desc) -> bool {
        let place = (link.level + 1, self.get(parent).va_of(index));
        self.find(link.frame()).is_some_and(|child| {
            let child = self.get(child);
            let table = parent;
            child.parent == Some(Slot { table, index }) && (child.level, child.va) == place
        })
    }

    /// Whether what every core has stored to them is complete, by its DSB.
    pub fn are_ordered(&self) -> bool {
        self.unordered.iter().all(Vec::is_empty)
    }

    /// Whether it is the root of the upper half.
    pub fn is_upper(&self, id: TableId) -> bool {
        self.upper == Some(id)
    }

    /// The frames that were taken from the allocator, and when.
    pub fn frames_in_use(&self) -> impl Iterator<Item = (u64, u64)> {
        self.allocated
            .iter()
            .map(|(frame, known)| (known.at, frame))
    }

    /// Whether the frame was taken from the allocator.
    pub fn is_in_use(&self, frame: u64) -> bool {
        self.allocated.get(frame).is_some()
    }

    /// The page descriptors that were made for frames since those were taken from the allocator.
    pub fn own_pages(&self) -> BTreeSet<Slot> {
        let pages = self.allocated.iter();
        let pages = pages.filter_map(|(frame, known)| Some((frame, known.page?)));
        let all = pages.chain(self.more_pages.iter().copied());
        all.filter(|(frame, slot)| self.maps(*slot, *frame))
            .map(|(_, slot)| slot)
            .collect()
    }

    /// The block descriptors, and when each was made.
    pub fn blocks(&self) -> BTreeMap<Slot, u64> {
        let made = self.blocks.iter().map(|(made, slot)| (*slot, *made));
        made.filter(|(slot, _)| {
            let desc = self.get(slot.table).desc(slot.index);
            desc.is_leaf() && desc.level < 3
        })
        .collect()
    }

    pub fn get(&self, id: TableId) -> &Table {
        &self.all[id as usize]
    }

    pub fn get_mut(&mut self, id: TableId) -> &mut Table {
        &mut self.all[id as usize]
    }

    /// The table in this frame.
    pub fn find(&self, frame: u64) -> Option<TableId> {
        self.by_frame.get(frame)
    }

    fn find_or_insert(&mut self, frame: u64) -> TableId {
        match self.find(frame) {
            Some(id) => id,
            None => self.insert(Table::new(frame)),
        }
    }

    fn insert(&mut self, table: Table) -> TableId {
        let frame = table.frame;
        let id = match self.free.pop() {
            Some(id) => {
                self.all[id as usize] = table;
                id
            }
            None => {
                self.all.push(table);
                (self.all.len() - 1) as TableId
            }
        };
        self.by_frame.insert(frame, id);
        id
    }

    /// The descriptor at this physical address, of a table at this level that translates `va`. With it comes
    /// what the table's descriptors owed elsewhere, if it has moved.
    pub fn slot(&mut self, pa: u64, va: u64, level: u8) -> (Slot, Option<PlaceId>) {
        let frame = pa & !0xfff;
        let id = self.find_or_insert(frame);
        let span = span_pages(level) << 21;
        let moved = self.settle_at(id, level, va & !(span - 1));
        if level == 0 && va >> 63 != 0 {
            self.upper = Some(id);
        }
        let index = (pa >> 3 & 0x1ff) as u16;
        (Slot { table: id, index }, moved)
    }

    fn settle_at(&mut self, id: TableId, level: u8, va: u64) -> Option<PlaceId> {
        let table = self.get_mut(id);
        if (table.level, table.va) == (level, va) {
            return None;
        }
        (table.level, table.va) = (level, va);
        table.place.take()
    }

    /// Stores to a table.
    pub fn store(&mut self, slot: Slot, new: Desc, core: usize, now: u64) {
        let table = &mut self.all[slot.table as usize];
        let index = usize::from(slot.index);
        let (word, bit) = (index / 64, 1 << (index % 64));
        table.words[index] = new.bits;
        table.known[word] |= bit;
        table.used[word] &= !bit;
        if table.contents != Contents::Unknown {
            table.contents = Contents::Unordered;
        }
        let frame = table.frame;
        if self.unordered[core].last() != Some(&frame) {
            queue::push(&mut self.unordered[core], frame, |_| true);
        }
        if new.is_leaf() {
            self.note_mapping(slot, new, now);
        }
    }

    /// Links a table. Returns what its descriptors owed elsewhere, if it has moved.
    pub fn link(&mut self, slot: Slot, frame: u64) -> (TableId, Option<PlaceId>) {
        let parent = self.get(slot.table);
        let (level, va) = (parent.level + 1, parent.va_of(slot.index));
        let id = self.find_or_insert(frame);
        let moved = self.settle_at(id, level, va);
        let table = self.get_mut(id);
        (table.parent, table.unlinked) = (Some(slot), false);
        (id, moved)
    }

    /// Takes a table away from its parent.
    pub fn unlink(&mut self, slot: Slot, frame: u64) {
        if let Some(id) = self.find(frame) {
            let table = self.get_mut(id);
            if table.parent == Some(slot) {
                (table.parent, table.unlinked) = (None, true);
            }
        }
    }

    /// Calls `f` for every descriptor of the table in this frame, and of those below, that a TLB may hold.
    pub fn below(&self, frame: u64, f: &mut impl FnMut(Slot, Desc)) {
        self.below_to(frame, (LEVELS, &mut BTreeSet::new()), f);
    }

    /// Of a table that is linked in many places, or in a circle, once.
    fn below_to(
        &self,
        frame: u64,
        (depth, seen): (usize, &mut BTreeSet<TableId>),
        f: &mut impl FnMut(Slot, Desc),
    ) {
        let id = self.find(frame).filter(|_| depth > 0);
        let Some(id) = id.filter(|id| seen.insert(*id)) else {
            return;
        };
        for (index, desc) in self.get(id).valid() {
            if desc.is_cacheable() {
                f(Slot { table: id, index }, desc);
            }
            if desc.is_table() {
                self.below_to(desc.frame(), (depth - 1, seen), f);
            }
        }
    }

    /// The table and those that are known to lead to it, one above the other.
    fn upwards(&self, id: TableId) -> impl Iterator<Item = &Table> {
        let above = |table: &&Table| table.parent.map(|slot| self.get(slot.table));
        // Tables may be linked in a circle.
        core::iter::successors(Some(self.get(id)), above).take(LEVELS + 1)
    }

    /// The frames of the table and of those that are known to lead to it.
    pub fn frames_upwards(&self, id: TableId) -> impl Iterator<Item = u64> {
        self.upwards(id).map(|table| table.frame)
    }

    /// The topmost table that is known to lead to this one.
    fn top(&self, id: TableId) -> &Table {
        self.upwards(id).last().unwrap_or_else(|| self.get(id))
    }

    /// The frame of the table's root, as far up as is known.
    pub fn root(&self, id: TableId) -> u64 {
        self.top(id).frame
    }

    /// Whether a walker may come to the table, as far as links say.
    pub fn reach(&self, id: TableId) -> Reach {
        let top = self.top(id);
        match top.level {
            0 if top.va >> 63 != 0 => Reach::Yes,
            0 => Reach::Root(top.frame, !top.unlinked),
            _ if top.unlinked => Reach::Unlinked,
            _ => Reach::Yes,
        }
    }

    /// Whether the table is the known root of its half, or linked.
    pub fn is_linked(&self, id: TableId) -> bool {
        let table = self.get(id);
        table.parent.is_some() || self.upper == Some(id)
    }

    /// Whether the root of this table is known to be one.
    pub fn has_known_root(&self, id: TableId) -> bool {
        self.top(id).level == 0
    }

    /// The frame is zeroed by this core, to be a table. Returns what the one before owed.
    pub fn zero(&mut self, frame: u64, core: usize) -> Option<PlaceId> {
        let before = self.forget(frame);
        let id = self.insert(Table::new(frame));
        let table = self.get_mut(id);
        table.contents = Contents::Unordered;
        table.unlinked = true;
        table.known = [u64::MAX; ENTRIES / 64];
        queue::push(&mut self.unordered[core], frame, |_| true);
        before
    }

    /// A barrier for stores.
    pub fn order(&mut self, core: usize, complete: bool) {
        let reached = if complete {
            Contents::Complete
        } else {
            Contents::Ordered
        };
        let frames = core::mem::take(&mut self.unordered[core]);
        for frame in &frames {
            let Some(id) = self.find(*frame) else {
                continue;
            };
            let contents = &mut self.get_mut(id).contents;
            if *contents != Contents::Unknown {
                *contents = reached;
            }
        }
        self.unordered[core] = frames;
        // After a DMB a DSB still has something to do.
        if complete {
            self.unordered[core].clear();
        }
    }

    /// The table in this frame, or one below it, whose contents have not come as far as this.
    pub fn behind(&self, frame: u64, far_enough: &[Contents]) -> Option<u64> {
        let stored = self.unordered.iter().flatten().copied();
        stored
            .filter(|&stored| self.is_below(stored, frame))
            .find(|&stored| {
                let contents = self.contents(stored);
                contents != Contents::Unknown && !far_enough.contains(&contents)
            })
    }

    /// What became of a table's contents.
    pub fn contents(&self, frame: u64) -> Contents {
        let table = self.find(frame).map(|id| self.get(id));
        table.map_or(Contents::Unknown, |table| table.contents)
    }

    fn is_below(&self, frame: u64, top: u64) -> bool {
        let mut next = self.find(frame);
        let chain = (0..LEVELS).map_while(|_| {
            let table = self.get(next?);
            next = table.parent.map(|slot| slot.table);
            Some(table.frame)
        });
        chain.into_iter().any(|frame| frame == top)
    }

    /// The frame is no table any more. Returns what its descriptors owed.
    pub fn forget(&mut self, frame: u64) -> Option<PlaceId> {
        let id = self.by_frame.remove(frame)?;
        self.free.push(id);
        if self.upper == Some(id) {
            self.upper = None;
        }
        let gone = core::mem::replace(self.get_mut(id), Table::new(frame));
        for (index, desc) in gone.valid().filter(|(_, desc)| desc.is_table()) {
            self.unlink(Slot { table: id, index }, desc.frame());
        }
        gone.place
    }

    /// The table and index of each level's descriptor for `va` on this way, down to the leaf or a hole.
    fn walk(&self, root: TableId, va: u64) -> impl Iterator<Item = (Slot, Desc)> {
        let mut next = Some(root);
        // Tables may be linked in a circle.
        let steps = 0..LEVELS;
        steps.map_while(move |_| {
            let id = next?;
            let table = self.get(id);
            let size = span_pages(table.level) << 12;
            let index = ((va / size) as usize % ENTRIES) as u16;
            let desc = table.desc(index);
            next = desc.is_table().then(|| self.find(desc.frame())).flatten();
            Some((Slot { table: id, index }, desc))
        })
    }

    /// The last descriptor on the way from the table in this frame to `va`.
    pub fn translate(&self, frame: u64, va: u64) -> Option<Desc> {
        let id = self.find(frame)?;
        self.walk(id, va).last().map(|(_, desc)| desc)
    }

    /// The root of the half of `va`, where the lower one has this root.
    fn root_of(&self, va: u64, lower: Option<u64>) -> Option<TableId> {
        match va >> 63 {
            0 => self.find(lower?),
            _ => self.upper,
        }
    }

    /// The leaf that the tables have for `va` now.
    pub fn leaf(&self, va: u64, lower: Option<u64>) -> Option<Desc> {
        self.leaf_below(self.get(self.root_of(va, lower)?).frame, va)
    }

    /// The leaf that there is for `va` now, from the table in this frame on.
    pub fn leaf_below(&self, frame: u64, va: u64) -> Option<Desc> {
        self.translate(frame, va).filter(|desc| desc.is_leaf())
    }

    /// Notes that the mapping of `va` was used; returns whether there is one and this is its first use.
    pub fn touch(&mut self, va: u64, lower: Option<u64>) -> Option<bool> {
        let (slot, desc) = self.walk(self.root_of(va, lower)?, va).last()?;
        let table = self.get_mut(slot.table);
        let (word, bit) = (usize::from(slot.index) / 64, 1_u64 << (slot.index % 64));
        let first = table.used[word] & bit == 0;
        table.used[word] |= bit;
        desc.is_leaf().then_some(first)
    }

    /// The frame was taken from the allocator: what maps it already is not its owner's.
    pub fn allocate(&mut self, frame: u64, now: u64) {
        self.release(frame);
        let fresh = Allocated {
            at: now,
            page: None,
        };
        self.allocated.insert(frame, fresh);
        self.in_use += 1;
    }

    /// The frame was given back.
    pub fn release(&mut self, frame: u64) {
        let known = self.allocated.remove(frame);
        self.in_use -= usize::from(known.is_some());
        let pages: Vec<Slot> = self.more_pages_of(frame).collect();
        for page in pages {
            self.more_pages.remove(&(frame, page));
        }
    }

    fn more_pages_of(&self, frame: u64) -> impl Iterator<Item = Slot> {
        let first = Slot { table: 0, index: 0 };
        let last = Slot {
            table: TableId::MAX,
            index: u16::MAX,
        };
        let pages = self.more_pages.range((frame, first)..=(frame, last));
        pages.map(|(_, slot)| *slot)
    }

    fn note_mapping(&mut self, slot: Slot, new: Desc, now: u64) {
        if new.level < 3 {
            if self.blocks.len() == self.blocks.capacity() {
                self.forget_blocks();
            }
            self.blocks.push((now, slot));
            return;
        }
        let frame = new.frame();
        let Some(known) = self.allocated.get(frame) else {
            return;
        };
        if let Some(page) = known.page.filter(|page| self.maps(*page, frame)) {
            self.more_pages.insert((frame, page));
        }
        if let Some(known) = self.allocated.get_mut(frame) {
            known.page = Some(slot);
        }
    }

    /// Keeps of each block that is still there when it was last made.
    fn forget_blocks(&mut self) {
        let mut kept = BTreeSet::new();
        let mut blocks = core::mem::take(&mut self.blocks);
        blocks.reverse();
        blocks.retain(|&(_, slot)| {
            let there = self.get(slot.table).desc(slot.index).is_leaf();
            there && kept.insert(slot)
        });
        blocks.reverse();
        self.blocks = blocks;
    }

    fn maps(&self, slot: Slot, frame: u64) -> bool {
        let desc = self.get(slot.table).desc(slot.index);
        desc.is_leaf() && frame & !(desc.size() - 1) == desc.frame()
    }

    /// The leaves that were made for the frame since it was allocated and that map it still; all of them, if
    /// its allocation was not seen.
    pub fn mappings(&self, frame: u64) -> Vec<Slot> {
        let Some(known) = self.allocated.get(frame) else {
            return self.search(frame);
        };
        let pages = known.page.into_iter().chain(self.more_pages_of(frame));
        let blocks = self.blocks.iter().rev();
        let blocks = blocks.take_while(|(made, _)| *made > known.at);
        let all = pages.chain(blocks.map(|(_, slot)| *slot));
        all.filter(|slot| self.maps(*slot, frame)).collect()
    }

    fn search(&self, frame: u64) -> Vec<Slot> {
        // What is no table any more has no valid word.
        let slots = (0..self.all.len() as TableId).flat_map(|table| {
            let valid = self.get(table).valid();
            valid.map(move |(index, _)| Slot { table, index })
        });
        slots.filter(|slot| self.maps(*slot, frame)).collect()
    }
}

/// Whether a walker may come to a table, as far as links say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reach {
    /// It may, or what links it is not known.
    Yes,
    /// By this root of the lower half, if TTBR0 has it; and whether it may be a root that was not seen there.
    Root(u64, bool),
    /// The topmost table was not linked yet, or is unlinked.
    Unlinked,
}
