//! The ledger: every store that still owes something, and how far its payment has come.
//!
//! | a store that | owes | paid by |
//! |---|---|---|
//! | makes a valid descriptor where none was | to be *published* | a DSB of its core; then a context synchronisation of the core that uses it |
//! | changes or clears one that a TLB may hold | the *invalidation* of what is stale now | a DSB of its core; a TLBI that covers it on every core; a DSB of the core of the TLBI, which then synchronises its context |
//!
//! A descriptor may owe one publication, and an invalidation for each value that TLBs may hold of it: all that
//! it had since the last complete invalidation. Each step takes what waits for it out of a queue of its core,
//! so an event costs as much as it changes.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use crate::desc::Desc;
use crate::event::{Event, What};
use crate::frame_map::FrameMap;
use crate::tlbi::{Cover, Decoded, Target, span_pages};

/// The most cores.
pub const MAX_CORES: usize = 8;

const ENTRIES: usize = 512;

/// How many published stores are remembered for cores that have not synchronised since. A core that
/// stays away for longer (a sleeping one) is given the benefit of the doubt.
const REMEMBERED: usize = 1 << 12;

/// Who owes: a task, or an interrupt handler on top of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Owner {
    pub task: u16,
    pub irq: bool,
}

/// Which place.
pub(crate) type PlaceId = u32;

/// A descriptor of a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Spot {
    pub place: PlaceId,
    pub index: u16,
}

/// Where a table translates: what its descriptors owe stays behind when the table goes elsewhere.
struct Place {
    frame: u64,
    level: u8,
    va: u64,
    publishes: Owing,
    stales: Owing,
    /// The table is here no more.
    abandoned: bool,
}

/// What the descriptors of a place owe: for each a number in a slab, counted from 1.
#[derive(Default)]
struct Owing {
    first: Option<Box<[u32; ENTRIES]>>,
    count: u32,
    /// Where the place stands in the list of those that owe.
    listed: usize,
}

/// The store that owes, and who did it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub owner: Owner,
    pub core: u8,
    sequence: u32,
    time: u64,
    old: u64,
    new: u64,
}

/// A valid descriptor that somebody may not see yet.
pub(crate) struct Publish {
    spot: Spot,
    pub origin: Origin,
    /// When a DSB made it visible to every walker.
    pub visible: Option<u64>,
}

/// A translation that somebody may still have.
pub(crate) struct Stale {
    spot: Spot,
    /// The first address it translates.
    pub va: u64,
    /// What it was.
    pub old: Desc,
    /// Under which ASID; `None` where it is for all, or that is not known.
    pub asid: Option<u16>,
    /// The root by which a walker comes to it, in the lower half.
    pub root: u64,
    pub origin: Origin,
    /// No walker reads the old descriptor any more: a DSB of the storing core.
    pub visible: bool,
    /// Cores whose TLBs may hold it, a bit each.
    pub held: u8,
    /// Cores that have executed a broadcast TLBI for it, and no DSB since.
    pub issued: u8,
    /// The same for TLBIs of that core alone.
    issued_locally: u8,
    /// When the last TLB was rid of it.
    completed: u64,
    /// Cores that have completed its invalidation and not synchronised their context since.
    behind: u8,
    /// Cores that may have fetched instructions through it and have not synchronised their context since.
    fetched: u8,
    /// The TLBI that would have covered it and, as it was, did not.
    pub missed: Option<Missed>,
    /// The next of the same descriptor, and of the same frame.
    next: u32,
    next_of_frame: u32,
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

/// Numbered things. A number is used again, with another serial number.
struct Slab<T> {
    all: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
    serial: u32,
}

/// One of them, at one time.
type Ticket = (u32, u32);

#[derive(Default)]
struct CoreQueues {
    /// Stored or observed by this core since its last DSB.
    unpublished: Vec<Ticket>,
    invisible: Vec<Ticket>,
    /// Covered by a TLBI of this core since its last DSB.
    issued: Vec<Ticket>,
    /// Completed by this core, or perhaps fetched through, since its last context synchronisation.
    behind: Vec<Ticket>,
    fetched: Vec<Ticket>,
    synced: u64,
}

/// All that is owed.
#[derive(Default)]
pub(crate) struct Ledger {
    places: Slab<Place>,
    publishes: Slab<Publish>,
    stales: Slab<Stale>,
    /// Places with publications, and with stale translations.
    publishing: Vec<PlaceId>,
    withdrawing: Vec<PlaceId>,
    cores: [CoreQueues; MAX_CORES],
    online: u8,
    /// Visible publications in the order in which they became so.
    visible: VecDeque<(u64, Ticket)>,
    /// When each owner's last publication became visible.
    last_visible: BTreeMap<Owner, u64>,
    /// When each owner last synchronised the context of whatever core it was on.
    synced: BTreeMap<Owner, u64>,
    /// The first stale translation of a page, or of the table, in this frame.
    by_frame: FrameMap<u32>,
    /// Stale blocks, few at a time.
    blocks: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab {
            all: Vec::new(),
            free: Vec::new(),
            serial: 0,
        }
    }
}

