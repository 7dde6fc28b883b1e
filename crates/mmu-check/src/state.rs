//! What the rules know: what every event changes.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use crate::desc::Desc;
use crate::event::{Call, Contract, Event, What};
use crate::ledger::{Ledger, MAX_CORES, Missed, Origin, Owner, PlaceId, STALES, Spot, Walkers};
use crate::spaces::Spaces;
use crate::tables::{Reach, Slot, TableId, Tables};
use crate::tlbi::{Cover, Decoded, Op, Target};

/// TLBIs kept that covered nothing.
const USELESS: usize = 16;

#[derive(Clone, Copy)]
struct Task {
    contract: Contract,
    depth: u32,
    irqs: u32,
    /// On which core it last reported anything, and when.
    heard: Option<(usize, u64)>,
}

const NEW_TASK: Task = Task {
    contract: Contract::EveryExit,
    depth: 0,
    irqs: 0,
    heard: None,
};

/// Everything that was heard, as far as it matters.
#[derive(Default)]
pub(crate) struct State {
    now: u64,
    pub ledger: Ledger,
    pub tables: Tables,
    pub spaces: Spaces,
    tasks: BTreeMap<u16, Task>,
    /// When each core last reported anything.
    heard: [u64; MAX_CORES],
    /// Whose TLBIs covered nothing that was owed: perhaps they came before their store.
    useless: VecDeque<(u16, Decoded, u64)>,
    /// How many others there were.
    useful: u64,
}

impl State {
    /// An event is heard, and not looked at yet: its core and task are where it says.
    pub fn arrive(&mut self, event: &Event) {
        let core = usize::from(event.core);
        self.now += 1;
        let now = self.now;
        self.ledger.start_core(core);
        self.spaces.settle(core, now);
        let before = self.task(event.task).heard.replace((core, now));
        // Where that is another core than before, the task has left that one: what it was about to do there, by
        // its last report, is done. (If others have reported there since, their last report is not its own, and
        // what it was about to do has been settled.)
        if let Some((other, at)) = before
            && other != core
            && self.heard[other] == at
        {
            self.spaces.settle(other, now);
        }
    }

    /// About how many bytes it takes.
    pub fn memory(&self) -> usize {
        self.ledger.memory() + self.tables.memory() + self.spaces.memory()
    }

    fn task(&mut self, task: u16) -> &mut Task {
        self.tasks.entry(task).or_insert(NEW_TASK)
    }

    /// The tasks that were heard of: each with its contract, and how many sections and handlers are open.
    pub fn tasks(&self) -> impl Iterator<Item = (u16, Contract, u32, u32)> {
        let tasks = self.tasks.iter();
        tasks.map(|(id, task)| (*id, task.contract, task.depth, task.irqs))
    }

    /// Whether the task was heard of, and has not ended.
    pub fn has_task(&self, task: u16) -> bool {
        self.tasks.contains_key(&task)
    }

    /// When the core last reported anything.
    pub fn heard(&self, core: usize) -> u64 {
        self.heard[core]
    }

    /// The last TLBIs that covered nothing: task, instruction, operand.
    pub fn useless(&self) -> impl Iterator<Item = (u16, Op, u64)> {
        let useless = self.useless.iter();
        useless.map(|(task, tlbi, operand)| (*task, tlbi.op(), *operand))
    }

    /// Who owes what is stored now: the task, or the interrupt handler on top of it.
    pub fn owner(&self, task: u16) -> Owner {
        let irq = self.tasks.get(&task).is_some_and(|t| t.irqs > 0);
        Owner { task, irq }
    }

    /// How many sections of the task are open, by its calls.
    pub fn depth(&self, task: u16) -> u32 {
        self.tasks.get(&task).map_or(0, |t| t.depth)
    }

    pub fn contract(&self, task: u16) -> Contract {
        self.tasks.get(&task).unwrap_or(&NEW_TASK).contract
    }

    /// How many TLBIs covered something that was owed.
    pub fn useful(&self) -> u64 {
        self.useful
    }

    /// Whether a walker may come to this table, so that its descriptors may be in TLBs: it is linked from a root
    /// that is in use, or was and is not invalidated since; or nobody knows.
    pub fn is_reachable(&self, table: TableId) -> bool {
        self.walkers(table).any != 0
    }

    /// Whose walkers may come to this table.
    fn walkers(&self, table: TableId) -> Walkers {
        let all_if = |reached| match reached {
            true => Walkers::ALL,
            false => Walkers::NONE,
        };
        match self.tables.reach(table) {
            Reach::Yes => Walkers::ALL,
            Reach::Root(root, unseen) if !self.spaces.is_known(root) => all_if(unseen),
            Reach::Root(root, _) => all_if(self.spaces.is_in_use(root)),
            Reach::Unlinked => self.ledger.still_walking(self.tables.frames_upwards(table)),
        }
    }

    /// Whether a walker may come to the descriptor at this physical address, which translates `va`.
    pub fn is_walked(&self, pa: u64, va: u64, level: u8) -> bool {
        let upper_root = level == 0 && va >> 63 != 0;
        let table = self.tables.find(pa & !0xfff);
        upper_root || table.is_none_or(|table| self.is_reachable(table))
    }

