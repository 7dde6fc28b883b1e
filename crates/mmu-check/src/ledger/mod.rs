//! The ledger: every store that still owes something, and how far its payment has come.
//!
//! | a store that | owes | paid by |
//! |---|---|---|
//! | makes a valid descriptor where none was | to be *published* | a DSB of its core (`nsh` is for that core's own walker); then a context synchronisation of the core that uses it |
//! | changes or clears one that a TLB may hold | the *invalidation* of what is stale now | a DSB of its core; a TLBI that covers it on every core; a DSB of the core of the TLBI, which then synchronises its context |
//!
//! A descriptor may owe one publication, and an invalidation for each value that TLBs may hold of it: all that
//! it had since the last complete invalidation. Each step takes what waits for it out of a queue of its core,
//! so an event costs as much as it changes.

mod barriers;
mod publications;
mod slab;
mod stales;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use crate::desc::Desc;
use crate::event::{Event, What};
use crate::frame_map::FrameMap;
use crate::tlbi::{Target, span_pages};
use slab::{Slab, Ticket};

/// The most cores.
pub const MAX_CORES: usize = 8;

const ENTRIES: usize = 512;

/// How many stale translations are remembered at once: those of 40 GiB in pages. A trace may have any number,
/// and is refused when it comes here: they take more than a checker of traces may.
pub(crate) const STALES: usize = 10 << 20;
const _: () = assert!(STALES * size_of::<Stale>() > 1 << 30);

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
    // The store, with what was there before it. Of a table that was unlinked it is the link's, for all that was below.
    slot: u64,
    va: u64,
    level: u8,
    old: u64,
    new: u64,
}

/// A valid descriptor that somebody may not see yet.
pub(crate) struct Publish {
    spot: Spot,
    pub origin: Origin,
    /// When a DSB made it visible to every walker.
    pub visible: Option<u64>,
    /// When a DSB for the storing core alone made it visible to that core's walker, if one came before.
    own: Option<u64>,
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
    /// The storing core's walker reads it no more: a DSB of that core for itself.
    own_visible: bool,
    /// Cores whose TLBs may hold it, a bit each.
    pub held: u8,
    /// Cores that have executed a broadcast TLBI for it, and no DSB since.
    pub issued: u8,
    /// Cores that have executed one that counts for the storing core alone, whose walker reads it no more, and no DSB since.
    issued_for_own: u8,
    /// Cores in whose queue of issued TLBIs it stands for their own part.
    queued: u8,
    /// When the last of those in `fetched` was rid of it.
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

/// Cores whose walkers may come to a table, a bit each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Walkers {
    /// They may begin a walk there, and their TLBs keep what it finds.
    pub any: u8,
    /// They may have begun one for an access that comes before their next context synchronisation.
    pub begun: u8,
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
    unpublished: Vec<Ticket>,
    invisible: Vec<Ticket>,
    /// How many of each of these a DSB for this core alone has followed.
    own_published: usize,
    own_withdrawn: usize,
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

impl Publish {
    /// Since when the walker of `core` sees it.
    pub fn visible_to(&self, core: usize) -> Option<u64> {
        let own = self.own.filter(|_| usize::from(self.origin.core) == core);
        own.or(self.visible)
    }
}

impl CoreQueues {
    fn len(&self) -> usize {
        let queues = [
            &self.unpublished,
            &self.invisible,
            &self.issued,
            &self.behind,
            &self.fetched,
        ];
        queues.into_iter().map(Vec::len).sum()
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
    pub fn new(event: &Event, owner: Owner, old: Desc) -> Self {
        let (slot, va, level, new) = match event.what {
            What::Store {
                slot,
                va,
                level,
                new,
                ..
            } => (slot, va, level, new),
            _ => (0, 0, 3, 0),
        };
        Origin {
            owner,
            core: event.core,
            sequence: event.sequence,
            time: event.time,
            slot,
            va,
            level,
            old: old.bits,
            new,
        }
    }

    /// The store, as it was reported.
    fn event(&self) -> Event {
        Event {
            sequence: self.sequence,
            time: self.time,
            core: self.core,
            task: self.owner.task,
            what: What::Store {
                slot: self.slot,
                va: self.va,
                level: self.level,
                old: self.old,
                new: self.new,
            },
        }
    }
}

impl Walkers {
    pub const ALL: Self = Walkers {
        any: u8::MAX,
        begun: 0,
    };
    pub const NONE: Self = Walkers { any: 0, begun: 0 };
}

impl Stale {
    /// The core that has stored, as a bit.
    fn storing(&self) -> u8 {
        1 << self.origin.core
    }

    /// Whether the walker of `core` reads it no more.
    pub fn is_visible_to(&self, core: usize) -> bool {
        self.visible || (self.own_visible && usize::from(self.origin.core) == core)
    }