impl<T> Slab<T> {
    fn add(&mut self, value: T) -> Ticket {
        self.serial = self.serial.wrapping_add(1);
        let id = self.free.pop().unwrap_or(self.all.len() as u32);
        let entry = (self.serial, Some(value));
        match self.all.get_mut(id as usize) {
            Some(free) => *free = entry,
            None => self.all.push(entry),
        }
        (id, self.serial)
    }

    fn get(&self, id: u32) -> Option<&T> {
        self.all.get(id as usize)?.1.as_ref()
    }

    fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        self.all.get_mut(id as usize)?.1.as_mut()
    }

    /// If that is what it was then.
    fn at(&mut self, (id, serial): Ticket) -> Option<&mut T> {
        let (now, value) = self.all.get_mut(id as usize)?;
        value.as_mut().filter(|_| *now == serial)
    }

    fn ticket(&self, id: u32) -> Ticket {
        (id, self.all.get(id as usize).map_or(0, |entry| entry.0))
    }

    fn remove(&mut self, id: u32) -> Option<T> {
        let value = self.all.get_mut(id as usize)?.1.take()?;
        self.free.push(id);
        Some(value)
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        self.all.iter().filter_map(|(_, value)| value.as_ref())
    }
}

impl Owing {
    /// The first in the descriptor's chain, counted from 1; 0 for none.
    fn get(&self, index: u16) -> u32 {
        let index = usize::from(index) % ENTRIES;
        self.first.as_ref().map_or(0, |first| first[index])
    }

    fn set(&mut self, index: u16, to: u32) {
        let first = self.first.get_or_insert_with(|| Box::new([0; ENTRIES]));
        first[usize::from(index) % ENTRIES] = to;
    }

    /// One more; whether it is the first.
    fn add(&mut self, list: &mut Vec<PlaceId>, place: PlaceId) {
        if self.count == 0 {
            self.listed = list.len();
            list.push(place);
        }
        self.count += 1;
    }
}

impl Place {
    /// Its descriptors that may translate any of these pages, with those that the Contiguous bit makes one with
    /// them.
    fn neighbours(&self, first: u64, end: u64) -> core::ops::Range<u16> {
        let indices = self.indices(first, end);
        if indices.is_empty() {
            return indices;
        }
        indices.start & !15..indices.end.next_multiple_of(16)
    }

    /// Its descriptors that translate any of these pages.
    fn indices(&self, first: u64, end: u64) -> core::ops::Range<u16> {
        let (base, size) = (self.va >> 12, span_pages(self.level));
        if end <= base || first >= base + size * ENTRIES as u64 {
            return 0..0;
        }
        let from = first.saturating_sub(base) / size;
        let to = (end - base).div_ceil(size).min(ENTRIES as u64);
        from as u16..to as u16
    }
}

impl Origin {
    /// The store of this event, by this owner.
    pub fn new(event: &Event, owner: Owner, old: Desc, new: Desc) -> Self {
        Origin {
            owner,
            core: event.core,
            sequence: event.sequence,
            time: event.time,
            old: old.bits,
            new: new.bits,
        }
    }
}

impl Stale {
    /// Whether `core` may rely on data accesses, its own and others', not using it any more.
    pub fn is_gone(&self, core: usize) -> bool {
        self.held == 0 && self.behind & 1 << core == 0
    }

    /// Whether a TLB entry of it translates any of these pages.
    pub fn overlaps(&self, first: u64, end: u64) -> bool {
        let pages = self.old.held_pages();
        let start = self.va >> 12 & !(pages - 1);
        start < end && first < start + pages
    }

