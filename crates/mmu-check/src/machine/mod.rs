//! A machine that misbehaves as far as the architecture allows.
//!
//! | the machine may | until | Arm ARM |
//! |---|---|---|
//! | keep a store from every walker, and let stores arrive in any order | a DSB; a DMB between them orders two | B2.3, D8, ordering of table walks |
//! | walk the tables for any address, at any time, on any core, and keep what it finds | a TLBI that covers it, on that core | D8, what a TLB may hold |
//! | keep table descriptors and start a walk from them | a TLBI that is not for the last level | D8, what a TLB may hold |
//! | use what it has found ahead of time, a fault too, for an instruction that comes later | a context synchronisation; for other cores' translations, the DSB behind a TLBI | D8, ordering of table walks |
//! | carry a TLBI out at any time | the DSB behind it | D8, completion of TLB maintenance |
//! | ignore a TLBI whose operand is malformed or whose hint is wrong | – | C5.5 |
//! | use the old TTBR0 | a context synchronisation | D8, ordering of table walks |
//!
//! It holds two translations that need break-before-make between them only if software let it, and
//! says so at once, as a core may raise a TLB conflict abort at the next use.
//!
//! Freed frames are filled with [`EVIL`], a word that is a valid descriptor at every level and
//! leads to itself: whoever walks or reads there where it should not gets an answer, and a wrong
//! one.

mod arch;
mod bug;
mod chance;
mod core_state;
mod frames;
mod kernel;
mod memory;
pub mod scenario;
mod suite;
mod translate;

pub use bug::{Bug, Expected, NOT_HERE, Site};
pub use chance::Chance;
pub use kernel::{CORES, Intrusion, Kernel, Setup, Wrong};
pub use suite::{Run, run};

use alloc::vec::Vec;
use core::cell::RefCell;

use crate::event::{AccessKind, Barrier};
use crate::tlbi::Op;
use chance::Urge;
use core_state::{Core, Entry};
use memory::Memory;

/// A frame that no program maps, full of descriptors that lead to it.
pub const EVIL_FRAME: u64 = 0xe71_1000;
/// What it holds: a table there at levels 0 to 2, a page there at level 3, writable, not global.
pub const EVIL: u64 =
    EVIL_FRAME | 1 << 54 | 1 << 53 | 1 << 11 | 1 << 10 | 0b11 << 8 | 1 << 2 | 0b11;

/// Why an access did not work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// No valid descriptor.
    Translation,
    /// A descriptor that does not allow it.
    Permission,
}

/// The machine: cores, memory, and somebody who decides.
pub struct Machine {
    inner: RefCell<Inner>,
}

struct Inner {
    chance: Chance,
    memory: Memory,
    cores: Vec<Core>,
    /// The root of the upper half.
    ttbr1: u64,
    /// Addresses that cores walk for by themselves.
    watched: Vec<u64>,
    /// The one that is most worth it now.
    tempting: Option<u64>,
    /// A conflict that software has let happen.
    conflict: Option<(usize, u64)>,
    /// Nothing happens by itself.
    quiet: bool,
    /// Walks ahead of time left in an exhaustive run.
    walks_left: u32,
}

/// Walks ahead of time in an exhaustive run: one that keeps the old state and one that brings it
/// back.
const WALKS: u32 = 2;

impl Machine {
    /// A machine with this many cores, whose upper half is translated from `ttbr1`.
    pub fn new(cores: usize, ttbr1: u64, chance: Chance) -> Self {
        let mut memory = Memory::new(cores);
        memory.fill(EVIL_FRAME, EVIL);
        Machine {
            inner: RefCell::new(Inner {
                chance,
                memory,
                cores: (0..cores).map(|_| Core::default()).collect(),
                ttbr1,
                watched: Vec::new(),
                tempting: None,
                conflict: None,
                quiet: false,
                walks_left: WALKS,
            }),
        }
    }

    /// Lets nothing happen by itself, or everything that may. When quiet ends, stores on their way
    /// have arrived.
    pub fn set_quiet(&self, quiet: bool) {
        let mut inner = self.inner.borrow_mut();
        inner.quiet = quiet;
        for core in 0..inner.cores.len() {
            inner.memory.arrive_all(core);
        }
    }

