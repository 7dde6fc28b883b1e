//! Stale translations: what a descriptor was, while TLBs may hold it.

use alloc::vec::Vec;

use super::slab::Ticket;
use super::{
    ENTRIES, Ledger, Missed, Origin, PlaceId, STALES, Spot, Stale, Walkers, cores_of, page_numbers,
};
use crate::desc::Desc;
use crate::queue;
use crate::tlbi::span_pages;

impl Ledger {
    /// A descriptor that a TLB may hold was changed or cleared: what it was is stale from here on, on these cores
    /// as far as they run.
    pub fn withdraw(
        &mut self,
        spot: Spot,
        old: Desc,
        (root, asid): (u64, Option<u16>),
        origin: Origin,
        (walkers, missed): (Walkers, Option<Missed>),
    ) {
        let (held, behind) = (
            walkers.any & self.online,
            walkers.begun & self.online & !walkers.any,
        );
        // Of the same translation the newest counts: it needs the latest invalidation.
        self.drop_stale(spot, |stale| {
            stale.old == old && stale.asid == asid && stale.is_within(held, behind)
        });
        let Some(place) = self.places.get_mut(spot.place) else {
            return;
        };
        if self.stales.len() == STALES {
            return;
        }
        let size = span_pages(place.level) << 12;
        let ticket = self.stales.add(Stale {
            spot,
            va: place.va.wrapping_add(size.wrapping_mul(spot.index.into())),
            old,
            asid,
            root,
            origin,
            visible: false,
            own_visible: false,
            held,
            issued: 0,
            issued_for_own: 0,
            queued: 0,
            completed: 0,
            behind,
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
        let stales = &self.stales;
        let queue = &mut self.cores[usize::from(origin.core)].invisible;
        queue::push(queue, ticket, |known| stales.has(*known));
        for core in cores_of(behind) {
            let queue = &mut self.cores[core].behind;
            queue::push(queue, ticket, |known| stales.has(*known));
        }
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
            self.withdraw(spot, old, (root, Some(asid)), origin, (Walkers::ALL, None));
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
            let Some(place) = self.places.get(spot.place) else {
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
        let known = self.places.get(place);
        known.map_or_else(Vec::new, |place| {
            let all = 0..ENTRIES as u16;
            all.filter(|index| place.stales.get(*index) != 0).collect()
        })
    }

    pub(super) fn remove_stale(&mut self, id: u32) {
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

    /// Whether there is no stale translation.
    pub fn none_is_stale(&self) -> bool {
        self.stales.len() == 0
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

    pub(super) fn ids_within(&self, (first, end): (u64, u64)) -> impl Iterator<Item = u32> {
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

    /// Which walkers may still come to one of the tables in these frames by a link that is unlinked.
    pub fn still_walking(&self, tables: impl Iterator<Item = u64>) -> Walkers {
        let mut walkers = Walkers::NONE;
        let links = tables.flat_map(|table| self.leading_to(table));
        for link in links.filter(|stale| stale.old.is_table()) {
            walkers.any |= link.held;
            walkers.begun |= link.behind;
        }
        walkers
    }

    /// Withdrawn by this core, and no DSB of it since.
    pub fn invisible(&self, core: usize) -> Option<&Stale> {
        self.first_of(&self.cores[core].invisible, |stale| !stale.visible)
    }

    /// Covered by a TLBI of this core that no DSB of it has completed yet.
    pub fn issued(&self, core: usize) -> Option<&Stale> {
        self.first_of(&self.cores[core].issued, |stale| {
            stale.held != 0 && stale.queued & 1 << core != 0
        })
    }

    fn first_of(&self, queue: &[Ticket], which: impl Fn(&Stale) -> bool) -> Option<&Stale> {
        let mut known = queue.iter().filter_map(|&ticket| {
            let same = self.stales.ticket(ticket.0) == ticket;
            self.stales.get(ticket.0).filter(|_| same)
        });
        known.find(|stale| which(stale))
    }
}

fn is_block(old: Desc) -> bool {
    old.is_leaf() && old.level < 3
}