    /// Whether `core` may have fetched through it.
    pub fn may_be_fetched(&self, core: usize) -> bool {
        self.held != 0 || (self.behind | self.fetched) & 1 << core != 0
    }

    /// What a TLBI must drop.
    fn target(&self) -> Target {
        Target {
            va: self.va,
            pages: self.old.held_pages(),
            level: self.old.level,
            table: self.old.is_table(),
            global: !self.old.is_table() && self.old.is_global(),
            asid: self.asid,
        }
    }

    /// Whether it is of a space that translations of `asids` may be mixed up with.
    pub fn may_meet(&self, global: bool, asids: &[u16]) -> bool {
        let own_global = !self.old.is_table() && self.old.is_global();
        global
            || own_global
            || self
                .asid
                .is_none_or(|own| asids.is_empty() || asids.contains(&own))
    }
}

/// Pages of these bytes, as the first one's number and that behind the last; the last page of all has one
/// behind it.
pub(crate) fn page_numbers(va: u64, pages: u64) -> (u64, u64) {
    let first = va >> 12;
    (first, first.saturating_add(pages.max(1)).min(1 << 52))
}

impl Ledger {
    /// Notes that the core runs. Its start has synchronised its context, but that was some time
    /// before anybody heard of it, so it is credited with nothing.
    pub fn start_core(&mut self, core: usize) {
        let bit = 1 << core;
        if self.online & bit != 0 {
            return;
        }
        self.online |= bit;
        for (_, stale) in &mut self.stales.all {
            if let Some(stale) = stale.as_mut().filter(|stale| !stale.visible) {
                stale.held |= bit;
            }
        }
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

    /// The task is gone.
    pub fn end_task(&mut self, task: u16) {
        for irq in [false, true] {
            let owner = Owner { task, irq };
            self.synced.remove(&owner);
            self.last_visible.remove(&owner);
        }
    }

    /// Where a table translates.
    pub fn add_place(&mut self, frame: u64, level: u8, va: u64) -> PlaceId {
        let (id, _) = self.places.add(Place {
            frame,
            level,
            va,
            publishes: Owing::default(),
            stales: Owing::default(),
            abandoned: false,
        });
        id
    }

    /// The table is there no more. What is stale of it stays.
    pub fn abandon(&mut self, place: PlaceId) {
        for index in 0..ENTRIES as u16 {
            self.drop_publish(Spot { place, index });
        }
        if let Some(known) = self.places.get_mut(place) {
            known.abandoned = true;
        }
        self.recycle(place);
    }

    fn recycle(&mut self, place: PlaceId) {
        let done = |p: &Place| p.abandoned && p.publishes.count == 0 && p.stales.count == 0;
        if self.places.get(place).is_some_and(done) {
            self.places.remove(place);
        }
    }

    /// The store that owes, as it was reported.
    fn event(&self, spot: Spot, origin: &Origin) -> Event {
        let place = self.places.get(spot.place);
        let (frame, level, va) = place.map_or((0, 3, 0), |p| (p.frame, p.level, p.va));
        let index = u64::from(spot.index);
        Event {
            sequence: origin.sequence,
            time: origin.time,
            core: origin.core,
            task: origin.owner.task,
            what: What::Store {
                slot: frame + 8 * index,
                va: va.wrapping_add((span_pages(level) << 12).wrapping_mul(index)),
                level,
                old: origin.old,
                new: origin.new,
            },
        }
    }

    /// The store by which it became stale.
    pub fn withdrawn_by(&self, stale: &Stale) -> Event {
        self.event(stale.spot, &stale.origin)
    }

    /// The store that made the descriptor.
    pub fn made_by(&self, publish: &Publish) -> Event {
        self.event(publish.spot, &publish.origin)
    }

    /// The address and the table's frame of what is published.
    pub fn place_of(&self, publish: &Publish) -> (u64, u64) {
        match self.event(publish.spot, &publish.origin).what {
            What::Store { slot, va, .. } => (va, slot & !0xfff),
            _ => (0, 0),
        }
    }
}

/// Publications.
impl Ledger {
    /// A valid descriptor was stored where none was.
    pub fn publish(&mut self, spot: Spot, origin: Origin) {
        self.drop_publish(spot);
        let ticket = self.publishes.add(Publish {
            spot,
            origin,
            visible: None,
        });
        let Some(place) = self.places.get_mut(spot.place) else {
            return;
        };
        place.publishes.set(spot.index, ticket.0 + 1);
        place.publishes.add(&mut self.publishing, spot.place);
        self.cores[usize::from(origin.core)]
            .unpublished
            .push(ticket);
    }

