//! What the rules know, as events that leave a new automaton knowing the same.
//!
//! Debts are kept with when they were made and by whom, and with what has been done about them since. So this is for
//! a moment when nothing is owed but context synchronisation: the tables as they are, then a DSB and
//! an ISB of every core, then what was published since some core's last synchronisation, each in its place.
//! Between are the frames in use: a descriptor made for a frame since that was allocated is its owner's, one from
//! before is not.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::event::{Barrier, Call, Event, What};
use crate::ledger::{Owner, Publish};
use crate::state::State;
use crate::tables::{Contents, Slot, Table, TableId};

/// What is owed apart from context synchronisation, or cannot be said in events yet.
pub(crate) fn owed(state: &State) -> Option<&'static str> {
    let State {
        ledger,
        tables,
        spaces,
        ..
    } = state;
    if !ledger.none_is_stale() {
        return Some("an invalidation is not complete");
    }
    if !ledger.all_are_visible() || !tables.are_ordered() {
        return Some("no DSB has followed a store");
    }
    let mut cores = ledger.running();
    if !spaces.are_settled() || cores.any(|core| spaces.written(core) > ledger.core_synced(core)) {
        return Some("a core may not have left what its TTBR0 had");
    }
    let mut unused = spaces.unused();
    let unzeroed = |root| tables.contents(root) == Contents::Unknown;
    if tables.has_unzeroed_and_unlinked() || unused.any(unzeroed) {
        return Some("a table whose zeroing was not seen was taken out of use and not freed");
    }
    if !tables.are_a_tree() {
        return Some("a table is linked in two places, or was freed while it is linked");
    }
    // Where every core has synchronised with everything, nothing is in between.
    ledger.visible().next()?;
    let synced: Vec<u64> = ledger
        .running()
        .map(|core| ledger.core_synced(core))
        .collect();
    let own = tables.own_pages();
    // Of a core that was in an exception's entry just then, of a block, and of a mapping that is older than its
    // frame's allocation, the place in the order cannot be said.
    let in_between = |(at, publish): (u64, &Publish)| {
        let Some((slot, table)) = find(state, publish) else {
            return false;
        };
        let desc = table.desc(slot.index);
        // By a DSB of its own a core may have synchronised with it before the others could.
        let storing = usize::from(publish.origin.core);
        let last = ledger.core_synced(storing);
        let early = publish.visible_to(storing).is_some_and(|own| own < last) && last <= at;
        let older = tables.is_in_use(desc.frame()) && !own.contains(&slot);
        early || synced.contains(&at) || desc.is_leaf() && (desc.level < 3 || older)
    };
    ledger
        .visible()
        .any(in_between)
        .then_some("a core has not synchronised its context with a mapping")
}

/// The descriptor that was published.
fn find<'a>(state: &'a State, publish: &Publish) -> Option<(Slot, &'a Table)> {
    let What::Store { slot: pa, .. } = state.ledger.made_by(publish).what else {
        return None;
    };
    let table = state.tables.find(pa & !0xfff)?;
    let index = (pa >> 3 & 0x1ff) as u16;
    Some((Slot { table, index }, state.tables.get(table)))
}

/// Describes the state, of which nothing is [`owed`].
pub(crate) fn describe(state: &State, say: &mut dyn FnMut(Event)) {
    let heard_last = state.ledger.running().max_by_key(|core| state.heard(*core));
    let Some(core) = heard_last else {
        return;
    };
    let publishers = state.ledger.visible();
    let publishers: BTreeSet<u16> = publishers
        .map(|(_, known)| known.origin.owner.task)
        .collect();
    let is_free = |task: &u16| !state.has_task(*task) && !publishers.contains(task);
    let mut description = Description {
        state,
        say,
        core,
        nobody: (0..=u16::MAX).rev().find(is_free).unwrap_or(u16::MAX),
        sequence: 0,
    };
    description.cores();
    description.spaces();
    description.tables();
    description.barriers();
    description.publications();
    description.tasks();
}

