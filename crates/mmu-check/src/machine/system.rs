//! Memory and cores together: what instructions do, and what may happen by itself.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::core_state::{Ahead, Core, Issued};
use super::memory::Memory;
use super::tlb::Entry;
use super::walk::{Read, Walk};
use crate::event::{AccessKind, Barrier};
use crate::tlbi::{Decoded, span_pages};

/// Why an access did not work.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Fault {
    /// No valid descriptor.
    Translation,
    /// A descriptor that does not allow it.
    Permission,
}

/// Something that may happen at any time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Happening {
    /// The store at this position of a core's buffer arrives.
    Arrive(usize, usize),
    /// One word of the zeroes at this position arrives.
    ArrivePart(usize, usize, u64),
    /// A core begins to walk for an address that no access has used yet.
    Begin(usize, Walk),
    /// It goes on with a walk.
    GoOn(usize, usize),
    /// A core carries out a TLBI that another, or it itself, has executed: issuer, which, on.
    CarryOut(usize, usize, usize),
}

/// How an access may be translated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// From what is held, or was found ahead of time.
    Found(Option<Entry>),
    /// By a walk from here.
    Walk(Walk),
}

/// Memory and cores.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct System {
    pub memory: Memory,
    pub cores: Vec<Core>,
    /// The root of the upper half.
    ttbr1: u64,
    /// Two translations that a core has held at once and must not.
    pub conflict: Option<(usize, u64)>,
}

/// A system in which a program runs that changes few tables.
pub(super) struct Watch {
    /// Addresses that cores may walk for at any time.
    pub addresses: Vec<u64>,
    /// Frames that the program stores to; a walk that reads another one need not stop there. Every frame, if
    /// nobody says.
    pub changing: Option<BTreeSet<u64>>,
}

impl Watch {
    /// Whether the program may store to this frame.
    fn may_change(&self, frame: u64) -> bool {
        let changing = self.changing.as_ref();
        changing.is_none_or(|changing| changing.contains(&frame))
    }
}

impl System {
    pub fn new(cores: usize, ttbr1: u64) -> Self {
        System {
            memory: Memory::new(cores),
            cores: (0..cores).map(|_| Core::default()).collect(),
            ttbr1,
            conflict: None,
        }
    }

    /// What a core may have in TTBR0.
    fn roots(&self, core: usize) -> impl Iterator<Item = (u64, u16)> {
        let state = &self.cores[core];
        core::iter::once(state.ttbr0).chain(state.ttbr0_before.iter().copied())
    }

    /// Where a core may begin to walk for an address, as far on as nothing can change.
    pub fn beginnings(&self, core: usize, va: u64, watch: &Watch) -> Vec<Walk> {
        let mut all = Vec::new();
        for (root, asid) in self.roots(core) {
            let root = if va >> 63 != 0 { self.ttbr1 } else { root };
            let from_root = Walk::from_root(va, root, asid);
            let tables = self.cores[core].tlb.tables(va, asid);
            let cached = tables.map(|step| Walk::from_step(va, step));
            for mut walk in cached.chain([from_root]) {
                while !watch.may_change(walk.frame())
                    && let Read::Further(step) = walk.read(core, &self.memory)
                {
                    walk = Walk::from_step(va, step);
                }
                if !all.contains(&walk) {
                    all.push(walk);
                }
            }
        }
        all
    }

    /// Everything that may happen by itself now, but for the beginning of a walk.
    pub fn happenings(&self, watch: &Watch) -> Vec<Happening> {
        let mut all = Vec::new();
        for core in 0..self.cores.len() {
            for position in self.memory.ready(core) {
                all.push(Happening::Arrive(core, position));
                if let Some(frame) = self.memory.zeroes_at(core, position) {
                    let words = self.walked_words(frame, watch);
                    let part = |pa| Happening::ArrivePart(core, position, pa);
                    all.extend(words.into_iter().map(part));
                }
            }
            let walks = 0..self.cores[core].walks.len();
            all.extend(walks.map(|walk| Happening::GoOn(core, walk)));
            for (which, issued) in self.cores[core].issued.iter().enumerate() {
                let reached = (0..self.cores.len()).filter(|&on| {
                    issued.done & 1 << on == 0 && (issued.tlbi.is_broadcast() || on == core)
                });
                all.extend(reached.map(|on| Happening::CarryOut(core, which, on)));
            }
        }
        all
    }

