//! Publications: what a valid descriptor that was stored owes until everybody sees it.

use crate::queue;

use super::{Ledger, MAX_CORES, Origin, Owner, Publish, REMEMBERED, Spot, page_numbers};

impl Ledger {
    /// A valid descriptor was stored where none was.
    pub fn publish(&mut self, spot: Spot, origin: Origin) {
        self.drop_publish(spot);
        let ticket = self.publishes.add(Publish {
            spot,
            origin,
            visible: None,
            own: None,
        });
        let Some(place) = self.places.get_mut(spot.place) else {
            return;
        };
        place.publishes.set(spot.index, ticket.0 + 1);
        place.publishes.add(&mut self.publishing, spot.place);
        let publishes = &self.publishes;
        let queue = &mut self.cores[usize::from(origin.core)].unpublished;
        queue::push(queue, ticket, |known| publishes.has(*known));
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
            let publishes = &self.publishes;
            queue::push(queue, ticket, |known| publishes.has(*known));
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
        self.last_visible.get(&owner).filter(|&&at| at >= synced)?;
        let newest = self.visible.iter().rev();
        newest
            .take_while(|(at, _)| *at >= synced)
            .filter_map(|&(_, (id, serial))| {
                let same = self.publishes.ticket(id) == (id, serial);
                self.publishes.get(id).filter(|_| same)
            })
            .find(|publish| publish.origin.owner == owner)
    }

    /// Whether a DSB has made every publication visible.
    pub fn all_are_visible(&self) -> bool {
        self.publishes.iter().all(|known| known.visible.is_some())
    }

    /// When the owner's last publication became visible; 0 if none has since its task ended.
    pub fn last_visible(&self, owner: Owner) -> u64 {
        self.last_visible.get(&owner).copied().unwrap_or(0)
    }

    /// Publications that are visible and that not every core has synchronised after, as far as they are
    /// remembered: in the order in which they became visible, each with when that was.
    pub fn visible(&self) -> impl Iterator<Item = (u64, &Publish)> {
        self.visible.iter().filter_map(|&(at, (id, serial))| {
            let same = self.publishes.ticket(id) == (id, serial);
            Some((at, self.publishes.get(id).filter(|_| same)?))
        })
    }

    /// Forgets publications that every core has synchronised after.
    pub(super) fn trim(&mut self) {
        let synced = self.running().map(|core| self.cores[core].synced);
        let all = synced.min().unwrap_or(0);
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
