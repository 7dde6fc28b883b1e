//! Memory, and the stores on their way there.
//!
//! A core reads its own stores at once. Everybody else, walkers of the same core among them, reads
//! memory. Stores of one core arrive in any order, but for those to the same place and those with a
//! barrier between them; a DSB waits for all. A frame of zeroes is as many stores as it has words.
//!
//! A barrier of the non-shareable domain (`nsh`, `nshst`) is one for the core itself, and the core's walker is
//! in that domain: it sees what a local DSB has waited for before it arrives, and no store before what a local
//! barrier has put ahead of it. For other cores nothing is ordered.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::tlbi::{Cover, Decoded, Target};

/// A frame that no program maps, full of descriptors that lead to it.
pub const EVIL_FRAME: u64 = 0xe71_1000;
/// What it holds: a table there at levels 0 to 2, a page there at level 3, writable, not global.
pub const EVIL: u64 =
    EVIL_FRAME | 1 << 54 | 1 << 53 | 1 << 11 | 1 << 10 | 0b11 << 8 | 1 << 2 | 0b11;

/// A store in a buffer.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Pending {
    place: Place,
    /// How many store barriers came before it.
    group: u32,
    /// How many barriers came before it, those for this core alone among them.
    own_group: u32,
    /// The core's own walker sees it.
    is_seen: bool,
    /// The translation that a store of data went through.
    through: Option<Target>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Place {
    Word(u64, u64),
    /// A whole frame of zeroes, and the words of it that have arrived already.
    Zeroes(u64, BTreeSet<u64>),
}

impl Place {
    fn frame(&self) -> u64 {
        match self {
            Place::Word(pa, _) => pa & !0xfff,
            Place::Zeroes(frame, _) => *frame,
        }
    }

    fn overlaps(&self, other: &Place) -> bool {
        match (self, other) {
            (Place::Word(a, _), Place::Word(b, _)) => a == b,
            _ => self.frame() == other.frame(),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Default)]
struct Buffer {
    stores: Vec<Pending>,
    group: u32,
    own_group: u32,
    /// The first group that a load of this core need not wait for.
    awaited: u32,
}

/// Few words by address, in order: in one piece, as a state of the machine is copied more often than changed.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
struct Words(Vec<(u64, u64)>);

impl Words {
    fn find(&self, pa: u64) -> Result<usize, usize> {
        self.0.binary_search_by_key(&pa, |(known, _)| *known)
    }

    fn get(&self, pa: u64) -> Option<u64> {
        self.find(pa).ok().map(|at| self.0[at].1)
    }

    fn insert(&mut self, pa: u64, word: u64) {
        match self.find(pa) {
            Ok(at) => self.0[at].1 = word,
            Err(at) => self.0.insert(at, (pa, word)),
        }
    }

    fn remove(&mut self, pa: u64) {
        if let Ok(at) = self.find(pa) {
            self.0.remove(at);
        }
    }
}

/// All of memory: frames filled with one word, and words that are something else.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Memory {
    fills: Words,
    words: Words,
    buffers: Vec<Buffer>,
}

impl Memory {
    pub fn new(cores: usize) -> Self {
        Memory {
            fills: Words(Vec::from([(EVIL_FRAME, EVIL)])),
            words: Words::default(),
            buffers: (0..cores).map(|_| Buffer::default()).collect(),
        }
    }

    /// What the walker of this core reads.
    pub fn walked(&self, core: usize, pa: u64) -> u64 {
        let seen = |pending: &&Pending| pending.is_seen;
        let stores = self.buffers[core].stores.iter().filter(seen);
        newest(stores, pa).unwrap_or_else(|| self.word(pa))
    }

    /// What memory holds: what the walkers of other cores read.
    pub fn word(&self, pa: u64) -> u64 {
        self.words.get(pa & !7).unwrap_or_else(|| self.filled(pa))
    }

    /// What the frame was filled with.
    fn filled(&self, pa: u64) -> u64 {
        self.fills.get(pa & !0xfff).unwrap_or(0)
    }

    /// What a load of this core returns, behind the stores that a barrier has put before it.
    pub fn load(&mut self, core: usize, pa: u64) -> u64 {
        let Buffer {
            stores, awaited, ..
        } = &self.buffers[core];
        let before = stores.iter().take_while(|store| store.group < *awaited);
        self.arrive_up_to(core, before.count());
        self.forwarded(core, pa)
    }

    /// What the core would load, as far as its own stores go.
    pub fn forwarded(&self, core: usize, pa: u64) -> u64 {
        let stores = self.buffers[core].stores.iter();
        newest(stores, pa).unwrap_or_else(|| self.word(pa))
    }

    /// Whether all that this core has stored has arrived.
    pub fn is_settled(&self, core: usize) -> bool {
        self.buffers[core].stores.is_empty()
    }

    /// A store by this core, of data `through` a translation.
    pub fn store(&mut self, core: usize, pa: u64, value: u64, through: Option<Target>) {
        self.push(core, Place::Word(pa & !7, value), through);
    }

    /// A frame zeroed by this core.
    pub fn zero(&mut self, core: usize, frame: u64) {
        self.push(core, Place::Zeroes(frame, BTreeSet::new()), None);
    }

    fn push(&mut self, core: usize, place: Place, through: Option<Target>) {
        let buffer = &mut self.buffers[core];
        let (group, own_group) = (buffer.group, buffer.own_group);
        buffer.stores.push(Pending {
            place,
            group,
            own_group,
            is_seen: false,
            through,
        });
    }