    /// The publication that the descriptor owes.
    fn publication(&self, spot: Spot) -> Option<u32> {
        let place = self.places.get(spot.place)?;
        place.publishes.get(spot.index).checked_sub(1)
    }

    /// The descriptor was taken back, or every core sees it.
    pub fn drop_publish(&mut self, spot: Spot) {
        let Some(id) = self.publication(spot) else {
            return;
        };
        self.publishes.remove(id);
        let Some(place) = self.places.get_mut(spot.place) else {
            return;
        };
        place.publishes.set(spot.index, 0);
        place.publishes.count -= 1;
        if place.publishes.count == 0 {
            let at = place.publishes.listed;
            self.publishing.swap_remove(at);
            if let Some(&moved) = self.publishing.get(at)
                && let Some(moved) = self.places.get_mut(moved)
            {
                moved.publishes.listed = at;
            }
            self.recycle(spot.place);
        }
    }

    /// `core` has read this link of another core's, so a DSB of its own is as good as the other's
    /// (stores are other-multi-copy atomic: what one observer has seen, none can miss).
    pub fn observe(&mut self, spot: Spot, core: usize) {
        let Some(id) = self.publication(spot) else {
            return;
        };
        let pending = |p: &Publish| p.visible.is_none() && usize::from(p.origin.core) != core;
        let ticket = self.publishes.ticket(id);
        let queue = &mut self.cores[core].unpublished;
        if self.publishes.get(id).is_some_and(pending) && queue.last() != Some(&ticket) {
            queue.push(ticket);
        }
    }

    /// Publications on the way to `va`: of its leaf and its tables.
    pub fn publications(&self, va: u64) -> impl Iterator<Item = &Publish> {
        let (first, end) = page_numbers(va, 1);
        let places = self.publishing.iter();
        places.filter_map(move |&id| {
            let place = self.places.get(id)?;
            let index = place.indices(first, end).next()?;
            let publish = place.publishes.get(index).checked_sub(1)?;
            self.publishes.get(publish)
        })
    }

    /// Publications that no DSB of this core has followed yet.
    pub fn unordered(&self, core: usize) -> impl Iterator<Item = &Publish> {
        let tickets = self.cores[core].unpublished.iter();
        let pending = tickets.filter_map(|&ticket| {
            let same = self.publishes.ticket(ticket.0) == ticket;
            self.publishes.get(ticket.0).filter(|_| same)
        });
        pending.filter(|publish| publish.visible.is_none())
    }

    /// The first publication of `owner` that is not visible, wherever it was stored.
    pub fn unpublished(&self, owner: Owner) -> Option<&Publish> {
        let mut unordered = (0..MAX_CORES).flat_map(|core| self.unordered(core));
        unordered.find(|publish| publish.origin.owner == owner)
    }

    /// A visible publication of `owner` after which neither it nor this core has synchronised the
    /// context.
    pub fn unsynchronised(&self, owner: Owner, core: usize) -> Option<&Publish> {
        let synced = self.synced(core, owner);
        self.last_visible.get(&owner).filter(|&&at| at > synced)?;
        let newest = self.visible.iter().rev();
        newest
            .take_while(|(at, _)| *at > synced)
            .filter_map(|&(_, (id, serial))| {
                let same = self.publishes.ticket(id) == (id, serial);
                self.publishes.get(id).filter(|_| same)
            })
            .find(|publish| publish.origin.owner == owner)
    }

