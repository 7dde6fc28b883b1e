//! Move: the same frames at other addresses.

use crate::addr::{ENTRIES, Level, PAGE_SHIFT, Pages, Va};
use crate::desc::Desc;
use crate::error::{Error, What};
use crate::gather::{Gather, Sink};
use crate::mmu::{Mmu, Slots, Step};
use crate::space::Space;

impl<M: Mmu> Space<'_, M> {
    /// Moves the mappings of `from` to the same number of pages at `to`. Returns how many pages were mapped.
    ///
    /// A hole stays behind as one, and takes no place: what is mapped where it would go is left as it is,
    /// and a table is linked only for pages.
    ///
    /// The new place is usable when the pair is paid that this owes (one per call), or the gather if
    /// that settles it ([`Mmu::invalidation_settles`]); the old
    /// addresses may be mapped anew when the gather has paid. Frames stay in use, so the sink gets
    /// nothing.
    ///
    /// Where the ranges are disjoint, each run of descriptors is copied and then cleared, blocks
    /// included. Where they overlap, a live page would be replaced by another, so: all are broken,
    /// the gather is paid, all are made at their new place; meanwhile an access from any core
    /// faults. The gather is paid first, too, when it holds stale translations of the new place, as
    /// after moving neighbours.
    ///
    /// # Errors
    /// Nothing changed: those of [`Pages::new`] for either range, [`What::OtherHalf`],
    /// [`What::OtherGather`]. Part of the way, where the ranges are disjoint, and with no page
    /// moved where they overlap: [`What::AlreadyMapped`] (where a page would go),
    /// [`What::OutOfFrames`] for a table there, [`What::PartOfBlock`]; where they overlap also
    /// [`What::InUse`] ([`Mmu::may_break`]). Tables that were linked before it stay. [`Error::at`]
    /// is in `from`.
    pub fn move_pages<S: Sink>(
        &self,
        from: Pages,
        to: Va,
        gather: &mut Gather<'_, M, S>,
    ) -> Result<u64, Error> {
        let dest = Pages::new(to, from.count())?;
        self.check_with(from, gather)?;
        self.check_with(dest, gather)?;
        if from.start() == to {
            return self.count(from);
        }
        if gather.touches(dest) {
            gather.pay();
        }
        if from.count() == 1
            && let Some(moved) = self.move_page(from.start(), to, gather)
        {
            return moved;
        }
        if from.overlaps(dest) {
            self.move_overlapping(from, dest, gather)
        } else {
            self.move_apart(from, dest, gather)
        }
    }

    /// How many of `pages` are mapped, by blocks that are wholly inside.
    fn count(&self, pages: Pages) -> Result<u64, Error> {
        self.sweep(pages, |slots, _| {
            let level = slots.level;
            let leaves = self.mmu.edit(slots, |desc| {
                if desc.is_leaf(level) {
                    Step::Skip
                } else {
                    Step::Stop
                }
            });
            Ok(leaves.passed)
        })
    }

    fn move_apart<S: Sink>(
        &self,
        from: Pages,
        dest: Pages,
        gather: &mut Gather<'_, M, S>,
    ) -> Result<u64, Error> {
        let (mut linked, mut any) = (false, false);
        let moved = self.sweep(from, |source, _| {
            let level = source.level;
            let va = dest.skip(from.before(source.va)).start();
            if !level.aligned(va.raw()) {
                return Err(What::PartOfBlock);
            }
            let (table, found) = self.table_for(va, level, &mut linked)?;
            if found != level {
                return Err(What::PartOfBlock); // a block cannot take the place of a table
            }
            let room = source.at.len().min(ENTRIES - level.index(va));
            let target = Slots::new(table, level, va, room);
            let n = if level == Level::L3 {
                self.copy(&source, target, Desc::is_valid)
            } else {
                self.copy(&source, target, |desc| desc.is_leaf(level))
            };
            if n == 0 {
                return Err(What::AlreadyMapped);
            }
            any = true;
            let first = source.va;
            let copied = Slots::new(source.table, level, first, n);
            self.mmu.fill(copied, Desc::INVALID);
            gather.add(first, level, n);
            Ok(n)
        });
        // A table that was linked for nothing has no invalidation.
        if any && !self.mmu.invalidation_settles() || linked && !any {
            self.mmu.owe();
        }
        moved
    }

    /// Copies leaves to free places. Returns how many there were in a row.
    fn copy(
        &self,
        from: &Slots<M::Table>,
        to: Slots<M::Table>,
        is_leaf: impl Fn(Desc) -> bool,
    ) -> usize {
        let (mmu, table, mut next) = (self.mmu, from.table, from.at.start);
        let copied = mmu.edit(to, move |old| {
            let desc = mmu.read(table, next);
            next += 1;
            if old.is_valid() || !is_leaf(desc) {
                Step::Stop
            } else {
                Step::Store(desc)
            }
        });
        copied.passed
    }

    fn move_overlapping<S: Sink>(
        &self,
        from: Pages,
        dest: Pages,
        gather: &mut Gather<'_, M, S>,
    ) -> Result<u64, Error> {
        let mut linked = false;
        // All that may fail comes first; then the pages are broken, the debt paid, and the pages
        // made.
        let result = self
            .check_overlapping(from, dest, &mut linked)
            .and_then(|()| {
                self.sweep(from, |slots, _| {
                    let va = slots.va;
                    let edited = self.mmu.edit(slots, |old| {
                        if old.is_valid() {
                            Step::Store(old.broken())
                        } else {
                            Step::Stop
                        }
                    });
                    gather.add(va, Level::L3, edited.passed);
                    Ok(edited.passed)
                })
            });
        if let Ok(1..) = result {
            gather.pay();
            self.make_at(from, dest);
        }
        if linked || matches!(result, Ok(1..)) {
            self.mmu.owe();
        }
        result
    }

    /// That the new place is free outside the old one and only pages are moved; links the tables
    /// there.
    fn check_overlapping(&self, from: Pages, dest: Pages, linked: &mut bool) -> Result<(), Error> {
        // Nothing has been done by any of these, and the caller thinks in addresses of `from`.
        let refused = |what, page| Error::new(what, from.skip(page).start());
        let by = dest.start().raw().abs_diff(from.start().raw()) >> PAGE_SHIFT;
        let fresh = if from.contains(dest.start()) {
            dest.skip(from.count() - by)
        } else {
            dest.take(by)
        };
        let leaving = from.skip(dest.before(fresh.start())).take(fresh.count());
        let mut mapped = self.mappings(from)?.peekable();
        if mapped.peek().is_some() && !self.mmu.may_break(from) {
            return Err(refused(What::InUse, 0));
        }
        if mapped.any(|m| m.level < Level::L3) {
            return Err(refused(What::PartOfBlock, 0));
        }
        // Where nothing is mapped, nothing is in the way.
        if self.mappings(fresh)?.next().is_some() {
            for page in self.mappings(leaving)? {
                let number = from.before(page.va);
                let (_, there) = self.lookup(dest.skip(number).start())?;
                if there.is_valid() {
                    return Err(refused(What::AlreadyMapped, number));
                }
            }
        }
        self.link_for(from, dest, linked)
    }

    /// Links the last-level tables at `dest` that the pages of `from` will need.
    fn link_for(&self, from: Pages, dest: Pages, linked: &mut bool) -> Result<(), Error> {
        let mut there = Pages::one(dest.start())?.take(0);
        for page in self.mappings(from)? {
            let place = dest.skip(from.before(page.va)).start();
            if there.contains(place) {
                continue;
            }
            self.table_for(place, Level::L3, linked)
                .map_err(|what| Error::new(what, page.va))?;
            there = Pages::new(Level::L2.floor(place), TABLE)?;
        }
        Ok(())
    }

    /// Makes the broken descriptors of `from` at `dest`, where the tables for them are linked, and clears them.
    fn make_at(&self, from: Pages, dest: Pages) {
        let upwards = from.contains(dest.start());
        let by = dest.start().raw().abs_diff(from.start().raw()) >> PAGE_SHIFT;
        // In steps of at most the distance, so that a step's source and destination are disjoint,
        // from the end that the move goes towards, so that a step's destination has been vacated. A
        // step stays in one table on either side.
        let source = from.start().raw() >> PAGE_SHIFT;
        let target = dest.start().raw() >> PAGE_SHIFT;
        let mut left = from.count();
        while left > 0 {
            let done = from.count() - left;
            let room = |page: u64| {
                if upwards {
                    (page + left - 1) % TABLE + 1
                } else {
                    TABLE - (page + done) % TABLE
                }
            };
            let n = left.min(by).min(room(source)).min(room(target));
            let offset = if upwards { left - n } else { done };
            self.move_broken(from.skip(offset).take(n), dest.skip(offset).start());
            left -= n;
        }
    }

    /// Makes the broken descriptors of `from` at `to` and clears them. Each side is in one table:
    /// there is none for `to` where `from` is all holes.
    fn move_broken(&self, from: Pages, to: Va) {
        let slots = |va| {
            let (table, level) = self.find(va);
            let n = from.whole_slots(Level::L3);
            (level == Level::L3).then(|| Slots::new(table, level, va, n))
        };
        let (Some(source), Some(target)) = (slots(from.start()), slots(to)) else {
            return;
        };
        let mut next = source.at.start;
        self.mmu.edit(target, |_| {
            let desc = self.mmu.read(source.table, next).restored();
            next += 1;
            if desc.is_valid() {
                Step::Store(desc)
            } else {
                Step::Skip
            }
        });
        let clear = |old: Desc| {
            if old.is_broken() {
                Step::Store(Desc::INVALID)
            } else {
                Step::Skip
            }
        };
        self.mmu.edit(source, clear);
    }
}

/// Pages that one last-level table maps.
const TABLE: u64 = Level::L2.pages();
