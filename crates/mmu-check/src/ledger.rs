//! The ledger: every store that still owes something, and how far its payment has come.
//!
//! | a store that | owes | paid by |
//! |---|---|---|
//! | makes a valid descriptor where none was | to be *published* | a DSB of its core; then a context synchronisation of the core that uses it |
//! | changes or clears one that a TLB may hold | an *invalidation* | a DSB of its core; a TLBI that covers it; a DSB of the core of the TLBI, which then synchronises its context |
//!
//! Each step takes the entries that wait for it out of a queue of its core, so an event costs as
//! much as it changes.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use crate::desc::Desc;
use crate::event::Event;
use crate::tlbi::{Cover, Decoded, Target, span_pages};

/// The most cores.
pub const MAX_CORES: usize = 8;

/// How many published stores are remembered for cores that have not synchronised since. A core that
/// stays away for longer (a sleeping one) is given the benefit of the doubt.
const REMEMBERED: usize = 1 << 12;

/// Who owes: a task, or an interrupt handler on top of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Owner {
    pub task: u16,
    pub irq: bool,
}

/// Which descriptor. Ordered by address, so that those behind a range of addresses are neighbours.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Key {
    pub va: u64,
    pub level: u8,
    pub slot: u64,
}

/// What one descriptor owes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Debt {
    pub key: Key,
    pub publish: Option<Publish>,
    pub invalidation: Option<Invalidation>,
}

/// A valid descriptor that somebody may not see yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Publish {
    pub owner: Owner,
    pub store: Event,
    /// When a DSB made it visible to every walker.
    pub visible: Option<u64>,
}

/// A translation that somebody may still have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Invalidation {
    pub owner: Owner,
    pub store: Event,
    pub old: Desc,
    /// The first leaf that was there before `old` and is not gone either: a TLB may have the one or the other.
    pub older: Option<Desc>,
    pub asid: Option<u16>,
    pub progress: Progress,
    /// The TLBI that would have covered it and, as it was, did not.
    pub missed: Option<Missed>,
}

/// How far an invalidation has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Progress {
    /// A walker may still read the old descriptor.
    Stored,
    /// No walker can; TLBs may hold it.
    Visible,
    /// TLBIs that cover it were executed by these cores, a bit each; the first whose DSB follows
    /// completes it.
    Issued(u8),
    /// And completed, at this time; what that core had begun before may still use it.
    Complete(usize, u64),
}

/// Why a TLBI about the right addresses did not help.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Missed {
    /// It came before the store, or before the store was visible.
    Early,
    /// Only one core carried it out.
    Local,
    /// Its operand.
    Operand,
}

#[derive(Default)]
struct CoreQueues {
    /// Stored or observed by this core since its last DSB.
    unordered: Vec<Key>,
    /// Covered by a TLBI of this core since its last DSB.
    issued: Vec<Key>,
    /// Completed by this core since its last context synchronisation.
    complete: Vec<Key>,
    synced: u64,
}

/// All that is owed.
#[derive(Default)]
pub(crate) struct Ledger {
    debts: BTreeMap<Key, Debt>,
    cores: [CoreQueues; MAX_CORES],
    online: usize,
    /// Visible publications in the order in which they became so.
    visible: VecDeque<(u64, Key)>,
    /// When each owner's last publication became visible.
    last_visible: BTreeMap<Owner, u64>,
    /// When each owner last synchronised the context of whatever core it was on.
    synced: BTreeMap<Owner, u64>,
    /// Frames (pages' and tables') that a translation may still lead to, and by which descriptor.
    frames: BTreeSet<(u64, Key)>,
    /// Withdrawn blocks, few at a time.
    blocks: Vec<Key>,
}

impl Ledger {
    /// Notes that the core runs. Its start has synchronised its context, but that was some time
    /// before anybody heard of it, so it is credited with nothing.
    pub fn start_core(&mut self, core: usize) {
        self.online |= 1 << core;
    }

    /// Whether nothing was heard of the core yet.
    pub fn is_offline(&self, core: usize) -> bool {
        self.online & 1 << core == 0
    }

    /// Whether no other core runs.
    pub fn is_alone(&self, core: usize) -> bool {
        self.online & !(1 << core) == 0
    }