    /// Forgets publications that every core has synchronised after.
    fn trim(&mut self) {
        let cores = (0..MAX_CORES).filter(|core| self.online & 1 << core != 0);
        let all = cores.map(|core| self.cores[core].synced).min().unwrap_or(0);
        while let Some(&(at, ticket)) = self.visible.front() {
            if at >= all && self.visible.len() <= REMEMBERED {
                break;
            }
            self.visible.pop_front();
            if let Some(publish) = self.publishes.at(ticket) {
                let spot = publish.spot;
                self.drop_publish(spot);
            }
        }
    }
}

/// Stale translations.
impl Ledger {
    /// A descriptor that a TLB may hold was changed or cleared: what it was is stale from here on, on all cores
    /// that run.
    pub fn withdraw(
        &mut self,
        spot: Spot,
        old: Desc,
        (root, asid): (u64, Option<u16>),
        origin: Origin,
        missed: Option<Missed>,
    ) {
        // Of the same translation the newest counts: it needs the latest invalidation.
        self.drop_stale(spot, |stale| stale.old == old && stale.asid == asid);
        let Some(place) = self.places.get_mut(spot.place) else {
            return;
        };
        let size = span_pages(place.level) << 12;
        let ticket = self.stales.add(Stale {
            spot,
            va: place.va.wrapping_add(size.wrapping_mul(spot.index.into())),
            old,
            asid,
            root,
            origin,
            visible: false,
            held: self.online,
            issued: 0,
            issued_locally: 0,
            completed: 0,
            behind: 0,
            fetched: 0,
            missed,
            next: place.stales.get(spot.index),
            next_of_frame: 0,
        });
        place.stales.set(spot.index, ticket.0 + 1);
        place.stales.add(&mut self.withdrawing, spot.place);
        if is_block(old) {
            self.blocks.push(ticket.0);
        } else {
            let next = self.by_frame.insert(old.frame(), ticket.0 + 1).unwrap_or(0);
            if let Some(stale) = self.stales.get_mut(ticket.0) {
                stale.next_of_frame = next;
            }
        }
        self.cores[usize::from(origin.core)].invisible.push(ticket);
    }

    /// The same translation may be made under another ASID as well: its space is there under it, and a walker
    /// may still read what was withdrawn.
    pub fn withdraw_under(&mut self, root: u64, asid: u16) {
        let again: Vec<(Spot, Desc, Origin)> = self
            .stales
            .iter()
            .filter(|s| !s.visible && s.root == root && s.asid.is_some_and(|own| own != asid))
            .map(|s| (s.spot, s.old, s.origin))
            .collect();
        for (spot, old, origin) in again {
            self.withdraw(spot, old, (root, Some(asid)), origin, None);
        }
    }

    fn chain(&self, first: u32, next: fn(&Stale) -> u32) -> impl Iterator<Item = (u32, &Stale)> {
        let mut at = first;
        core::iter::from_fn(move || {
            let id = at.checked_sub(1)?;
            let stale = self.stales.get(id)?;
            at = next(stale);
            Some((id, stale))
        })
    }

    fn drop_stale(&mut self, spot: Spot, which: impl Fn(&Stale) -> bool) {
        loop {
            let Some(place) = self.places.get(spot.place).filter(|p| p.stales.count > 0) else {
                return;
            };
            let first = place.stales.get(spot.index);
            let mut chain = self.chain(first, |stale| stale.next);
            let Some((id, _)) = chain.find(|(_, stale)| which(stale)) else {
                return;
            };
            drop(chain);
            self.remove_stale(id);
        }
    }

    /// The descriptor is again what TLBs may hold of it.
    pub fn restore(&mut self, spot: Spot, new: Desc) {
        self.drop_stale(spot, |stale| stale.old.translates_like(new));
    }

    /// The descriptors of a place that stale translations are of.
    pub fn withdrawn_at(&self, place: PlaceId) -> Vec<u16> {
        let known = self.places.get(place).filter(|p| p.stales.count > 0);
        known.map_or_else(Vec::new, |place| {
            let all = 0..ENTRIES as u16;
            all.filter(|index| place.stales.get(*index) != 0).collect()
        })
    }

    fn remove_stale(&mut self, id: u32) {
        let Some(gone) = self.stales.remove(id) else {
            return;
        };
        if is_block(gone.old) {
            self.blocks.retain(|block| *block != id);
        } else {
            self.unchain_frame(id, &gone);
        }
        let Some(place) = self.places.get_mut(gone.spot.place) else {
            return;
        };
        let first = place.stales.get(gone.spot.index);
        if first == id + 1 {
            place.stales.set(gone.spot.index, gone.next);
        } else {
            let before = self.before(first, id, |stale| stale.next);
            if let Some(stale) = before.and_then(|before| self.stales.get_mut(before)) {
                stale.next = gone.next;
            }
        }
        let Some(place) = self.places.get_mut(gone.spot.place) else {
            return;
        };
        place.stales.count -= 1;
        if place.stales.count == 0 {
            let at = place.stales.listed;
            self.withdrawing.swap_remove(at);
            if let Some(&moved) = self.withdrawing.get(at)
                && let Some(moved) = self.places.get_mut(moved)
            {
                moved.stales.listed = at;
            }
            self.recycle(gone.spot.place);
        }
    }