    /// Adds an address that cores may walk for at any time.
    pub fn watch(&self, va: u64) {
        let mut inner = self.inner.borrow_mut();
        if !inner.watched.contains(&va) {
            inner.watched.push(va);
        }
    }

    /// A core is as likely to walk for this address as for all others: a descriptor on its way is
    /// about to change.
    pub fn tempt(&self, va: u64) {
        self.inner.borrow_mut().tempting = Some(va);
    }

    /// Forgets the watched addresses.
    pub fn unwatch_all(&self) {
        self.inner.borrow_mut().watched.clear();
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
        self.inner.borrow().conflict
    }

    /// A core's load from physical memory.
    pub fn load(&self, core: usize, pa: u64) -> u64 {
        self.inner.borrow().memory.load(core, pa)
    }

    /// A core's store of a descriptor to physical memory.
    pub fn store(&self, core: usize, pa: u64, value: u64) {
        let mut inner = self.inner.borrow_mut();
        inner.memory.store(core, pa, value);
        inner.stir();
    }

    /// A core fills a frame with zeroes.
    pub fn zero(&self, core: usize, frame: u64) {
        let mut inner = self.inner.borrow_mut();
        inner.memory.zero(core, frame);
        inner.stir();
    }

    /// The frame's next owner fills it: with [`EVIL`], if nobody says what else.
    pub fn fill(&self, frame: u64, word: u64) {
        self.inner.borrow_mut().memory.fill(frame, word);
    }

    /// A word of physical memory, as a walker reads it: for judges.
    pub fn memory(&self, pa: u64) -> u64 {
        self.inner.borrow().memory.word(pa)
    }

    /// Another core has seen a store-release of this one: it has seen all that came before.
    pub fn released(&self, core: usize) {
        self.inner.borrow_mut().memory.arrive_all(core);
    }

    /// A DMB.
    pub fn dmb(&self, core: usize, kind: Barrier) {
        let mut inner = self.inner.borrow_mut();
        if kind.orders_stores() {
            inner.memory.fence(core);
        }
        inner.stir();
    }

    /// A DSB. A local one does not wait for what other cores have to do.
    pub fn dsb(&self, core: usize, kind: Barrier) {
        let mut inner = self.inner.borrow_mut();
        inner.stir();
        if kind.orders_stores() && !kind.is_local() {
            inner.memory.arrive_all(core);
        }
        if kind.completes_tlbi() {
            inner.complete(core, kind.is_local());
        }
        inner.stir();
    }

    /// An ISB, or anything else that synchronises the context.
    pub fn synchronise(&self, core: usize) {
        let mut inner = self.inner.borrow_mut();
        inner.stir();
        inner.cores[core].synchronise();
    }

    /// A TLB invalidation.
    pub fn tlbi(&self, core: usize, op: Op, operand: u64) {
        let mut inner = self.inner.borrow_mut();
        inner.cores[core].pending.push((op.decode(operand), 0));
        inner.stir();
    }

    /// A store to TTBR0.
    pub fn set_ttbr0(&self, core: usize, root: u64, asid: u16) {
        let mut inner = self.inner.borrow_mut();
        let state = &mut inner.cores[core];
        let before = core::mem::replace(&mut state.ttbr0, (root, asid));
        state.ttbr0_before.get_or_insert(before);
        inner.stir();
    }

    /// A load of data.
    ///
    /// # Errors
    /// The fault it takes.
    pub fn read(&self, core: usize, va: u64) -> Result<u64, Fault> {
        let mut inner = self.inner.borrow_mut();
        let pa = inner.access(core, va, AccessKind::Read)?;
        Ok(inner.memory.word(pa))
    }

    /// A store of data.
    ///
    /// # Errors
    /// The fault it takes.
    pub fn write(&self, core: usize, va: u64, value: u64) -> Result<(), Fault> {
        let mut inner = self.inner.borrow_mut();
        let pa = inner.access(core, va, AccessKind::Write)?;
        inner.memory.set_data(pa, value);
        Ok(())
    }

