//! The machine: cores and memory, and somebody who decides what happens by itself.

use alloc::vec::Vec;
use core::cell::RefCell;

use super::chance::{Chance, Urge};
use super::system::{Fault, Happening, System, Watch, Way};
use super::walk::Walk;
use crate::event::{AccessKind, Barrier};
use crate::tlbi::Op;

/// Walks ahead of time in an exhaustive run: one that keeps the old state and one that brings it
/// back.
const WALKS: u32 = 2;

/// The machine: cores, memory, and somebody who decides.
pub struct Machine {
    inner: RefCell<Inner>,
}

struct Inner {
    chance: Chance,
    system: System,
    watch: Watch,
    /// The address that is most worth a walk now.
    tempting: Option<u64>,
    /// Nothing happens by itself.
    still: bool,
    /// Walks ahead of time left in an exhaustive run.
    walks_left: u32,
}

impl Machine {
    /// A machine with this many cores, whose upper half is translated from `ttbr1`.
    pub fn new(cores: usize, ttbr1: u64, chance: Chance) -> Self {
        Machine {
            inner: RefCell::new(Inner {
                chance,
                system: System::new(cores, ttbr1),
                watch: Watch {
                    addresses: Vec::new(),
                    changing: None,
                },
                tempting: None,
                still: false,
                walks_left: WALKS,
            }),
        }
    }

    /// Lets nothing happen by itself, or everything that may. When that ends, stores on their way
    /// have arrived.
    pub fn set_still(&self, still: bool) {
        let mut inner = self.inner.borrow_mut();
        inner.still = still;
        for core in 0..inner.system.cores.len() {
            inner.system.memory.arrive_all(core);
        }
    }

    /// Adds an address that cores may walk for at any time.
    pub fn watch(&self, va: u64) {
        let addresses = &mut self.inner.borrow_mut().watch.addresses;
        if !addresses.contains(&va) {
            addresses.push(va);
        }
    }

    /// A core is as likely to walk for this address as for all others: a descriptor on its way is
    /// about to change.
    pub fn tempt(&self, va: u64) {
        self.inner.borrow_mut().tempting = Some(va);
    }

    /// Forgets the watched addresses.
    pub fn unwatch_all(&self) {
        self.inner.borrow_mut().watch.addresses.clear();
    }

    /// The decisions made, for the next exhaustive run.
    pub fn into_chance(self) -> Chance {
        self.inner.into_inner().chance
    }

    /// One of `of` possibilities, for schedules of the program itself.
    pub fn pick(&self, of: usize) -> usize {
        self.inner.borrow_mut().chance.pick(of)
    }

    /// The core and address of two translations that were held at once and must not be.
    pub fn conflict(&self) -> Option<(usize, u64)> {
        self.inner.borrow().system.conflict
    }

    /// A core's load from physical memory.
    pub fn load(&self, core: usize, pa: u64) -> u64 {
        self.inner.borrow_mut().system.memory.load(core, pa)
    }

    /// A core's store of a descriptor to physical memory.
    pub fn store(&self, core: usize, pa: u64, value: u64) {
        let mut inner = self.inner.borrow_mut();
        inner.system.memory.store(core, pa, value, None);
        inner.stir();
    }

    /// A core fills a frame with zeroes.
    pub fn zero(&self, core: usize, frame: u64) {
        let mut inner = self.inner.borrow_mut();
        inner.system.memory.zero(core, frame);
        inner.stir();
    }

    /// The frame's next owner fills it with one word.
    pub fn fill(&self, frame: u64, word: u64) {
        self.inner.borrow_mut().system.memory.fill(frame, word);
    }

    /// A word of physical memory, as a walker reads it: for judges.
    pub fn memory(&self, pa: u64) -> u64 {
        self.inner.borrow().system.memory.word(pa)
    }

    /// Another core has seen a store-release of this one: it has seen all that came before.
    pub fn released(&self, core: usize) {
        self.inner.borrow_mut().system.memory.arrive_all(core);
    }

    /// A DMB.
    pub fn dmb(&self, core: usize, kind: Barrier) {
        let mut inner = self.inner.borrow_mut();
        inner.system.dmb(core, kind);
        inner.stir();
    }

    /// A DSB. A local one does not wait for what other cores have to do.
    pub fn dsb(&self, core: usize, kind: Barrier) {
        let mut inner = self.inner.borrow_mut();
        inner.stir();
        inner.system.dsb(core, kind);
        inner.stir();
    }

    /// An ISB, or anything else that synchronises the context.
    pub fn synchronise(&self, core: usize) {
        let mut inner = self.inner.borrow_mut();
        inner.stir();
        inner.system.cores[core].synchronise();
    }

    /// A TLB invalidation.
    pub fn tlbi(&self, core: usize, op: Op, operand: u64) {
        let mut inner = self.inner.borrow_mut();
        inner.system.tlbi(core, op.decode(operand));
        inner.stir();
    }

    /// A store to TTBR0.
    pub fn set_ttbr0(&self, core: usize, root: u64, asid: u16) {
        let mut inner = self.inner.borrow_mut();
        inner.system.set_ttbr0(core, root, asid);
        inner.stir();
    }

    /// A load of data.
    ///
    /// # Errors
    /// The fault it takes.
    pub fn read(&self, core: usize, va: u64) -> Result<u64, Fault> {
        let mut inner = self.inner.borrow_mut();
        let way = inner.way(core, va, AccessKind::Read);
        let Inner { system, watch, .. } = &mut *inner;
        system.read(core, va, way, watch)
    }