    fn unchain_frame(&mut self, id: u32, gone: &Stale) {
        let frame = gone.old.frame();
        let first = self.by_frame.get(frame).unwrap_or(0);
        if first != id + 1 {
            let before = self.before(first, id, |stale| stale.next_of_frame);
            if let Some(stale) = before.and_then(|before| self.stales.get_mut(before)) {
                stale.next_of_frame = gone.next_of_frame;
            }
        } else if gone.next_of_frame == 0 {
            self.by_frame.remove(frame);
        } else {
            self.by_frame.insert(frame, gone.next_of_frame);
        }
    }

    /// What stands before `id` in a chain. `id` itself is removed already.
    fn before(&self, first: u32, id: u32, next: fn(&Stale) -> u32) -> Option<u32> {
        let mut chain = self.chain(first, next);
        chain.find_map(|(at, stale)| (next(stale) == id + 1).then_some(at))
    }

    /// All stale translations.
    pub fn stales(&self) -> impl Iterator<Item = &Stale> {
        self.stales.iter()
    }

    /// Stale translations of any of these pages.
    pub fn stale_within(&self, va: u64, pages: u64) -> impl Iterator<Item = &Stale> {
        self.ids_within(page_numbers(va, pages))
            .filter_map(|id| self.stales.get(id))
    }

    fn ids_within(&self, (first, end): (u64, u64)) -> impl Iterator<Item = u32> {
        let places = self.withdrawing.iter();
        places.flat_map(move |&id| {
            let place = self.places.get(id);
            let indices = place.map_or(0..0, |place| place.neighbours(first, end));
            indices.flat_map(move |index| {
                let head = place.map_or(0, |place| place.stales.get(index));
                let chain = self.chain(head, |stale| stale.next);
                let within = chain.filter(move |(_, stale)| stale.overlaps(first, end));
                within.map(|(id, _)| id)
            })
        })
    }

    /// Stale translations that lead to this frame.
    pub fn leading_to(&self, frame: u64) -> impl Iterator<Item = &Stale> {
        let first = self.by_frame.get(frame).unwrap_or(0);
        let pages = self.chain(first, |stale| stale.next_of_frame);
        let blocks = self.blocks.iter().filter_map(|id| self.stales.get(*id));
        let blocks = blocks.filter(move |s| frame & !(s.old.size() - 1) == s.old.frame());
        pages.map(|(_, stale)| stale).chain(blocks)
    }

    /// Whether walkers may still come to the table in this frame by a link that is unlinked.
    pub fn is_still_walked(&self, table: u64) -> bool {
        let mut stales = self.leading_to(table);
        stales.any(|stale| stale.old.is_table() && stale.held != 0)
    }

    /// Withdrawn by this core, and no DSB of it since.
    pub fn invisible(&self, core: usize) -> Option<&Stale> {
        self.first_of(&self.cores[core].invisible, |stale| !stale.visible)
    }

    /// Covered by a TLBI of this core that no DSB of it has completed yet.
    pub fn issued(&self, core: usize) -> Option<&Stale> {
        self.first_of(&self.cores[core].issued, |stale| {
            stale.held != 0 && (stale.issued | stale.issued_locally) & 1 << core != 0
        })
    }

    fn first_of(&self, queue: &[Ticket], which: impl Fn(&Stale) -> bool) -> Option<&Stale> {
        let known = queue.iter().filter_map(|&ticket| {
            let same = self.stales.ticket(ticket.0) == ticket;
            self.stales.get(ticket.0).filter(|_| same)
        });
        known.filter(|stale| which(stale)).next()
    }
}

/// Barriers and invalidations.
impl Ledger {
    /// A DSB that waits for stores: what this core has stored is visible to every walker.
    pub fn order(&mut self, core: usize, now: u64) {
        let mut last = None;
        let mut tickets = core::mem::take(&mut self.cores[core].unpublished);
        for ticket in tickets.drain(..) {
            let publish = self.publishes.at(ticket).filter(|p| p.visible.is_none());
            let Some(publish) = publish else {
                continue;
            };
            publish.visible = Some(now);
            self.visible.push_back((now, ticket));
            if last != Some(publish.origin.owner) {
                last = Some(publish.origin.owner);
                self.last_visible.insert(publish.origin.owner, now);
            }
        }
        self.cores[core].unpublished = tickets;
        for ticket in self.cores[core].invisible.drain(..) {
            if let Some(stale) = self.stales.at(ticket) {
                stale.visible = true;
            }
        }
        self.trim();
    }