    /// When the core last synchronised its context, or `owner` that of the core it was on then:
    /// what moves to another core takes along what it has waited for.
    pub fn synced(&self, core: usize, owner: Owner) -> u64 {
        let own = self.synced.get(&owner).copied().unwrap_or(0);
        own.max(self.cores[core].synced)
    }

    /// When the core last synchronised its context.
    pub fn core_synced(&self, core: usize) -> u64 {
        self.cores[core].synced
    }

    /// A TLBI of this core that no DSB of it has completed yet.
    pub fn issued(&self, core: usize) -> Option<&Debt> {
        let issued = self.cores[core].issued.iter();
        issued.filter_map(|key| self.debts.get(key)).find(|debt| {
            debt.invalidation
                .is_some_and(|i| i.progress.is_issued_by(core))
        })
    }

    /// The task is gone.
    pub fn end_task(&mut self, task: u16) {
        for irq in [false, true] {
            let owner = Owner { task, irq };
            self.synced.remove(&owner);
            self.last_visible.remove(&owner);
        }
    }

    pub fn get(&self, key: Key) -> Option<&Debt> {
        self.debts.get(&key)
    }

    /// All debts, oldest address first.
    pub fn debts(&self) -> impl Iterator<Item = &Debt> {
        self.debts.values()
    }

    /// Debts on the way to `va`: its leaf's and its tables'.
    pub fn on_the_way(&self, va: u64) -> impl Iterator<Item = &Debt> {
        (0..4).flat_map(move |level| {
            let va = va & !((span_pages(level) << 12) - 1);
            let key = |slot| Key { va, level, slot };
            self.debts.range(key(0)..=key(u64::MAX)).map(|(_, d)| d)
        })
    }

    /// Debts within the addresses of `pages` pages from `va`, and on the way there.
    pub fn within(&self, va: u64, pages: u64) -> impl Iterator<Item = &Debt> {
        let last = (va >> 12).wrapping_add(pages.max(1) - 1) << 12;
        let above = self.on_the_way(va).filter(move |d| d.key.va < va);
        above.chain(self.range(va, last))
    }

    fn range(&self, va: u64, last: u64) -> impl Iterator<Item = &Debt> {
        let from = Key {
            va,
            level: 0,
            slot: 0,
        };
        let to = Key {
            va: last.max(va),
            level: u8::MAX,
            slot: u64::MAX,
        };
        self.debts.range(from..=to).map(|(_, d)| d)
    }

    /// Invalidations owed of translations that lead to this frame.
    pub fn leading_to(&self, frame: u64) -> impl Iterator<Item = &Debt> {
        let first = Key {
            va: 0,
            level: 0,
            slot: 0,
        };
        let last = Key {
            va: u64::MAX,
            level: u8::MAX,
            slot: u64::MAX,
        };
        let pages = self.frames.range((frame, first)..=(frame, last));
        let blocks = self.blocks.iter().filter(move |key| {
            let debt = self.debts.get(key).and_then(|d| d.invalidation);
            debt.is_some_and(|i| frame & !(i.old.size() - 1) == i.old.frame())
        });
        pages
            .map(|(_, key)| key)
            .chain(blocks)
            .filter_map(|key| self.debts.get(key))
    }

    /// Publications that no DSB of this core has followed yet, its own ones.
    pub fn unordered(&self, core: usize) -> impl Iterator<Item = &Debt> {
        self.cores[core]
            .unordered
            .iter()
            .filter_map(|key| self.debts.get(key))
    }

    /// The first publication of `owner` that is not visible, wherever it was stored.
    pub fn unpublished(&self, owner: Owner) -> Option<&Debt> {
        (0..MAX_CORES)
            .flat_map(|core| self.unordered(core))
            .find(|debt| {
                debt.publish
                    .is_some_and(|p| p.owner == owner && p.visible.is_none())
            })
    }

