//! What barriers, invalidations and context synchronisation pay.

use alloc::vec::Vec;

use super::{Ledger, Missed, Origin, Owner, Stale, cores_of, page_numbers};
use crate::queue;
use crate::tlbi::{Cover, Decoded};

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
        (
            self.cores[core].own_published,
            self.cores[core].own_withdrawn,
        ) = (0, 0);
        for ticket in self.cores[core].invisible.drain(..) {
            if let Some(stale) = self.stales.at(ticket) {
                stale.visible = true;
            }
        }
        self.trim();
    }

    /// A DSB for this core alone that waits for stores: what this core has stored is visible to its own walker.
    pub fn order_own(&mut self, core: usize, now: u64) {
        let queues = &mut self.cores[core];
        let is_own = |origin: &Origin| usize::from(origin.core) == core;
        for &ticket in &queues.unpublished[queues.own_published..] {
            if let Some(publish) = self.publishes.at(ticket).filter(|p| is_own(&p.origin)) {
                publish.own.get_or_insert(now);
            }
        }
        for &ticket in &queues.invisible[queues.own_withdrawn..] {
            if let Some(stale) = self.stales.at(ticket) {
                stale.own_visible = true;
            }
        }
        queues.own_published = queues.unpublished.len();
        queues.own_withdrawn = queues.invisible.len();
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
                Cover::Yes if !stale.is_visible_to(core) => {
                    stale.missed = Some(Missed::Early);
                    if decoded.is_broadcast() && stale.own_visible {
                        stale.issued_for_own |= bit;
                        let stales = &self.stales;
                        let queue = &mut self.cores[core].issued;
                        queue::push(queue, ticket, |known| stales.has(*known));
                    }
                }
                Cover::Yes => {
                    if decoded.is_broadcast() && stale.visible {
                        stale.issued |= bit;
                    } else if stale.held & !bit != 0 {
                        // Of those that the other cores hold: their walkers may read the old descriptor again.
                        let broadcast = decoded.is_broadcast();
                        stale.missed = Some(if broadcast {
                            Missed::Early
                        } else {
                            Missed::Local
                        });
                    }
                    // Once, however often it is invalidated before the DSB.
                    if stale.queued & bit == 0 {
                        stale.queued |= bit;
                        let stales = &self.stales;
                        let queue = &mut self.cores[core].issued;
                        queue::push(queue, ticket, |known| stales.has(*known));
                    }
                }
            }
        }
        useful
    }

    /// A DSB that completes this core's invalidations; one for this core alone what it has invalidated for
    /// itself.
    pub fn complete(&mut self, core: usize, everywhere: bool, now: u64) {
        let bit = 1 << core;
        let issued = core::mem::take(&mut self.cores[core].issued);
        for ticket in issued {
            let Some(stale) = self.stales.at(ticket).filter(|stale| stale.held != 0) else {
                continue;
            };
            let (issued, for_storing) = (stale.issued & bit != 0, stale.issued_for_own & bit != 0);
            // Where an earlier DSB has done this core's part, it has synchronised since or is behind already.
            let own = stale.held & stale.queued & bit;
            // Of a broadcast one, a DSB for this core alone leaves the others' part to be waited for.
            let rid = own
                | match everywhere {
                    true if issued => stale.held,
                    true if for_storing => stale.held & stale.storing(),
                    _ => 0,
                };
            stale.held &= !rid;
            stale.behind |= own;
            // Who is rid of it may have fetched instructions by it.
            let fetched = if stale.old.is_text() { rid } else { 0 };
            if fetched != 0 {
                stale.fetched |= fetched;
                stale.completed = now;
            }
            let waits = !everywhere && (issued || for_storing);
            if !waits {
                stale.issued_for_own &= !bit;
                stale.queued &= !bit;
            }
            let queues = &mut self.cores;
            let stales = &self.stales;
            if waits {
                queues[core].issued.push(ticket);
            }
            if own != 0 {
                queue::push(&mut queues[core].behind, ticket, |t| stales.has(*t));
            }
            for core in cores_of(fetched) {
                queue::push(&mut queues[core].fetched, ticket, |t| stales.has(*t));
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
