//! A machine for tests of page-table code on the host: tables in memory, walkers that see stores
//! late, TLBs and walk caches that keep every entry until it is invalidated.
//!
//! It guarantees no more than the architecture does. [`Model::access`] returns *every* outcome that
//! a core may see, and a test expects exactly one:
//!
//! - a walker sees a store, or what was there before, until a DSB; the storing core also until its
//!   next ISB;
//! - a TLB keeps what an access has loaded until a TLBI that names it has been completed by `dsb
//!   ish`, on the core that issued it by `isb`; and a TLBI before the store is visible may as well
//!   not have been: the old descriptor is loaded again;
//! - walk caches lead into tables that were unlinked, and freed, until a TLBI that is not
//!   last-level-only;
//! - TLBI operands are decoded here from their bits, not taken from the code that composed them.
//!
//! What it does not model: reordering between loads, other cores' missing ISBs, several storing
//! cores at the same instant.
//!
//! [`Sabotage`] leaves one step out of the protocol that [`Mmu`] describes, to show that a test
//! fails without it.

mod tlb;

use std::boxed::Box;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::vec;
use std::vec::Vec;

use crate::addr::{Asid, ENTRIES, Frame, Half, Level, Pa, Pages, Va};
use crate::debt::{Debt, Done};
use crate::desc::{Desc, Kind, Prot, needs_break};
use crate::mmu::{Edited, Mmu, NoFrame, Slots, Step};
use crate::space::Space;
use crate::tlbi::{Features, Tlbi};
use tlb::{Core, excludes};

/// Where the model's table frames begin.
const TABLES: u64 = 0x4000_0000;
/// A word of a frame that is not a table (any more): a valid page or block descriptor nobody
/// stored.
const GARBAGE: u64 = 0x0000_dead_d000_0703;

/// One step left out of the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sabotage {
    /// No `dmb ishst` between zeroing a table and linking it.
    NoDmbBeforeLink,
    /// No `dsb ishst` to publish.
    NoDsbInPair,
    /// No `isb` after it.
    NoIsbInPair,
    /// No `dsb ishst` before the TLBIs.
    NoDsbBeforeTlbi,
    /// No TLBI.
    NoTlbi,
    /// TLBIs for this core only.
    LocalTlbi,
    /// The TLBIs drop last-level entries only.
    LeafOnlyTlbi,
    /// No `dsb ish` after the TLBIs.
    NoDsbAfterTlbi,
    /// No `isb` at the end.
    NoIsbAfterTlbi,
}

/// What happened, in program order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A descriptor was stored.
    Store {
        /// The level of its table.
        level: Level,
        /// The first address it translates.
        va: Va,
        /// What was there.
        old: Desc,
        /// What is there now.
        new: Desc,
    },
    /// `dmb ishst`.
    Dmb,
    /// `dsb ishst`.
    DsbIshst,
    /// `dsb ish`.
    DsbIsh,
    /// `isb`.
    Isb,
    /// A TLB invalidation.
    Tlbi(Tlbi),
    /// A table was allocated and zeroed.
    Alloc(Frame),
    /// A table was freed.
    Free(Frame),
}

/// What an access may see.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Seen {
    /// A translation fault.
    Fault,
    /// This frame, with this memory type and these permissions.
    Page(Frame, Prot),
    /// A walk through a table that was freed, or that was never zeroed.
    Garbage,
}

struct Table {
    words: Box<[u64; ENTRIES]>,
    live: bool,
    level: Level,
    /// The first address that it translates.
    start: Va,
}

/// Values that a walker may still see in a word.
type Stale = HashMap<(Frame, usize), Vec<u64>>;

struct State {
    tables: Vec<Table>,
    free: Vec<Frame>,
    /// Tables that may still be allocated.
    room: usize,
    /// Not yet completed by a DSB: any core may see them.
    stale: Stale,
    /// Completed, but the storing core has not synchronized: it may see them.
    unsynced: Stale,
    cores: Vec<Core>,
    log: Option<Vec<Event>>,
    conflicts: Vec<Va>,
}

/// The machine. One thread uses it; [`Model::run_on`] says as which core.
pub struct Model {
    state: RefCell<State>,
    features: Features,
    core: Cell<usize>,
    sabotage: Cell<Option<Sabotage>>,
    defer: Cell<bool>,
    pending: Cell<bool>,
    in_use: Cell<Option<Pages>>,
}