    /// The words of a frame that a walker may read, if it is a table, and that are not zero yet.
    pub fn walked_words(&self, frame: u64, watch: &Watch) -> BTreeSet<u64> {
        let words = watch.addresses.iter().flat_map(|va| {
            let index = move |level| (va / (span_pages(level) << 12)) & 0x1ff;
            (0..4).map(move |level| frame + 8 * index(level))
        });
        words.filter(|pa| self.memory.word(*pa) != 0).collect()
    }

    /// It happens.
    pub fn happen(&mut self, happening: Happening, watch: &Watch) {
        match happening {
            Happening::Arrive(core, position) => self.memory.arrive(core, position),
            Happening::ArrivePart(core, position, pa) => {
                self.memory.arrive_part(core, position, pa);
            }
            Happening::Begin(core, walk) => self.go_on(core, walk, watch),
            Happening::GoOn(core, which) => {
                let walk = self.cores[core].walks.remove(which);
                self.go_on(core, walk, watch);
            }
            Happening::CarryOut(issuer, which, on) => self.carry_out(issuer, which, on),
        }
    }

    /// Reads one descriptor, and those behind it that cannot change.
    fn go_on(&mut self, core: usize, mut walk: Walk, watch: &Watch) {
        loop {
            match self.read_descriptor(core, walk, watch) {
                Ok(further) => walk = further,
                Err(entry) => {
                    let (va, asid) = (walk.va, walk.asid);
                    return self.cores[core].keep(Ahead { va, entry, asid });
                }
            }
            if watch.may_change(walk.frame()) {
                return self.cores[core].walks.push(walk);
            }
        }
    }

    /// A walk reads one descriptor, and the TLB keeps what it may: the walk behind that, or how it ends.
    fn read_descriptor(
        &mut self,
        core: usize,
        walk: Walk,
        watch: &Watch,
    ) -> Result<Walk, Option<Entry>> {
        match walk.read(core, &self.memory) {
            Read::Further(step) => {
                // What cannot change need not be kept: it is found again.
                let kept = watch.may_change(walk.frame()) && !walk.is_outdated;
                if kept && self.cores[core].tlb.cache(step) {
                    self.conflict.get_or_insert((core, step.va));
                }
                Ok(walk.behind(step))
            }
            Read::Leaf(entry) => {
                if !walk.is_outdated {
                    self.fill(core, entry);
                }
                Err(Some(entry))
            }
            Read::Fault => Err(None),
        }
    }

    /// Notes a leaf in a TLB.
    fn fill(&mut self, core: usize, entry: Entry) {
        if self.cores[core].tlb.fill(entry) {
            self.conflict.get_or_insert((core, entry.va));
        }
    }

    fn carry_out(&mut self, issuer: usize, which: usize, on: usize) {
        let Issued { tlbi, done } = &mut self.cores[issuer].issued[which];
        let (tlbi, reaches) = (*tlbi, tlbi.is_broadcast() || on == issuer);
        if reaches && *done & 1 << on == 0 {
            *done |= 1 << on;
            self.cores[on].invalidate(&tlbi);
        }
    }

    /// A TLBI is executed.
    pub fn tlbi(&mut self, core: usize, tlbi: Decoded) {
        self.cores[core].issued.push(Issued { tlbi, done: 0 });
    }

    /// A DMB. Behind one for all accesses a load waits until what this core has stored can be loaded by all.
    pub fn dmb(&mut self, core: usize, kind: Barrier) {
        match kind {
            Barrier::Ish | Barrier::Sy => self.memory.full_fence(core),
            Barrier::Ishst | Barrier::St => self.memory.fence(core),
            // For this core alone, which sees its own accesses in order. Its walker does not.
            Barrier::Nsh | Barrier::Nshst => self.memory.own_fence(core),
            Barrier::Ishld => {}
        }
    }

    /// A DSB. A local one waits until the core's own walker sees its stores, and not for what other cores have to do.
    pub fn dsb(&mut self, core: usize, kind: Barrier) {
        match kind.orders_stores() {
            true if kind.is_local() => self.memory.show_own(core),
            true => self.memory.arrive_all(core),
            false => {}
        }
        if kind.completes_tlbi() {
            self.complete(core, kind.is_local());
        }
    }