    /// A store of data. It is on its way then.
    ///
    /// # Errors
    /// The fault it takes.
    pub fn write(&self, core: usize, va: u64, value: u64) -> Result<(), Fault> {
        let mut inner = self.inner.borrow_mut();
        let way = inner.way(core, va, AccessKind::Write);
        let Inner { system, watch, .. } = &mut *inner;
        system.write(core, va, value, way, watch).map(drop)
    }

    /// An instruction fetch.
    ///
    /// # Errors
    /// The fault it takes.
    pub fn fetch(&self, core: usize, va: u64) -> Result<(), Fault> {
        self.translate(core, va, AccessKind::Execute).map(drop)
    }

    /// What AT says of an access: the physical address. It uses what the access would use.
    ///
    /// # Errors
    /// The fault that the access would take.
    pub fn translate(&self, core: usize, va: u64, kind: AccessKind) -> Result<u64, Fault> {
        let mut inner = self.inner.borrow_mut();
        let way = inner.way(core, va, kind);
        let Inner { system, watch, .. } = &mut *inner;
        let translated = system.translate(core, va, kind, way, watch);
        translated.map(|(pa, _)| pa)
    }
}

impl Inner {
    /// One of the ways to translate an access.
    fn way(&mut self, core: usize, va: u64, kind: AccessKind) -> Way {
        self.stir();
        let ways = self.system.ways(core, va, kind, &self.watch);
        ways[self.chance.pick(ways.len())]
    }

    /// Something happens by itself, or nothing.
    fn stir(&mut self) {
        if self.still {
            return;
        }
        if self.chance.is_exhaustive() {
            self.stir_once();
            return;
        }
        for core in 0..self.system.cores.len() {
            while self.chance.inclined(Urge::Drain) && self.drain(core) {}
            while self.chance.inclined(Urge::Apply) && self.apply(core) {}
            while self.chance.inclined(Urge::Speculate) && self.go_on(core) {}
            if !self.watch.addresses.is_empty() && self.chance.inclined(Urge::Speculate) {
                let addresses = &self.watch.addresses;
                let any = addresses[self.chance.pick(addresses.len())];
                let tempting = self.tempting.filter(|_| self.chance.pick(2) == 0);
                self.speculate(core, tempting.unwrap_or(any));
            }
        }
    }

    /// One of all that can happen. Of an exhaustive run there must be few: walks go all of their way, and
    /// zeroes arrive together.
    fn stir_once(&mut self) {
        let mut all = self.system.happenings(&self.watch);
        all.retain(|happening| !matches!(happening, Happening::ArrivePart(..)));
        if self.walks_left > 0 {
            for core in 0..self.system.cores.len() {
                let addresses = self.watch.addresses.iter();
                let walks = addresses.flat_map(|va| self.system.beginnings(core, *va, &self.watch));
                all.extend(walks.map(|walk| Happening::Begin(core, walk)));
            }
        }
        let chosen = self.chance.pick(all.len() + 1).checked_sub(1);
        match chosen.map(|n| all[n]) {
            None => {}
            Some(Happening::Begin(core, walk)) => {
                self.walks_left -= 1;
                self.walk(core, walk);
            }
            Some(happening) => self.system.happen(happening, &self.watch),
        }
    }

    /// A walk from its beginning to its end.
    fn walk(&mut self, core: usize, walk: Walk) {
        let before = self.system.cores[core].walks.len();
        let begin = Happening::Begin(core, walk);
        self.system.happen(begin, &self.watch);
        while self.system.cores[core].walks.len() > before {
            let last = self.system.cores[core].walks.len() - 1;
            let go_on = Happening::GoOn(core, last);
            self.system.happen(go_on, &self.watch);
        }
    }

    /// A store arrives, or of zeroes a part.
    fn drain(&mut self, core: usize) -> bool {
        let memory = &self.system.memory;
        let ready = memory.ready(core);
        if ready.is_empty() {
            return false;
        }
        let position = ready[self.chance.pick(ready.len())];
        let mut happening = Happening::Arrive(core, position);
        if let Some(frame) = memory.zeroes_at(core, position) {
            let words: Vec<u64> = self
                .system
                .walked_words(frame, &self.watch)
                .into_iter()
                .collect();
            if let Some(n) = self.chance.pick(words.len() + 1).checked_sub(1) {
                happening = Happening::ArrivePart(core, position, words[n]);
            }
        }
        self.system.happen(happening, &self.watch);
        true
    }

    /// A core carries out a TLBI that `issuer` has executed, before it must. Returns whether there
    /// is more to do.
    fn apply(&mut self, issuer: usize) -> bool {
        let count = self.system.cores[issuer].issued.len();
        if count == 0 {
            return false;
        }
        let cores = self.system.cores.len();
        let (which, on) = (self.chance.pick(count), self.chance.pick(cores));
        let happening = Happening::CarryOut(issuer, which, on);
        self.system.happen(happening, &self.watch);
        true
    }

    /// A core goes on with a walk. Returns whether there was one.
    fn go_on(&mut self, core: usize) -> bool {
        let count = self.system.cores[core].walks.len();
        if count == 0 {
            return false;
        }
        let which = self.chance.pick(count);
        let happening = Happening::GoOn(core, which);
        self.system.happen(happening, &self.watch);
        true
    }

    /// A core walks for an address that no access has used yet, and keeps everything it finds: all of the way, or
    /// the first descriptor for now.
    fn speculate(&mut self, core: usize, va: u64) {
        let walks = self.system.beginnings(core, va, &self.watch);
        let walk = walks[self.chance.pick(walks.len())];
        if self.chance.pick(4) == 0 {
            let begin = Happening::Begin(core, walk);
            self.system.happen(begin, &self.watch);
        } else {
            self.walk(core, walk);
        }
    }
}