    /// A visible publication of `owner` after which neither it nor this core has synchronised the
    /// context.
    pub fn unsynchronised(&self, owner: Owner, core: usize) -> Option<&Debt> {
        let synced = self.synced(core, owner);
        self.last_visible.get(&owner).filter(|&&at| at > synced)?;
        let newest = self.visible.iter().rev();
        newest
            .take_while(|(at, _)| *at > synced)
            .filter_map(|(_, key)| self.debts.get(key))
            .find(|d| d.publish.is_some_and(|p| p.owner == owner))
    }

    /// Whether `core` may rely on the invalidation.
    pub fn is_complete(&self, invalidation: &Invalidation, core: usize) -> bool {
        match invalidation.progress {
            Progress::Complete(by, at) => by != core || self.cores[core].synced > at,
            _ => false,
        }
    }

    fn entry(&mut self, key: Key) -> &mut Debt {
        self.debts.entry(key).or_insert(Debt {
            key,
            publish: None,
            invalidation: None,
        })
    }

    /// A valid descriptor was stored where none was.
    pub fn owe_publish(&mut self, key: Key, owner: Owner, store: Event) {
        self.entry(key).publish = Some(Publish {
            owner,
            store,
            visible: None,
        });
        self.cores[usize::from(store.core)].unordered.push(key);
    }

    /// A publication that is pending was taken back.
    pub fn drop_publish(&mut self, key: Key) {
        if let Some(debt) = self.debts.get_mut(&key) {
            debt.publish = None;
            self.drop_if_paid(key);
        }
    }

    /// A descriptor that a TLB may hold was changed or cleared.
    pub fn owe_invalidation(&mut self, key: Key, mut new: Invalidation) {
        let core = usize::from(new.store.core);
        let frame = new.old.frame();
        let debt = self.entry(key);
        // What is gone already is gone; what is not is still owed, with the new one.
        new.older = debt.invalidation.and_then(|before| {
            let gone = matches!(before.progress, Progress::Complete(..));
            let older = before.older.or(Some(before.old));
            older.filter(|leaf| !gone && !leaf.is_table())
        });
        if let Some(before) = debt.invalidation.replace(new) {
            self.forget_frame(key, &before);
        }
        if new.old.is_table() || new.old.level == 3 {
            self.frames.insert((frame, key));
        } else {
            self.blocks.push(key);
        }
        self.cores[core].unordered.push(key);
    }

    /// The descriptor is again what the TLBs may hold: nothing is stale.
    pub fn drop_invalidation(&mut self, key: Key) {
        let Some(debt) = self.debts.get_mut(&key) else {
            return;
        };
        if let Some(before) = debt.invalidation.take() {
            self.forget_frame(key, &before);
        }
        self.drop_if_paid(key);
    }

    fn forget_frame(&mut self, key: Key, invalidation: &Invalidation) {
        if !self.frames.remove(&(invalidation.old.frame(), key)) {
            self.blocks.retain(|block| *block != key);
        }
    }

    fn drop_if_paid(&mut self, key: Key) {
        let paid = |d: &Debt| d.publish.is_none() && d.invalidation.is_none();
        if self.debts.get(&key).is_some_and(paid) {
            self.debts.remove(&key);
        }
    }

    /// `core` has read this link of another core's, so a DSB of its own is as good as the other's
    /// (stores are other-multi-copy atomic: what one observer has seen, none can miss).
    pub fn observe(&mut self, key: Key, core: usize) {
        let pending = self
            .debts
            .get(&key)
            .and_then(|d| d.publish)
            .is_some_and(|p| p.visible.is_none() && usize::from(p.store.core) != core);
        if pending && self.cores[core].unordered.last() != Some(&key) {
            self.cores[core].unordered.push(key);
        }
    }

    /// A DSB that waits for stores: what this core has stored is visible to every walker.
    pub fn order(&mut self, core: usize, now: u64) {
        let mut keys = core::mem::take(&mut self.cores[core].unordered);
        for key in keys.drain(..) {
            let Some(debt) = self.debts.get_mut(&key) else {
                continue;
            };
            if let Some(publish) = debt.publish.as_mut().filter(|p| p.visible.is_none()) {
                publish.visible = Some(now);
                self.last_visible.insert(publish.owner, now);
                self.visible.push_back((now, key));
            }
            if let Some(invalidation) = &mut debt.invalidation
                && invalidation.progress == Progress::Stored
            {
                invalidation.progress = Progress::Visible;
            }
        }
        self.cores[core].unordered = keys;
        self.trim();
    }