    /// Whether `core` may rely on data accesses, its own and others', not using it any more.
    pub fn is_gone(&self, core: usize) -> bool {
        self.held == 0 && self.behind & 1 << core == 0
    }

    /// Whether no core may use it any more: each that has completed its invalidation has synchronised its context.
    pub fn is_gone_everywhere(&self) -> bool {
        self.held == 0 && self.behind == 0
    }

    /// Whether a TLB entry of it translates any of these pages.
    pub fn overlaps(&self, first: u64, end: u64) -> bool {
        let pages = self.old.held_pages();
        let start = self.va >> 12 & !(pages - 1);
        start < end && first < start + pages
    }

    /// Whether an access of `core` may still be translated by it: its TLB holds it, or it has begun ahead.
    pub fn may_be_used(&self, core: usize) -> bool {
        self.is_held(core) || self.behind & 1 << core != 0
    }

    /// Whether the TLB of `core` may hold it.
    pub fn is_held(&self, core: usize) -> bool {
        self.held & 1 << core != 0
    }

    /// A core that has executed a broadcast TLBI for it: `core` where that has.
    pub fn issuer(&self, core: usize) -> u8 {
        if self.issued & 1 << core != 0 {
            core as u8
        } else {
            self.issued.trailing_zeros() as u8
        }
    }

    /// The first core that has completed its invalidation and has not synchronised its context since; [`MAX_CORES`] if there is none.
    pub fn behind(&self) -> u8 {
        self.behind.trailing_zeros() as u8
    }

    /// Whether `core` may have fetched through it.
    pub fn may_be_fetched(&self, core: usize) -> bool {
        self.may_be_used(core) || self.fetched & 1 << core != 0
    }

    /// Whether whoever may have it may have what a newer one of the same translation, with these cores, stands
    /// for.
    fn is_within(&self, held: u8, behind: u8) -> bool {
        (self.held | self.fetched) & !held == 0 && self.behind & !(held | behind) == 0
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
        // What is global has no ASID.
        let tagged = |own| asids.is_empty() || asids.contains(&own);
        global || self.asid.is_none_or(tagged)
    }
}

/// Pages of these bytes, as the first one's number and that behind the last; the last page of all has one
/// behind it.
pub(crate) fn page_numbers(va: u64, pages: u64) -> (u64, u64) {
    let first = va >> 12;
    (first, first.saturating_add(pages.max(1)).min(1 << 52))
}

/// The cores of a set that has a bit for each.
fn cores_of(set: u8) -> impl Iterator<Item = usize> {
    (0..MAX_CORES).filter(move |core| set & 1 << core != 0)
}

impl Ledger {
    /// About how many bytes it takes.
    pub fn memory(&self) -> usize {
        let queued: usize = self.cores.iter().map(CoreQueues::len).sum();
        let place = size_of::<Place>() + size_of::<[u32; ENTRIES]>();
        place * self.places.len()
            + size_of::<Publish>() * self.publishes.len()
            + size_of::<Stale>() * self.stales.len()
            + size_of::<Ticket>() * (queued + self.visible.len())
    }

    /// Notes that the core runs. Its start has synchronised its context, but that was some time
    /// before anybody heard of it, so it is credited with nothing.
    pub fn start_core(&mut self, core: usize) {
        let bit = 1 << core;
        if self.online & bit != 0 {
            return;
        }
        self.online |= bit;
        for stale in self.stales.iter_mut().filter(|stale| !stale.visible) {
            stale.held |= bit;
        }
    }

    /// The cores that run.
    pub fn running(&self) -> impl Iterator<Item = usize> {
        cores_of(self.online)
    }

    /// When each owner last synchronised the context of whatever core it was on.
    pub fn owners_synced(&self) -> impl Iterator<Item = (Owner, u64)> {
        self.synced.iter().map(|(owner, at)| (*owner, *at))
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

    /// The store by which it became stale.
    pub fn withdrawn_by(&self, stale: &Stale) -> Event {
        stale.origin.event()
    }

    /// The frame of the table where it was.
    pub fn table_of(&self, stale: &Stale) -> Option<u64> {
        self.places.get(stale.spot.place).map(|place| place.frame)
    }

    /// The store that made the descriptor.
    pub fn made_by(&self, publish: &Publish) -> Event {
        publish.origin.event()
    }

    /// The address and the table's frame of what is published.
    pub fn place_of(&self, publish: &Publish) -> (u64, u64) {
        let Spot { place, index } = publish.spot;
        self.places.get(place).map_or((0, 0), |place| {
            let size = span_pages(place.level) << 12;
            (
                place.va.wrapping_add(size.wrapping_mul(index.into())),
                place.frame,
            )
        })
    }
}