impl Model {
    /// A machine of `cores` cores (at least 1) with these features.
    pub fn new(cores: usize, features: Features) -> Self {
        let state = State {
            tables: Vec::new(),
            free: Vec::new(),
            room: usize::MAX,
            stale: HashMap::new(),
            unsynced: HashMap::new(),
            cores: (0..cores.max(1)).map(|_| Core::default()).collect(),
            log: None,
            conflicts: Vec::new(),
        };
        Self {
            state: RefCell::new(state),
            features,
            core: Cell::new(0),
            sabotage: Cell::new(None),
            defer: Cell::new(false),
            pending: Cell::new(false),
            in_use: Cell::new(None),
        }
    }

    /// A new space; its root is published.
    pub fn space(&self, half: Half) -> Space<'_, Model> {
        let mut state = self.state.borrow_mut();
        let root = state.allocate(true, Level::L0, Pages::whole(half).start());
        drop(state);
        Space::new(self, root, half)
    }

    /// Which core executes from now on (with the context synchronization of a task switch). Out of
    /// range counts as the last.
    pub fn run_on(&self, core: usize) {
        self.state.borrow_mut().unsynced.clear();
        self.core.set(core.min(self.state.borrow().cores.len() - 1));
    }

    /// Leaves out a step from now on.
    pub fn sabotage(&self, what: Option<Sabotage>) {
        self.sabotage.set(what);
    }

    /// Whether [`Mmu::owe`] only sets a pending flag, as inside a lazy MMU section.
    pub fn defer(&self, on: bool) {
        self.defer.set(on);
    }

    /// Whether a pair is pending.
    pub fn is_pending(&self) -> bool {
        self.pending.get()
    }

    /// Pays the pending pair, as at the end of a lazy MMU section.
    pub fn flush(&self) {
        if self.pending.replace(false) {
            self.publish();
        }
    }

    /// The pages that may not be broken, from now on.
    pub fn keep(&self, pages: Option<Pages>) {
        self.in_use.set(pages);
    }

    /// Lets only `n` more tables be allocated.
    pub fn limit_tables(&self, n: usize) {
        self.state.borrow_mut().room = n;
    }

    /// Tables in use, roots included.
    pub fn tables(&self) -> usize {
        let state = self.state.borrow();
        state.tables.len() - state.free.len()
    }

    /// Starts recording, or returns what was recorded since and goes on.
    pub fn events(&self) -> Vec<Event> {
        self.state
            .borrow_mut()
            .log
            .replace(Vec::new())
            .unwrap_or_default()
    }

    /// Where a descriptor was stored that a core holds in its TLB, or may load, in another form:
    /// break-before-make was not kept, or W^X was not, when one of the two is writable and the other
    /// executable. Right for one space in each half: ASIDs are not compared.
    pub fn conflicts(&self) -> Vec<Va> {
        self.state.borrow().conflicts.clone()
    }

    /// Everything that an access by `core` to `va` may see, in order and without repetition. The
    /// TLB and the walk caches of that core hold it afterwards.
    pub fn access(&self, core: usize, space: &Space<'_, Model>, va: Va) -> Vec<Seen> {
        let mut state = self.state.borrow_mut();
        let mut seen = BTreeSet::new();
        let own = core == self.core.get();
        let tag = match space.half() {
            Half::Upper => None,
            Half::Lower(asid) => Some(asid),
        };
        if Pages::one(Level::L3.floor(va)).is_ok_and(|page| space.half().holds(page)) {
            for leaf in state.cores[core].leaves(va, tag) {
                seen.insert(state.outcome(leaf, va));
            }
            let mut from = state.cores[core].tables(va, tag);
            from.push((space.root(), Level::L0));
            for (table, level) in from {
                state.descend(core, own, tag, table, level, va, &mut seen);
            }
        } else {
            seen.insert(Seen::Fault);
        }
        seen.into_iter().collect()
    }

    fn log(&self, event: Event) {
        if let Some(log) = &mut self.state.borrow_mut().log {
            log.push(event);
        }
    }

    fn without(&self, what: Sabotage) -> bool {
        self.sabotage.get() == Some(what)
    }

    fn dsb(&self, event: Event) {
        self.log(event);
        self.state.borrow_mut().complete();
    }

    fn isb(&self) {
        self.log(Event::Isb);
        let mut state = self.state.borrow_mut();
        state.unsynced.clear();
        state.cores[self.core.get()].synchronize();
    }

    fn publish(&self) {
        if !self.without(Sabotage::NoDsbInPair) {
            self.dsb(Event::DsbIshst);
        }
        if !self.without(Sabotage::NoIsbInPair) {
            self.isb();
        }
    }

    fn tlbi(&self, op: Tlbi) {
        self.log(Event::Tlbi(op));
        let mut state = self.state.borrow_mut();
        let State { cores, stale, .. } = &mut *state;
        for (number, core) in cores.iter_mut().enumerate() {
            if number == self.core.get() || !self.without(Sabotage::LocalTlbi) {
                core.invalidate(
                    op,
                    self.features,
                    stale,
                    self.without(Sabotage::LeafOnlyTlbi),
                );
            }
        }
    }
}