    /// Whether what is stored in this frame translates for this core: by a table that is linked. Where the root is not known,
    /// it does.
    pub fn translates_for(&self, va: u64, frame: u64, core: usize) -> bool {
        let Some(table) = self.tables.find(frame) else {
            return true;
        };
        if self.tables.reach(table) == Reach::Unlinked {
            return false;
        }
        let current = self.spaces.current(core).filter(|_| va >> 63 == 0);
        let Some((current, _)) = current else {
            return true;
        };
        !self.tables.has_known_root(table) || self.tables.root(table) == current
    }

    /// The ASIDs under which TLBs may hold what this table translates, and its root. None for the upper half.
    pub fn asids(&self, table: TableId) -> (u64, Vec<u16>) {
        if self.tables.get(table).va >> 63 != 0 {
            return (0, Vec::new());
        }
        let root = self.tables.root(table);
        (root, self.spaces.asids(root).collect())
    }

    /// The event takes effect.
    pub fn apply(&mut self, event: &Event) {
        let (core, now) = (usize::from(event.core), self.now);
        self.change(event, core, now);
        self.heard[core] = now;
    }

    fn change(&mut self, event: &Event, core: usize, now: u64) {
        match event.what {
            What::Store { .. } => self.store(event),
            What::Zero { frame } => {
                let before = self.tables.zero(frame, core);
                self.abandon(before);
            }
            What::Dmb(kind) => {
                if kind.orders_stores() && self.reaches(kind.is_local(), core) {
                    self.tables.order(core, false);
                }
            }
            What::Dsb(kind) => {
                let everywhere = self.reaches(kind.is_local(), core);
                if kind.orders_stores() && everywhere {
                    self.tables.order(core, true);
                    self.ledger.order(core, now);
                } else if kind.orders_stores() {
                    self.ledger.order_own(core, now);
                }
                if kind.completes_tlbi() {
                    self.ledger.complete(core, everywhere, now);
                    self.spaces.complete(core, everywhere);
                }
            }
            What::Isb | What::ExceptionReturn => self.synchronise(event, core, now),
            // It happened at some time after this core's report before. What others have settled since may
            // have come too late for it.
            What::ExceptionEntry => self.synchronise(event, core, self.heard[core] + 1),
            What::Tlbi { op, operand } => self.invalidate(event, op, operand),
            What::Ttbr0 { root, asid } => {
                let (_, moved) = self.tables.slot(root, 0, 0);
                self.abandon(moved);
                if self.spaces.activate(root, asid, core, now) {
                    self.ledger.withdraw_under(root, asid);
                }
            }
            What::IrqEnter => self.task(event.task).irqs += 1,
            What::IrqExit => {
                let irqs = &mut self.task(event.task).irqs;
                *irqs = irqs.saturating_sub(1);
            }
            What::Alloc { frame } => self.tables.allocate(frame, now),
            What::Free { frame } => {
                let before = self.tables.forget(frame);
                self.abandon(before);
                self.tables.release(frame);
                self.spaces.forget(frame);
            }
            What::Contract(contract) => self.task(event.task).contract = contract,
            What::Call(call) => {
                let depth = &mut self.task(event.task).depth;
                match call {
                    Call::Enable => *depth += 1,
                    Call::Disable => *depth = depth.saturating_sub(1),
                    Call::Pause | Call::Resume => {}
                }
            }
            What::TaskEnd => {
                self.tasks.remove(&event.task);
                self.ledger.end_task(event.task);
            }
            // The checker has taken it apart.
            What::Stores { .. } => {}
            What::Policy(_)
            | What::Hook(_)
            | What::Owe
            | What::Reenter { .. }
            | What::Window { .. }
            | What::Switch { .. }
            | What::CoreStart
            | What::Done { .. }
            | What::Access { .. } => {}
        }
    }

    /// Whether a barrier reaches whoever needs it: one for its own core does where no other runs.
    fn reaches(&self, local: bool, core: usize) -> bool {
        !local || self.ledger.is_alone(core)
    }

    fn synchronise(&mut self, event: &Event, core: usize, at: u64) {
        let owner = self.owner(event.task);
        self.ledger.synchronise(core, owner, at);
        self.spaces.synchronise(core);
    }

    /// A table is elsewhere, or none any more.
    fn abandon(&mut self, place: Option<PlaceId>) {
        if let Some(place) = place {
            self.ledger.abandon(place);
        }
    }

    fn spot(&mut self, slot: Slot) -> Spot {
        let table = self.tables.get_mut(slot.table);
        let (frame, level, va) = (table.frame, table.level, table.va);
        let ledger = &mut self.ledger;
        let place = *table
            .place
            .get_or_insert_with(|| ledger.add_place(frame, level, va));
        Spot {
            place,
            index: slot.index,
        }
    }