struct Description<'a> {
    state: &'a State,
    say: &'a mut dyn FnMut(Event),
    /// The core that was heard of last: so its reports here are no later than its last one was.
    core: usize,
    /// A task that there is not, for what is nobody's.
    nobody: u16,
    sequence: u32,
}

impl Description<'_> {
    fn say(&mut self, core: usize, task: u16, what: What) {
        (self.say)(Event {
            sequence: self.sequence,
            time: 0,
            core: core as u8,
            task,
            what,
        });
        self.sequence = self.sequence.wrapping_add(1);
    }

    /// Nobody does.
    fn say_on(&mut self, core: usize, what: What) {
        self.say(core, self.nobody, what);
    }

    fn say_here(&mut self, what: What) {
        self.say_on(self.core, what);
    }

    /// In the task, or in a handler on top of it.
    fn say_as(&mut self, owner: Owner, core: usize, what: What) {
        if owner.irq {
            self.say(core, owner.task, What::IrqEnter);
        }
        self.say(core, owner.task, what);
        if owner.irq {
            self.say(core, owner.task, What::IrqExit);
        }
    }

    fn running(&self) -> Vec<usize> {
        self.state.ledger.running().collect()
    }

    /// Who runs, and the TLBIs that came too early for what they may have been meant for.
    fn cores(&mut self) {
        for core in self.running() {
            self.say_on(core, What::CoreStart);
        }
        for (task, op, operand) in self.state.useless() {
            self.say(self.core, task, What::Tlbi { op, operand });
        }
        let tasks = self.state.useless().map(|(task, ..)| task);
        self.end(tasks.collect());
    }

    fn store(&mut self, slot: Slot) {
        let nobody = Owner {
            task: self.nobody,
            irq: false,
        };
        self.store_as(slot, nobody, self.core);
    }

    fn store_as(&mut self, slot: Slot, owner: Owner, core: usize) {
        let table = self.state.tables.get(slot.table);
        let what = What::Store {
            slot: table.pa_of(slot.index),
            va: table.va_of(slot.index),
            level: table.level,
            old: 0,
            new: table.desc(slot.index).bits,
        };
        self.say_as(owner, core, what);
    }

    /// The tables and what is in them, and the frames in use between.
    fn tables(&mut self) {
        let tables = &self.state.tables;
        let mut ids = tables.in_order();
        // The root of the upper half is the one that was stored to last.
        ids.sort_by_key(|id| tables.is_upper(*id));
        for &id in &ids {
            let table = tables.get(id);
            if table.contents != Contents::Unknown {
                self.say_here(What::Zero { frame: table.frame });
            }
        }
        let published: BTreeSet<Slot> = self
            .state
            .ledger
            .visible()
            .filter_map(|(_, publish)| Some(find(self.state, publish)?.0))
            .collect();
        let own = tables.own_pages();
        let blocks = tables.blocks();
        for &id in &ids {
            for slot in self.described(id) {
                let later = published.contains(&slot) || own.contains(&slot);
                if !later && !blocks.contains_key(&slot) {
                    self.store(slot);
                }
            }
        }
        let frames = tables.frames_in_use().map(|(at, frame)| (at, Err(frame)));
        let blocks = blocks.iter().map(|(slot, made)| (*made, Ok(*slot)));
        let mut made: Vec<(u64, Result<Slot, u64>)> = frames.chain(blocks).collect();
        made.sort();
        for (_, made) in made {
            match made {
                Ok(block) => self.store(block),
                Err(frame) => self.say_here(What::Alloc { frame }),
            }
        }
        let mut own: Vec<Slot> = own.difference(&published).copied().collect();
        own.sort_by_key(|slot| tables.get(slot.table).pa_of(slot.index));
        for slot in own {
            self.store(slot);
        }
    }

    /// The descriptors of a table that say something: those that are not zero, as far as they are known; of one that was
    /// not zeroed the zeroes too; and where nothing else says at which level an empty table is, its first.
    fn described(&self, id: TableId) -> Vec<Slot> {
        let table = self.state.tables.get(id);
        let is_zeroed = table.contents != Contents::Unknown;
        let known = (0..512).filter(|index| {
            let known = table.known(*index);
            known.is_some_and(|desc| desc.bits != 0 || !is_zeroed)
        });
        let mut described: Vec<u16> = known.collect();
        if described.is_empty() && is_zeroed && table.level <= 3 && table.parent.is_none() {
            described.push(0);
        }
        let slot = |index| Slot { table: id, index };
        described.into_iter().map(slot).collect()
    }

    /// All of that is everywhere.
    fn barriers(&mut self) {
        self.say_here(What::Dsb(Barrier::Ish));
        for core in self.running() {
            self.say_on(core, What::Isb);
        }
    }

    /// What each core's TTBR0 has, and what its TLB may hold of what it had.
    fn spaces(&mut self) {
        let spaces = &self.state.spaces;
        let current = |core| Some((core, spaces.current(core)?));
        let mut all: Vec<_> = self.running().into_iter().filter_map(current).collect();
        all.sort_by_key(|(_, current)| spaces.has(*current));
        for (core, current) in all {
            for (root, asid) in spaces.cached_before(core).chain([current]) {
                self.say_on(core, What::Ttbr0 { root, asid });
            }
            self.say_on(core, What::Isb);
            // It is heard of behind the ISB, so it has left the others.
            self.say_on(core, What::CoreStart);
            // A root that was freed all the same is nobody's.
            if !spaces.has(current) {
                self.say_on(core, What::Free { frame: current.0 });
            }
        }
    }

    /// What some core has not synchronised with, and each core's and task's last synchronisation and each core's last report,
    /// in the order of all that.
    fn publications(&mut self) {
        let ledger = &self.state.ledger;
        let visible: Vec<(u64, &Publish)> = ledger.visible().collect();
        let mut groups = visible.chunk_by(|a, b| a.0 == b.0).peekable();
        let synced = |core: &usize| ledger.core_synced(*core);
        while let Some(group) = groups.next() {
            let here = group[0].0;
            let next = groups.peek().map_or(u64::MAX, |group| group[0].0);
            self.publish(group);
            let is_here = |at: u64| here <= at && at < next;
            for (owner, _) in ledger.owners_synced().filter(|(_, at)| is_here(*at)) {
                // Any core that has done so since these were published: the next ones are behind that.
                let core = ledger.running().find(|core| synced(core) >= here);
                self.say_as(owner, core.unwrap_or(self.core), What::Isb);
            }
            for core in self.running() {
                if is_here(synced(&core)) {
                    self.say_on(core, What::Isb);
                }
                if is_here(self.state.heard(core)) {
                    self.say_on(core, What::CoreStart);
                }
            }
        }
    }

    /// These became visible at once.
    fn publish(&mut self, group: &[(u64, &Publish)]) {
        let mut cores = BTreeSet::new();
        for (_, publish) in group {
            let core = usize::from(publish.origin.core);
            cores.insert(core);
            if let Some((slot, _)) = find(self.state, publish) {
                self.store_as(slot, publish.origin.owner, core);
            }
        }
        for core in cores {
            self.say_on(core, What::Dsb(Barrier::Ishst));
        }
        // Another task may have the number by now.
        let ledger = &self.state.ledger;
        let ended = group
            .iter()
            .filter(|(at, known)| ledger.last_visible(known.origin.owner) < *at);
        self.end(ended.map(|(_, known)| known.origin.owner.task).collect());
    }

    fn end(&mut self, tasks: BTreeSet<u16>) {
        for task in tasks {
            self.say(self.core, task, What::TaskEnd);
        }
    }

    /// Contracts, and sections and handlers that are open.
    fn tasks(&mut self) {
        for (task, contract, sections, handlers) in self.state.tasks() {
            self.say(self.core, task, What::Contract(contract));
            for _ in 0..sections {
                self.say(self.core, task, What::Call(Call::Enable));
            }
            for _ in 0..handlers {
                self.say(self.core, task, What::IrqEnter);
            }
        }
        self.say_here(What::TaskEnd);
    }
}