impl Mmu for Model {
    type Table = Frame;

    fn read(&self, table: Frame, index: usize) -> Desc {
        let state = self.state.borrow();
        let table = state.table(table);
        assert!(table.live, "a freed table is read");
        Desc::from_bits(table.words[index])
    }

    fn child(&self, frame: Frame) -> Frame {
        frame
    }

    fn frame(&self, table: Frame) -> Frame {
        table
    }

    fn edit(&self, slots: Slots<Frame>, mut f: impl FnMut(Desc) -> Step) -> Edited {
        assert!(
            !slots.at.is_empty() && slots.at.end <= ENTRIES,
            "slots out of range"
        );
        assert_eq!(
            slots.at.start,
            slots.level.index(slots.va),
            "slots and address disagree"
        );
        let mut edited = Edited {
            passed: 0,
            skipped: 0,
        };
        for (n, index) in slots.at.clone().enumerate() {
            let old = self.read(slots.table, index);
            match f(old) {
                Step::Store(new) => {
                    let va = Va::new(slots.va.raw().wrapping_add(n as u64 * slots.level.size()));
                    let mut state = self.state.borrow_mut();
                    state.store(slots.table, index, new, slots.level, va);
                    if let Some(log) = &mut state.log {
                        log.push(Event::Store {
                            level: slots.level,
                            va,
                            old,
                            new,
                        });
                    }
                }
                Step::Skip => edited.skipped += 1,
                Step::Stop => break,
            }
            edited.passed += 1;
        }
        edited
    }

    fn may_break(&self, pages: Pages) -> bool {
        self.in_use.get().is_none_or(|kept| !kept.overlaps(pages))
    }

    fn link(&self, table: Frame, level: Level, index: usize, va: Va) -> Result<Frame, NoFrame> {
        let new = {
            let mut state = self.state.borrow_mut();
            if state.room == 0 {
                return Err(NoFrame);
            }
            state.room -= 1;
            let below = level.next().expect("a table is linked at the last level");
            let ordered = !self.without(Sabotage::NoDmbBeforeLink);
            state.allocate(ordered, below, level.floor(va))
        };
        self.log(Event::Alloc(new));
        if !self.without(Sabotage::NoDmbBeforeLink) {
            self.log(Event::Dmb);
        }
        let va = level.floor(va);
        self.edit(
            Slots {
                table,
                level,
                at: index..index + 1,
                va,
            },
            |_| Step::Store(Desc::table(new)),
        );
        Ok(new)
    }

    fn owe(&self) {
        if self.defer.get() {
            self.pending.set(true)
        } else {
            self.publish()
        }
    }

    fn invalidate(&self, debt: &mut Debt) -> Done {
        if !self.without(Sabotage::NoDsbBeforeTlbi) {
            self.dsb(Event::DsbIshst);
        }
        if !self.without(Sabotage::NoTlbi) {
            debt.ops(self.features).for_each(|op| self.tlbi(op));
        }
        if !self.without(Sabotage::NoDsbAfterTlbi) {
            self.dsb(Event::DsbIsh);
            let own = self.core.get();
            let mut state = self.state.borrow_mut();
            state
                .cores
                .iter_mut()
                .enumerate()
                .for_each(|(n, core)| core.complete(n == own));
        }
        if !self.without(Sabotage::NoIsbAfterTlbi) {
            self.isb();
        }
        debt.done()
    }

    fn free_table(&self, table: Frame, _: &Done) {
        self.log(Event::Free(table));
        let mut state = self.state.borrow_mut();
        let place = state.table_mut(table);
        assert!(place.live, "a table is freed twice");
        (place.live, *place.words) = (false, [GARBAGE; ENTRIES]);
        state.stale.retain(|word, _| word.0 != table);
        state.unsynced.retain(|word, _| word.0 != table);
        state.free.push(table);
    }
}