    /// A DSB waits for the core's TLBIs; a local one for this core's part.
    fn complete(&mut self, core: usize, local: bool) {
        for which in 0..self.cores[core].issued.len() {
            for on in 0..self.cores.len() {
                if !local || on == core {
                    self.carry_out(core, which, on);
                }
            }
            let tlbi = self.cores[core].issued[which].tlbi;
            let others = (0..self.cores.len()).filter(|&on| on != core);
            for on in others.filter(|_| !local && tlbi.is_broadcast()) {
                self.cores[on].finish(&tlbi);
                self.memory.arrive_through(on, &tlbi);
            }
        }
        let open = |issued: &Issued| local && issued.tlbi.is_broadcast();
        self.cores[core].issued.retain(open);
    }

    /// TTBR0 is written. Until a context synchronisation any that it had may be used.
    pub fn set_ttbr0(&mut self, core: usize, root: u64, asid: u16) {
        let state = &mut self.cores[core];
        let before = core::mem::replace(&mut state.ttbr0, (root, asid));
        if let Err(place) = state.ttbr0_before.binary_search(&before) {
            state.ttbr0_before.insert(place, before);
        }
    }

    /// The ways to translate an access that really happens, none twice.
    pub fn ways(&self, core: usize, va: u64, kind: AccessKind, watch: &Watch) -> Vec<Way> {
        let (state, page) = (&self.cores[core], va & !0xfff);
        let mut ways = Vec::new();
        let mut add = |way| {
            if !ways.contains(&way) {
                ways.push(way);
            }
        };
        for (_, asid) in self.roots(core) {
            let same = |ahead: &&Ahead| match ahead.entry {
                Some(entry) => entry.translates(va, asid),
                None => ahead.va & !0xfff == page && (va >> 63 != 0 || ahead.asid == asid),
            };
            let ahead = state.ahead.iter().filter(same);
            ahead.for_each(|ahead| add(Way::Found(ahead.entry)));
            let held = state.tlb.leaves(va, asid);
            held.for_each(|entry| add(Way::Found(Some(entry))));
            let fetched = state
                .fetched
                .iter()
                .filter(|entry| kind == AccessKind::Execute && entry.translates(va, asid));
            fetched.for_each(|entry| add(Way::Found(Some(*entry))));
            let begun = state
                .walks
                .iter()
                .filter(|walk| walk.va & !0xfff == page && (va >> 63 != 0 || walk.asid == asid));
            begun.for_each(|walk| add(Way::Walk(*walk)));
        }
        let begun = self.beginnings(core, va, watch);
        begun.into_iter().for_each(|walk| add(Way::Walk(walk)));
        ways
    }

    /// Translates an access in this way: what AT returns too.
    pub fn translate(
        &mut self,
        core: usize,
        va: u64,
        kind: AccessKind,
        way: Way,
        watch: &Watch,
    ) -> Result<(u64, Entry), Fault> {
        let entry = match way {
            Way::Found(entry) => entry,
            Way::Walk(walk) => self.walk_through(core, walk, watch),
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
        let pa = entry.desc.frame() + (va & (entry.desc.size() - 1));
        Ok((pa, entry))
    }

    fn walk_through(&mut self, core: usize, mut walk: Walk, watch: &Watch) -> Option<Entry> {
        loop {
            match self.read_descriptor(core, walk, watch) {
                Ok(further) => walk = further,
                Err(entry) => return entry,
            }
        }
    }

    /// A load of data, translated in this way.
    pub fn read(&mut self, core: usize, va: u64, way: Way, watch: &Watch) -> Result<u64, Fault> {
        let (pa, _) = self.translate(core, va, AccessKind::Read, way, watch)?;
        Ok(self.memory.load(core, pa))
    }

    /// A store of data, translated in this way. It is on its way then, whatever becomes of the translation.
    pub fn write(
        &mut self,
        core: usize,
        va: u64,
        value: u64,
        way: Way,
        watch: &Watch,
    ) -> Result<(), Fault> {
        let (pa, entry) = self.translate(core, va, AccessKind::Write, way, watch)?;
        self.memory.store(core, pa, value, Some(entry.target()));
        Ok(())
    }
}