    /// A TLBI. Returns whether anything owed was among what it covers.
    pub fn invalidate(&mut self, decoded: &Decoded, core: usize, local_is_enough: bool) -> bool {
        let keys: Vec<Key> = match decoded.pages() {
            Some((va, pages)) => self.within(va, pages).map(|d| d.key).collect(),
            None => self.debts.keys().copied().collect(),
        };
        let mut useful = false;
        for key in keys {
            let Some(owed) = self
                .debts
                .get_mut(&key)
                .and_then(|d| d.invalidation.as_mut())
            else {
                continue;
            };
            let missed = match decoded.covers(&owed.target(key)) {
                Cover::No => continue,
                Cover::Flawed => Missed::Operand,
                Cover::Yes if owed.progress == Progress::Stored => Missed::Early,
                Cover::Yes if !decoded.is_broadcast() && !local_is_enough => Missed::Local,
                Cover::Yes => {
                    if let Some(progress) = owed.progress.issued_by(core) {
                        owed.progress = progress;
                        self.cores[core].issued.push(key);
                    }
                    useful = true;
                    continue;
                }
            };
            useful = true;
            if matches!(owed.progress, Progress::Stored | Progress::Visible) {
                owed.missed = Some(missed);
            }
        }
        useful
    }

    /// A DSB that completes invalidations.
    pub fn complete(&mut self, core: usize, now: u64) {
        let queues = &mut self.cores[core];
        for key in queues.issued.drain(..) {
            let owed = self
                .debts
                .get_mut(&key)
                .and_then(|d| d.invalidation.as_mut());
            if let Some(owed) = owed.filter(|i| i.progress.is_issued_by(core)) {
                owed.progress = Progress::Complete(core, now);
                queues.complete.push(key);
            }
        }
    }

    /// A context synchronisation event on `core`, in the program of `owner`: behind everything that
    /// was before `at`, and what this core has completed itself.
    pub fn synchronise(&mut self, core: usize, owner: Owner, at: u64) {
        let own = self.synced.entry(owner).or_insert(0);
        *own = at.max(*own);
        self.cores[core].synced = at.max(self.cores[core].synced);
        let mut keys = core::mem::take(&mut self.cores[core].complete);
        for key in keys.drain(..) {
            let done = self
                .debts
                .get(&key)
                .and_then(|d| d.invalidation)
                .is_some_and(|i| matches!(i.progress, Progress::Complete(by, _) if by == core));
            if done {
                self.drop_invalidation(key);
            }
        }
        self.cores[core].complete = keys;
        self.trim();
    }

    /// Forgets publications that every core has synchronised after.
    fn trim(&mut self) {
        let all = (0..MAX_CORES)
            .filter(|core| self.online & 1 << core != 0)
            .map(|core| self.cores[core].synced)
            .min()
            .unwrap_or(0);
        while let Some(&(at, key)) = self.visible.front() {
            if at >= all && self.visible.len() <= REMEMBERED {
                break;
            }
            self.visible.pop_front();
            let same =
                |d: &Debt| matches!(d.publish, Some(Publish { visible: Some(t), .. }) if t == at);
            if self.debts.get(&key).is_some_and(same) {
                self.drop_publish(key);
            }
        }
    }
}

impl Progress {
    fn is_issued_by(self, core: usize) -> bool {
        matches!(self, Progress::Issued(cores) if cores & 1 << core != 0)
    }

    /// After a TLBI of `core`, if that is one more.
    fn issued_by(self, core: usize) -> Option<Self> {
        match self {
            Progress::Visible => Some(Progress::Issued(1 << core)),
            Progress::Issued(cores) if cores & 1 << core == 0 => {
                Some(Progress::Issued(cores | 1 << core))
            }
            _ => None,
        }
    }
}

impl Invalidation {
    /// What a TLBI must drop.
    pub fn target(&self, key: Key) -> Target {
        Target {
            va: key.va,
            level: key.level,
            table: self.old.is_table(),
            global: !self.old.is_table() && self.old.is_global(),
            asid: self.asid,
        }
    }
}
