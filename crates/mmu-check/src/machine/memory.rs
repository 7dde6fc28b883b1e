//! Memory, and the stores on their way there.
//!
//! A core reads its own stores at once. Everybody else, walkers of the same core among them, reads
//! memory. Stores of one core arrive in any order, but for those to the same place and those with a
//! barrier between them; a DSB waits for all.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

pub(super) const WORDS: usize = 512;

/// A store in a buffer.
#[derive(Clone, Copy, Debug)]
struct Pending {
    place: Place,
    /// How many store barriers came before it.
    group: u32,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Word(u64, u64),
    /// A whole frame of zeroes.
    Zeroes(u64),
}

impl Place {
    fn frame(self) -> u64 {
        match self {
            Place::Word(pa, _) => pa & !0xfff,
            Place::Zeroes(frame) => frame,
        }
    }

    fn overlaps(self, other: Place) -> bool {
        match (self, other) {
            (Place::Word(a, _), Place::Word(b, _)) => a == b,
            _ => self.frame() == other.frame(),
        }
    }
}

#[derive(Default)]
struct Buffer {
    stores: Vec<Pending>,
    group: u32,
}

#[derive(Default)]
pub(super) struct Memory {
    frames: BTreeMap<u64, Box<[u64; WORDS]>>,
    buffers: Vec<Buffer>,
}

impl Memory {
    pub fn new(cores: usize) -> Self {
        Memory {
            frames: BTreeMap::new(),
            buffers: (0..cores).map(|_| Buffer::default()).collect(),
        }
    }

    /// What memory holds: what a walker reads.
    pub fn word(&self, pa: u64) -> u64 {
        self.frames
            .get(&(pa & !0xfff))
            .map_or(0, |words| words[(pa >> 3) as usize % WORDS])
    }

    /// What a load of this core returns.
    pub fn load(&self, core: usize, pa: u64) -> u64 {
        let newest = self.buffers[core].stores.iter().rev();
        newest
            .filter_map(|pending| match pending.place {
                Place::Word(at, value) => (at == pa).then_some(value),
                Place::Zeroes(frame) => (frame == pa & !0xfff).then_some(0),
            })
            .next()
            .unwrap_or_else(|| self.word(pa))
    }

    /// A store by this core.
    pub fn store(&mut self, core: usize, pa: u64, value: u64) {
        self.push(core, Place::Word(pa, value));
    }

    /// A frame zeroed by this core.
    pub fn zero(&mut self, core: usize, frame: u64) {
        self.push(core, Place::Zeroes(frame));
    }

    fn push(&mut self, core: usize, place: Place) {
        let buffer = &mut self.buffers[core];
        let group = buffer.group;
        buffer.stores.push(Pending { place, group });
    }

    /// A barrier that orders stores.
    pub fn fence(&mut self, core: usize) {
        self.buffers[core].group += 1;
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
                !stores[..i]
                    .iter()
                    .any(|earlier| earlier.place.overlaps(stores[i].place))
            })
            .collect()
    }

    /// The store at this position arrives.
    pub fn arrive(&mut self, core: usize, position: usize) {
        let pending = self.buffers[core].stores.remove(position);
        self.write(pending.place);
    }

    /// All of the core's stores arrive: a DSB, or another core has seen a store-release of this
    /// one.
    pub fn arrive_all(&mut self, core: usize) {
        for pending in core::mem::take(&mut self.buffers[core].stores) {
            self.write(pending.place);
        }
    }

    fn write(&mut self, place: Place) {
        match place {
            Place::Word(pa, value) => self.set(pa, value),
            Place::Zeroes(frame) => *self.frame(frame) = [0; WORDS],
        }
    }

    /// A store of data. Coherence orders it behind what is on its way to the same frame.
    pub fn set_data(&mut self, pa: u64, value: u64) {
        self.settle(pa & !0xfff);
        self.set(pa, value);
    }

    /// Fills a frame with the same word: what its next owner may do to it.
    pub fn fill(&mut self, frame: u64, word: u64) {
        self.settle(frame);
        *self.frame(frame) = [word; WORDS];
    }

    fn settle(&mut self, frame: u64) {
        for core in 0..self.buffers.len() {
            let stores = &self.buffers[core].stores;
            let last = stores.iter().rposition(|p| p.place.frame() == frame);
            for _ in 0..last.map_or(0, |last| last + 1) {
                self.arrive(core, 0);
            }
        }
    }

    fn set(&mut self, pa: u64, value: u64) {
        self.frame(pa & !0xfff)[(pa >> 3) as usize % WORDS] = value;
    }

    fn frame(&mut self, frame: u64) -> &mut [u64; WORDS] {
        self.frames
            .entry(frame)
            .or_insert_with(|| Box::new([0; WORDS]))
    }
}