    /// A barrier that orders stores.
    pub fn fence(&mut self, core: usize) {
        if !self.buffers[core].stores.is_empty() {
            self.buffers[core].group += 1;
        }
        self.own_fence(core);
    }

    /// A barrier that orders stores for this core alone, and so for its walker.
    pub fn own_fence(&mut self, core: usize) {
        if !self.buffers[core].stores.is_empty() {
            self.buffers[core].own_group += 1;
        }
    }

    /// The core's own walker sees all of its stores: a DSB for this core alone.
    pub fn show_own(&mut self, core: usize) {
        self.own_fence(core);
        let group = self.buffers[core].own_group;
        self.show_before(core, group);
    }

    fn show_before(&mut self, core: usize, group: u32) {
        let stores = self.buffers[core].stores.iter_mut();
        let before = stores.filter(|store| store.own_group < group);
        before.for_each(|store| store.is_seen = true);
    }

    /// A barrier that orders stores, and later loads behind them. Walks are no loads.
    pub fn full_fence(&mut self, core: usize) {
        self.fence(core);
        self.buffers[core].awaited = self.buffers[core].group;
    }

    /// Positions of stores that may arrive next.
    pub fn ready(&self, core: usize) -> Vec<usize> {
        let stores = &self.buffers[core].stores;
        let Some(first) = stores.first() else {
            return Vec::new();
        };
        (0..stores.len())
            .take_while(|&i| stores[i].group == first.group)
            .filter(|&i| {
                let mut earlier = stores[..i].iter();
                !earlier.any(|earlier| earlier.place.overlaps(&stores[i].place))
            })
            .collect()
    }

    /// The frame that the store at this position fills with zeroes, if it does.
    pub fn zeroes_at(&self, core: usize, position: usize) -> Option<u64> {
        match self.buffers[core].stores.get(position)?.place {
            Place::Zeroes(frame, _) => Some(frame),
            Place::Word(..) => None,
        }
    }

    /// The store at this position arrives.
    pub fn arrive(&mut self, core: usize, position: usize) {
        let pending = self.buffers[core].stores.remove(position);
        self.write(pending.place);
        self.show_before(core, pending.own_group);
        if self.buffers[core].stores.is_empty() {
            self.buffers[core] = Buffer::default();
        }
    }

    /// One word of the zeroes at this position arrives.
    pub fn arrive_part(&mut self, core: usize, position: usize, pa: u64) {
        let pending = self.buffers[core].stores.get_mut(position);
        if let Some(Place::Zeroes(_, arrived)) = pending.map(|pending| &mut pending.place)
            && arrived.insert(pa)
        {
            self.set(pa, 0);
            let group = self.buffers[core].stores[position].own_group;
            self.show_before(core, group);
        }
    }

    /// All of the core's stores arrive: a DSB, or another core has seen a store-release of this
    /// one.
    pub fn arrive_all(&mut self, core: usize) {
        self.arrive_up_to(core, self.buffers[core].stores.len());
    }

    fn arrive_up_to(&mut self, core: usize, count: usize) {
        for _ in 0..count {
            self.arrive(core, 0);
        }
    }

    /// The stores of data that went through a translation that is gone now have arrived.
    pub fn arrive_through(&mut self, core: usize, gone: &Decoded) {
        let covered = |pending: &Pending| {
            let through = pending.through.as_ref();
            through.is_some_and(|target| gone.covers(target) == Cover::Yes)
        };
        let last = self.buffers[core].stores.iter().rposition(covered);
        self.arrive_up_to(core, last.map_or(0, |last| last + 1));
    }

    fn write(&mut self, place: Place) {
        match place {
            Place::Word(pa, value) => self.set(pa, value),
            Place::Zeroes(frame, arrived) => {
                let words = self.words.0.iter().copied();
                let kept: Vec<(u64, u64)> = words.filter(|(pa, _)| arrived.contains(pa)).collect();
                self.set_all(frame, 0);
                kept.into_iter().for_each(|(pa, word)| self.set(pa, word));
            }
        }
    }

    /// Fills a frame with the same word: what its next owner may do to it. Coherence orders it behind what is on
    /// its way there.
    pub fn fill(&mut self, frame: u64, word: u64) {
        for core in 0..self.buffers.len() {
            let stores = &self.buffers[core].stores;
            let last = stores.iter().rposition(|p| p.place.frame() == frame);
            self.arrive_up_to(core, last.map_or(0, |last| last + 1));
        }
        self.set_all(frame, word);
    }

    fn set_all(&mut self, frame: u64, word: u64) {
        self.words.0.retain(|(pa, _)| pa & !0xfff != frame);
        self.fills.insert(frame, word);
    }

    fn set(&mut self, pa: u64, value: u64) {
        if self.filled(pa) == value {
            self.words.remove(pa);
        } else {
            self.words.insert(pa, value);
        }
    }
}

/// What the newest of these stores leaves in a word.
fn newest<'a>(stores: impl DoubleEndedIterator<Item = &'a Pending>, pa: u64) -> Option<u64> {
    stores.rev().find_map(|pending| match &pending.place {
        Place::Word(at, value) => (*at == pa & !7).then_some(*value),
        Place::Zeroes(frame, _) => (*frame == pa & !0xfff).then_some(0),
    })
}