    /// An instruction fetch.
    ///
    /// # Errors
    /// The fault it takes.
    pub fn fetch(&self, core: usize, va: u64) -> Result<(), Fault> {
        let mut inner = self.inner.borrow_mut();
        inner.access(core, va, AccessKind::Execute).map(drop)
    }
}

impl Inner {
    /// Something happens by itself, or nothing.
    fn stir(&mut self) {
        if self.quiet {
            return;
        }
        if self.chance.is_exhaustive() {
            self.stir_once();
            return;
        }
        for core in 0..self.cores.len() {
            while self.chance.inclined(Urge::Drain) && self.drain(core) {}
            while self.chance.inclined(Urge::Apply) && self.apply(core) {}
            if !self.watched.is_empty() && self.chance.inclined(Urge::Speculate) {
                let any = self.watched[self.chance.pick(self.watched.len())];
                let tempting = self.tempting.filter(|_| self.chance.pick(2) == 0);
                self.speculate(core, tempting.unwrap_or(any));
            }
        }
    }

    /// One of all that can happen.
    fn stir_once(&mut self) {
        let mut events: Vec<(Urge, usize, usize)> = Vec::new();
        for core in 0..self.cores.len() {
            events.extend((0..self.memory.ready(core).len()).map(|n| (Urge::Drain, core, n)));
            let watched = if self.walks_left > 0 {
                0..self.watched.len()
            } else {
                0..0
            };
            events.extend(watched.map(|n| (Urge::Speculate, core, n)));
            if !self.cores[core].pending.is_empty() {
                events.push((Urge::Apply, core, 0));
            }
        }
        match self.chance.pick(events.len() + 1).checked_sub(1) {
            None => {}
            Some(n) => match events[n] {
                (Urge::Drain, core, n) => self.memory.arrive(core, self.memory.ready(core)[n]),
                (Urge::Speculate, core, n) => {
                    self.walks_left -= 1;
                    self.speculate(core, self.watched[n]);
                }
                (Urge::Apply, core, _) => drop(self.apply(core)),
            },
        }
    }

    /// A store arrives.
    fn drain(&mut self, core: usize) -> bool {
        let ready = self.memory.ready(core);
        if ready.is_empty() {
            return false;
        }
        let position = ready[self.chance.pick(ready.len())];
        self.memory.arrive(core, position);
        true
    }

    /// A core carries out a TLBI that `issuer` has executed, before it must. Returns whether there
    /// is more to do.
    fn apply(&mut self, issuer: usize) -> bool {
        let count = self.cores[issuer].pending.len();
        if count == 0 {
            return false;
        }
        let (which, on) = (self.chance.pick(count), self.chance.pick(self.cores.len()));
        self.carry_out(issuer, which, on);
        true
    }

    fn carry_out(&mut self, issuer: usize, which: usize, on: usize) {
        let (tlbi, done) = &mut self.cores[issuer].pending[which];
        let (tlbi, reaches) = (*tlbi, tlbi.is_broadcast() || on == issuer);
        if reaches && *done & 1 << on == 0 {
            *done |= 1 << on;
            self.cores[on].invalidate(&tlbi);
        }
    }

    /// A DSB waits for the core's TLBIs; a local one for this core's part.
    fn complete(&mut self, core: usize, local: bool) {
        for which in 0..self.cores[core].pending.len() {
            for on in 0..self.cores.len() {
                if !local || on == core {
                    self.carry_out(core, which, on);
                }
            }
            let (tlbi, _) = self.cores[core].pending[which];
            for on in 0..self.cores.len() {
                if on != core && !local && tlbi.is_broadcast() {
                    self.cores[on].finish(&tlbi);
                }
            }
        }
        self.cores[core]
            .pending
            .retain(|(tlbi, _)| local && tlbi.is_broadcast());
    }

    /// Notes a leaf in a TLB.
    fn fill(&mut self, core: usize, entry: Entry) {
        if self.cores[core].fill(entry) {
            self.conflict.get_or_insert((core, entry.va));
        }
    }
}