    fn store(&mut self, event: &Event) {
        let What::Store {
            slot: pa,
            va,
            level,
            old,
            new,
        } = event.what
        else {
            return;
        };
        let core = usize::from(event.core);
        let (slot, moved) = self.tables.slot(pa, va, level);
        self.abandon(moved);
        self.observe_links(slot.table, core);
        let claimed = Desc { bits: old, level };
        let new = Desc { bits: new, level };
        let known = self.tables.get(slot.table).known(slot.index);
        let old = known.unwrap_or(claimed);
        let walkers = self.walkers(slot.table);
        if walkers != Walkers::NONE {
            self.change_reachable(event, slot, old, new);
            if claimed.bits != old.bits && claimed.is_cacheable() {
                self.withdraw(event, slot, claimed, new);
            }
        }
        if old.is_table() {
            self.tables.unlink(slot, old.frame());
        }
        self.tables.store(slot, new, core, self.now);
        if new.is_table() {
            let (table, moved) = self.tables.link(slot, new.frame());
            self.abandon(moved);
            self.restore_below(table);
        }
    }

    /// Who stores behind a link has read it.
    fn observe_links(&mut self, table: TableId, core: usize) {
        let mut link = self.tables.get(table).parent;
        for _ in 0..3 {
            let Some(slot) = link else {
                return;
            };
            let parent = self.tables.get(slot.table);
            link = parent.parent;
            if let Some(place) = parent.place {
                let index = slot.index;
                self.ledger.observe(Spot { place, index }, core);
            }
        }
    }

    fn change_reachable(&mut self, event: &Event, slot: Slot, old: Desc, new: Desc) {
        let kept = new.is_cacheable() && new.translates_like(old);
        if old.is_cacheable() && !kept {
            self.withdraw(event, slot, old, new);
        }
        if !new.is_cacheable() {
            return;
        }
        let spot = self.spot(slot);
        if self.tables.reach(slot.table) == Reach::Unlinked {
            // A walk that goes on may still find it, and nothing else ever will.
            self.withdraw(event, slot, new, old);
            return;
        }
        self.ledger.restore(spot, new);
        if !old.is_cacheable() {
            let origin = Origin::new(event, self.owner(event.task), old);
            self.ledger.publish(spot, origin);
        }
    }

    /// A table that is linked where it was: what TLBs may hold of its descriptors is right again.
    fn restore_below(&mut self, table: TableId) {
        let Some(place) = self.tables.get(table).place else {
            return;
        };
        for index in self.ledger.withdrawn_at(place) {
            let desc = self.tables.get(table).desc(index);
            if desc.is_cacheable() {
                self.ledger.restore(Spot { place, index }, desc);
            }
        }
    }

    /// A descriptor that a TLB may hold is changed, and with a table everything below.
    fn withdraw(&mut self, event: &Event, slot: Slot, old: Desc, new: Desc) {
        let spot = self.spot(slot);
        if !new.is_cacheable() {
            self.ledger.drop_publish(spot);
        }
        let origin = Origin::new(event, self.owner(event.task), old);
        let (root, asids) = self.asids(slot.table);
        let walkers = self.walkers(slot.table);
        let mut gone = Vec::new();
        if old.is_table() {
            let below = &mut |slot, desc| {
                if gone.len() < STALES {
                    gone.push((slot, desc));
                }
            };
            self.tables.below(old.frame(), below);
        }
        self.withdraw_one(slot, old, (root, &asids), (origin, walkers));
        for (slot, old) in gone {
            self.withdraw_one(slot, old, (root, &asids), (origin, walkers));
        }
    }

    fn withdraw_one(
        &mut self,
        slot: Slot,
        old: Desc,
        space: (u64, &[u16]),
        (origin, walkers): (Origin, Walkers),
    ) {
        let spot = self.spot(slot);
        let (root, asids) = space;
        let global = old.is_leaf() && old.is_global();
        let tagged = asids.iter().filter(|_| !global);
        let mut tags: Vec<Option<u16>> = tagged.map(|asid| Some(*asid)).collect();
        if tags.is_empty() {
            tags.push(None);
        }
        for asid in tags {
            let target = Target {
                va: self.tables.get(slot.table).va_of(slot.index),
                pages: old.held_pages(),
                level: old.level,
                table: old.is_table(),
                global,
                asid,
            };
            let early = |(task, tlbi, _): &(u16, Decoded, u64)| {
                *task == origin.owner.task && tlbi.covers(&target) == Cover::Yes
            };
            let missed = self.useless.iter().any(early).then_some(Missed::Early);
            self.ledger
                .withdraw(spot, old, (root, asid), origin, (walkers, missed));
        }
    }

    fn invalidate(&mut self, event: &Event, op: Op, operand: u64) {
        let decoded = &op.decode(operand);
        let core = usize::from(event.core);
        let asid = decoded.whole_asid();
        if decoded.is_everything() || asid.is_some() {
            let broadcast = decoded.is_broadcast();
            self.spaces.flush(core, asid, broadcast, self.now);
        }
        if self.ledger.invalidate(decoded, core) {
            self.useful += 1;
        } else {
            if self.useless.len() == USELESS {
                self.useless.pop_front();
            }
            self.useless.push_back((event.task, *decoded, operand));
        }
    }
}