    /// A TLBI. Returns whether anything stale was among what it is about.
    pub fn invalidate(&mut self, decoded: &Decoded, core: usize) -> bool {
        if self.withdrawing.is_empty() {
            return false;
        }
        let range = match decoded.pages() {
            Some((va, pages)) => page_numbers(va, pages),
            None => (0, 1 << 52),
        };
        let ids: Vec<u32> = self.ids_within(range).collect();
        let mut useful = false;
        let bit = 1 << core;
        for id in ids {
            let ticket = self.stales.ticket(id);
            let Some(stale) = self.stales.get_mut(id).filter(|stale| stale.held != 0) else {
                continue;
            };
            let cover = decoded.covers(&stale.target());
            useful |= cover != Cover::No;
            match cover {
                Cover::No => {}
                Cover::Flawed => stale.missed = Some(Missed::Operand),
                Cover::Yes if !stale.visible => stale.missed = Some(Missed::Early),
                Cover::Yes => {
                    if decoded.is_broadcast() {
                        stale.issued |= bit;
                    } else {
                        stale.issued_locally |= bit;
                        if stale.held & !bit != 0 {
                            stale.missed = Some(Missed::Local);
                        }
                    }
                    self.cores[core].issued.push(ticket);
                }
            }
        }
        useful
    }

    /// A DSB that completes this core's invalidations; one for this core alone what it has invalidated for
    /// itself.
    pub fn complete(&mut self, core: usize, everywhere: bool, now: u64) {
        let (bit, online) = (1 << core, self.online);
        let issued = core::mem::take(&mut self.cores[core].issued);
        for ticket in issued {
            let Some(stale) = self.stales.at(ticket).filter(|stale| stale.held != 0) else {
                continue;
            };
            if stale.issued & bit != 0 && everywhere {
                stale.held = 0;
            } else if stale.issued_locally & bit != 0 {
                stale.held &= !bit;
            }
            if stale.issued & bit != 0 && !everywhere {
                self.cores[core].issued.push(ticket);
            }
            if stale.held & bit == 0 && stale.behind & bit == 0 {
                stale.behind |= bit;
                self.cores[core].behind.push(ticket);
            }
            if stale.held == 0 {
                stale.completed = now;
                if stale.old.is_leaf() && stale.old.is_executable() {
                    stale.fetched = online & !bit;
                    let others = (0..MAX_CORES).filter(|other| online & !bit & 1 << other != 0);
                    for other in others {
                        self.cores[other].fetched.push(ticket);
                    }
                }
            }
        }
    }

    /// A context synchronisation event on `core`, in the program of `owner`: behind everything that
    /// was before `at`, and what this core has completed itself.
    pub fn synchronise(&mut self, core: usize, owner: Owner, at: u64) {
        let bit = 1 << core;
        let own = self.synced.entry(owner).or_insert(0);
        *own = at.max(*own);
        self.cores[core].synced = at.max(self.cores[core].synced);
        let mut behind = core::mem::take(&mut self.cores[core].behind);
        for ticket in behind.drain(..) {
            if let Some(stale) = self.stales.at(ticket) {
                stale.behind &= !bit;
                self.drop_if_gone(ticket.0);
            }
        }
        self.cores[core].behind = behind;
        for ticket in core::mem::take(&mut self.cores[core].fetched) {
            match self.stales.at(ticket) {
                Some(stale) if stale.completed < at => {
                    stale.fetched &= !bit;
                    self.drop_if_gone(ticket.0);
                }
                Some(_) => self.cores[core].fetched.push(ticket),
                None => {}
            }
        }
        self.trim();
    }

    fn drop_if_gone(&mut self, id: u32) {
        let gone = |s: &Stale| s.held == 0 && s.behind == 0 && s.fetched == 0;
        if self.stales.get(id).is_some_and(gone) {
            self.remove_stale(id);
        }
    }
}

fn is_block(old: Desc) -> bool {
    old.is_leaf() && old.level < 3
}