fn number(frame: Frame) -> usize {
    usize::try_from((frame.pa().raw() - TABLES) >> 12).unwrap_or(usize::MAX)
}

impl State {
    fn table(&self, frame: Frame) -> &Table {
        &self.tables[number(frame)]
    }

    fn table_mut(&mut self, frame: Frame) -> &mut Table {
        &mut self.tables[number(frame)]
    }

    /// A zeroed table of `level`, from `start` on. Unless its zeroes are `ordered` before what follows, a walker that sees the
    /// link may not see them.
    fn allocate(&mut self, ordered: bool, level: Level, start: Va) -> Frame {
        let frame = self.free.pop().unwrap_or_else(|| {
            let pa = Pa::new(TABLES + self.tables.len() as u64 * 4096);
            self.tables.push(Table {
                words: Box::new([GARBAGE; ENTRIES]),
                live: false,
                level,
                start,
            });
            Frame::containing(pa.unwrap_or_default())
        });
        for index in (0..ENTRIES).filter(|_| !ordered) {
            self.stale.insert((frame, index), vec![GARBAGE]);
        }
        let place = self.table_mut(frame);
        (place.live, *place.words) = (true, [0; ENTRIES]);
        (place.level, place.start) = (level, start);
        frame
    }

    fn store(&mut self, table: Frame, index: usize, new: Desc, level: Level, va: Va) {
        let place = self.table_mut(table);
        let there = place.start.raw() + index as u64 * level.size();
        assert_eq!(
            (level, va.raw()),
            (place.level, there),
            "a store is said to be elsewhere than it is"
        );
        let word = &mut place.words[index];
        let old = core::mem::replace(word, new.bits());
        let walkers = [&self.stale, &self.unsynced];
        let seen = walkers.into_iter().filter_map(|s| s.get(&(table, index)));
        let seen = seen.flatten().copied().chain([old]).map(Desc::from_bits);
        // What a walker still sees, a TLB may hold at any moment.
        let may_load = |desc: Desc| {
            needs_break(level, desc, new)
                || desc.is_leaf(level) && new.is_leaf(level) && excludes(desc, new)
        };
        let loadable = seen.into_iter().any(may_load);
        let held = |core: &Core| core.contradicts(new, level, va);
        let contradicted = new.is_valid() && (loadable || self.cores.iter().any(held));
        self.stale.entry((table, index)).or_default().push(old);
        if contradicted {
            self.conflicts.push(va);
        }
    }

    /// A DSB: every walker sees every store.
    fn complete(&mut self) {
        for (word, values) in self.stale.drain() {
            self.unsynced.entry(word).or_default().extend(values);
        }
    }

    fn outcome(&self, (level, desc): (Level, Desc), va: Va) -> Seen {
        let into = (va.raw() & (level.size() - 1)) >> 12;
        match desc.frame(level).checked_add(into) {
            Some(frame) => Seen::Page(frame, desc.prot()),
            None => Seen::Garbage,
        }
    }

    /// Every way that a walk from `table` may go.
    #[allow(clippy::too_many_arguments, reason = "the state of a walk")]
    fn descend(
        &mut self,
        core: usize,
        own: bool,
        tag: Option<Asid>,
        table: Frame,
        level: Level,
        va: Va,
        seen: &mut BTreeSet<Seen>,
    ) {
        let word = (table, level.index(va));
        let place = self.table(table);
        if !place.live {
            seen.insert(Seen::Garbage);
            return;
        }
        let mut values = vec![place.words[word.1]];
        values.extend(self.stale.get(&word).into_iter().flatten());
        values.extend(
            self.unsynced
                .get(&word)
                .into_iter()
                .flatten()
                .filter(|_| own),
        );
        for value in values {
            let desc = Desc::from_bits(value);
            match (desc.kind(level), level.next()) {
                _ if value == GARBAGE => drop(seen.insert(Seen::Garbage)),
                (Kind::Table(next), Some(below)) => {
                    self.cores[core].load_table(va, tag, level, word, desc);
                    self.descend(core, own, tag, next, below, va, seen);
                }
                (Kind::Page(_) | Kind::Block(_), _) => {
                    self.cores[core].load_leaf(va, tag, level, word, desc);
                    seen.insert(self.outcome((level, desc), va));
                }
                _ => drop(seen.insert(Seen::Fault)),
            }
        }
    }
}
