//! Unmap, protect and replace: a translation is withdrawn or changed, so the TLBs must drop it.

use crate::addr::{Frame, Level, PAGE_SHIFT, PAGE_SIZE, Pages, Va};
use crate::desc::{Access, Desc, Mapping, Memory, Prot, needs_break};
use crate::error::{Error, What};
use crate::gather::{Gather, Sink};
use crate::listed::Listed;
use crate::map::check_prot;
use crate::mmu::{Edited, Mmu, Slots, Step};
use crate::space::Space;

impl<M: Mmu> Space<'_, M> {
    /// Removes the mappings of `pages` (Linux: zap). Holes are fine. Tables stay; see
    /// [`Space::free_tables`].
    ///
    /// The frames go to the gather's sink; the pages may be mapped anew, and the frames reused,
    /// when the gather has paid, which it does on the way where its sink is full. A cleared descriptor
    /// owes no pair. Returns how many pages were mapped.
    ///
    /// # Errors
    /// Nothing changed: [`What::OtherHalf`], [`What::OtherGather`]. Part of the way:
    /// [`What::PartOfBlock`].
    #[inline]
    pub fn unmap<S: Sink>(
        &self,
        pages: Pages,
        gather: &mut Gather<'_, M, S>,
    ) -> Result<u64, Error> {
        self.check_with(pages, gather)?;
        if pages.count() == 1 {
            return self.unmap_page(pages.start(), gather);
        }
        self.unmap_many(pages, gather)
    }

    #[inline(never)]
    fn unmap_many<S: Sink>(
        &self,
        pages: Pages,
        gather: &mut Gather<'_, M, S>,
    ) -> Result<u64, Error> {
        let mut unmapped = 0;
        self.sweep(pages, |slots, _| {
            let level = slots.level;
            // No tables at the last level: a loop without that comparison.
            let cleared = if level == Level::L3 {
                self.clear(slots, Desc::is_valid, gather)
            } else {
                self.clear(slots, |old| old.is_leaf(level), gather)
            };
            unmapped += cleared.stored() as u64 * level.pages();
            Ok(cleared.passed)
        })?;
        Ok(unmapped)
    }

    /// Clears leaves and passes over holes, up to a table. Adds each run of leaves to the gather.
    fn clear<S: Sink>(
        &self,
        slots: Slots<M::Table>,
        is_leaf: impl Fn(Desc) -> bool,
        gather: &mut Gather<'_, M, S>,
    ) -> Edited {
        let slots = slots.take(gather.room());
        let (first, level) = (slots.va, slots.level);
        // Where the run began that goes on; looked at where there is a hole, and at the end.
        let mut run = 0;
        let (mut next, begin, owed) = (0, &mut run, &mut *gather);
        let cleared = self.mmu.edit(slots, move |desc| {
            let n = next;
            next += 1;
            if is_leaf(desc) {
                let va = level.nth(first, n);
                owed.park(Mapping { va, level, desc });
                return Step::Store(Desc::INVALID);
            }
            if desc.is_valid() {
                return Step::Stop;
            }
            owed.add_run(first, level, *begin..n);
            *begin = next;
            Step::Skip
        });
        gather.add_run(first, level, run..cleared.passed);
        cleared
    }

    /// Gives the mappings of `pages` other permissions. Holes are fine; mappings that have them
    /// already are not touched.
    ///
    /// Lost permissions are lost, and new ones usable, when the gather has paid. New permissions
    /// need the invalidation as well: a TLB may hold the old ones, and no fault handler here makes
    /// such an access again. Owes one pair besides, like every store of valid descriptors, unless
    /// the invalidation settles it ([`Mmu::invalidation_settles`]). Returns how many pages are
    /// mapped.
    ///
    /// From writable to executable, or back, goes by way of read-only, in two calls. A TLB may hold the
    /// old right until whatever gather took it away has paid, at these addresses or at those that the
    /// pages were moved from. So the second call invalidates the whole half first, once, where a leaf
    /// may still be held so. (Linux does the like: `set_memory_x` drops every lazy
    /// alias first, `vm_unmap_aliases`.)
    ///
    /// # Errors
    /// Nothing changed: [`What::OtherHalf`], [`What::OtherGather`], an `access` that no
    /// mapping may have ([`What::WriteAndExecute`]). Part of the way: [`What::PartOfBlock`];
    /// [`What::WriteAndExecute`] where a writable mapping would become executable or an executable
    /// one writable, because until the invalidation some core has the one and some core the other;
    /// [`What::ExecutableDevice`].
    #[inline]
    pub fn protect<S: Sink>(
        &self,
        pages: Pages,
        access: Access,
        gather: &mut Gather<'_, M, S>,
    ) -> Result<u64, Error> {
        self.check_with(pages, gather)?;
        check_prot(
            Prot {
                memory: Memory::NORMAL,
                access,
            },
            pages.start(),
        )?;
        if pages.count() == 1 {
            return self.protect_page(pages.start(), access, gather);
        }
        self.protect_many(pages, access, gather)
    }

    #[inline(never)]
    fn protect_many<S: Sink>(
        &self,
        pages: Pages,
        access: Access,
        gather: &mut Gather<'_, M, S>,
    ) -> Result<u64, Error> {
        let (mut stored, mut invalidated) = (false, false);
        let result = self.sweep(pages, |slots, head| {
            let (first, level) = (slots.va, slots.level);
            let new = head.with_access(access);
            // Leaves that differ from this one in their frames alone are a run, which one comparison each recognises. A run that has it
            // already owes nothing.
            if new == head {
                let same = |old: Desc| {
                    if old.is_but_for_frame(head) {
                        Step::Skip
                    } else {
                        Step::Stop
                    }
                };
                return Ok(self.mmu.edit(slots, same).passed);
            }
            let memory = head.memory();
            if let Some(what) = refuse(head, Prot { memory, access }) {
                return Err(what);
            }
            if head.may_contradict(access) && !invalidated {
                // It is read-only by now, but the gather of the call that made it so, or moved it here, may not have paid yet.
                gather.pay_all();
                invalidated = true;
            }
            let edited = self.mmu.edit(slots, |old| {
                if old.is_but_for_frame(head) {
                    Step::Store(old.changed_as(head, new))
                } else {
                    Step::Stop
                }
            });
            if edited.passed > 0 {
                gather.add(first, level, edited.passed);
                stored = true;
            }
            Ok(edited.passed)
        });
        if stored && !self.mmu.invalidation_settles() {
            self.mmu.owe();
        }
        result
    }

    /// Puts other frames, and `prot`, in the place of live pages from `start` on, break-before-make
    /// where the rule requires it ([`needs_break`]): all of them are broken, one invalidation is
    /// paid, all are made.
    ///
    /// While broken, an access from any core faults. The caller sees to it that there is none, or
    /// that the fault waits for the make; never for text or a stack in use ([`Mmu::may_break`]). The
    /// new pages are usable when the pair is paid that this owes, and where `prot` alone changed
    /// when the gather is. The old frames are in the gather's sink, free to be reused after its next
    /// payment or now with [`Gather::pay`], which then executes nothing. A frame that is among `frames`
    /// too, as where pages change places, stays mapped and does not go there.
    ///
    /// # Errors
    /// All leave the pages as they were (though, once broken, an access may have faulted): those of
    /// [`Pages::new`] and [`Space::map`], [`What::OtherGather`], [`What::NotMapped`] at a hole,
    /// [`What::PartOfBlock`], [`What::InUse`] where a page would have to be broken that may not be,
    /// and [`What::WriteAndExecute`] also where a writable page would become executable or the
    /// reverse. What was so before it became read-only takes an invalidation first, as in
    /// [`Space::protect`].
    pub fn replace<S: Sink>(
        &self,
        start: Va,
        frames: &[Frame],
        prot: Prot,
        gather: &mut Gather<'_, M, S>,
    ) -> Result<(), Error> {
        let pages = Pages::new(start, frames.len() as u64)?;
        self.check_with(pages, gather)?;
        check_prot(prot, start)?;
        let bits = self.leaf(Level::L3, Frame::ZERO, prot);
        let mut new = New {
            start,
            frames,
            bits,
            breaks_same: false,
        };
        let mut may_break = None;
        let (mut broke, mut breaks_same, mut held) = (false, false, false);
        let mut why = What::NotMapped;
        let seen = self.last_level(pages, |slots| {
            let head = self.mmu.read(slots.table, slots.at.start);
            let rest = new.from(slots.va);
            let (true, Some(run)) = (head.is_valid(), Run::of(head, rest)) else {
                why = What::NotMapped;
                return 0;
            };
            if let Some(refusal) = refuse(head, prot) {
                why = refusal;
                return 0;
            }
            held |= head.may_contradict(prot.access);
            if !needs_break(Level::L3, head, run.replaced(bits)) {
                return run.keep(self.mmu, slots, rest);
            }
            if !*may_break.get_or_insert_with(|| self.mmu.may_break(pages)) {
                why = What::InUse;
                return 0;
            }
            let va = slots.va;
            let n = run.store(self.mmu, slots, rest, |old, _| old.broken());
            gather.add(va, Level::L3, n);
            (broke, breaks_same) = (true, breaks_same | run.same);
            n
        });
        let rest = pages.skip(seen);
        if !rest.is_empty() {
            self.restore(pages.take(seen));
            let (table, level) = self.find(rest.start());
            let above = level < Level::L3;
            let block = above && self.mmu.read(table, level.index(rest.start())).is_valid();
            let what = if block { What::PartOfBlock } else { why };
            return Err(Error::new(what, rest.start()));
        }
        new.breaks_same = breaks_same;
        if held {
            gather.pay_all();
        } else if broke {
            gather.pay();
        }
        let changed = self.make(pages, &new, gather);
        if broke || changed && !self.mmu.invalidation_settles() {
            self.mmu.owe();
        }
        Ok(())
    }

    /// The second half of [`Space::replace`]: all of `pages` are last-level leaves, broken where
    /// they had to be. Returns whether any was changed without a break.
    fn make<S: Sink>(&self, pages: Pages, new: &New<'_>, gather: &mut Gather<'_, M, S>) -> bool {
        let (mut any, mut kept) = (false, Listed::new(new.frames));
        self.last_level(pages, |slots| {
            let head = self.mmu.read(slots.table, slots.at.start);
            let frames = new.from(slots.va);
            let slots = slots.take(gather.room());
            let (start, mut va) = (slots.va, slots.va.raw());
            // Gives the sink what is in use no more.
            let mut replaced = |old: Desc, frame: Frame| {
                if !S::COLLECTS {
                    return;
                }
                let was = old.frame(Level::L3);
                if was != frame && !kept.contains(was) {
                    gather.park(Mapping {
                        va: Va::new(va),
                        level: Level::L3,
                        desc: old.restored(),
                    });
                }
                va = va.wrapping_add(Level::L3.size());
            };
            if !head.is_valid() && !new.breaks_same {
                // Broken for another frame: nothing of the old form stays.
                let (mut frames, bits) = (frames.iter(), new.bits);
                let edited = self.mmu.edit(slots, move |old| match frames.next() {
                    Some(frame) if !old.is_valid() => {
                        replaced(old, *frame);
                        Step::Store(bits.with_frame(*frame))
                    }
                    _ => Step::Stop,
                });
                return edited.passed;
            }
            let Some(run) = Run::of(head, frames) else {
                return 0;
            };
            let live = run.replaced(new.bits);
            if live == head {
                return run.keep(self.mmu, slots, frames);
            }
            let n = run.store(self.mmu, slots, frames, |old, frame| {
                replaced(old, frame);
                live.with_frame(frame)
            });
            // Live ones were changed without a break, as they may be. TLBs still have to drop the old form.
            if head.is_valid() {
                gather.add(start, Level::L3, n);
                any = true;
            }
            n
        });
        any
    }

    /// Makes broken descriptors valid again, as they were. The TLBs hold nothing else for them, so
    /// this needs no invalidation, only to be seen.
    pub(crate) fn restore(&self, pages: Pages) {
        let mut stored = false;
        self.last_level(pages, |slots| {
            let edited = self.mmu.edit(slots, |desc| {
                if desc.is_broken() {
                    Step::Store(desc.restored())
                } else {
                    Step::Skip
                }
            });
            stored |= edited.stored() > 0;
            edited.passed
        });
        if stored {
            self.mmu.owe();
        }
    }

    /// Goes over the last-level slots of `pages`, until there is no last-level table or `f` deals with none
    /// of those it is given, which are of one table. Returns how many pages it dealt with.
    pub(crate) fn last_level(
        &self,
        pages: Pages,
        mut f: impl FnMut(Slots<M::Table>) -> usize,
    ) -> u64 {
        let mut rest = pages;
        while !rest.is_empty() {
            let va = rest.start();
            let (table, level) = self.find(va);
            if level < Level::L3 {
                break;
            }
            let whole = rest.whole_slots(level);
            let n = f(Slots::new(table, level, va, whole));
            rest = rest.skip(n as u64);
            if n == 0 {
                break;
            }
        }
        pages.count() - rest.count()
    }
}

/// What [`Space::replace`] makes of its pages.
struct New<'f> {
    start: Va,
    frames: &'f [Frame],
    /// A descriptor without its frame.
    bits: Desc,
    /// Some are broken that get the frame that they have.
    breaks_same: bool,
}

impl<'f> New<'f> {
    /// The frames from the one for `va` on.
    fn from(&self, va: Va) -> &'f [Frame] {
        let page = usize::try_from((va.raw() - self.start.raw()) >> PAGE_SHIFT);
        let rest = page.ok().and_then(|page| self.frames.get(page..));
        rest.unwrap_or_default()
    }
}

/// A run of last-level leaves, live or broken, that get new frames: they differ in their frames alone, and either all get the frame
/// that they have, or none does. So what is to be done with one is to be done with all.
#[derive(Clone, Copy)]
struct Run {
    head: Desc,
    same: bool,
}

impl Run {
    /// The run that begins with `head`, which gets the first of `frames`.
    fn of(head: Desc, frames: &[Frame]) -> Option<Self> {
        let same = head.frame(Level::L3) == *frames.first()?;
        Some(Self { head, same })
    }

    /// What becomes of `head`, but for the frame: its own if that stays, else another.
    fn replaced(self, bits: Desc) -> Desc {
        let new = bits.with_frame_of(self.head);
        if self.same {
            // The memory type may be all that changes: then the frame is still in use.
            new.in_place_of(self.head.restored())
        } else {
            Desc::from_bits(new.bits() ^ PAGE_SIZE)
        }
    }

    /// Stores what `new` makes of each leaf and its frame, to the end of the run. Returns how many.
    #[inline]
    fn store<M: Mmu>(
        self,
        mmu: &M,
        slots: Slots<M::Table>,
        frames: &[Frame],
        mut new: impl FnMut(Desc, Frame) -> Desc,
    ) -> usize {
        let (mut frames, has) = (frames.iter(), self.members());
        let edited = mmu.edit(slots, move |old| match frames.next() {
            Some(frame) if has(old, *frame) => Step::Store(new(old, *frame)),
            _ => Step::Stop,
        });
        edited.passed
    }

    /// Leaves the run as it is, and returns how many it has.
    fn keep<M: Mmu>(self, mmu: &M, slots: Slots<M::Table>, frames: &[Frame]) -> usize {
        let (mut frames, has) = (frames.iter(), self.members());
        let edited = mmu.edit(slots, move |old| match frames.next() {
            Some(frame) if has(old, *frame) => Step::Skip,
            _ => Step::Stop,
        });
        edited.passed
    }

    /// Whether a leaf that gets a frame is one of the run. One comparison: with the bits of the frame at the bottom, the difference is 0
    /// if only the frame is there and stays, less than 2^36 if only the frame changes, and more if there is anything else.
    #[inline]
    fn members(self) -> impl Fn(Desc, Frame) -> bool {
        let attributes = self
            .head
            .with_frame(Frame::ZERO)
            .bits()
            .rotate_right(PAGE_SHIFT);
        let (least, count) = if self.same {
            (0, 1)
        } else {
            (1, (1 << 36) - 1)
        };
        move |leaf, frame| {
            let difference = (leaf.bits() ^ frame.pa().raw()).rotate_right(PAGE_SHIFT) ^ attributes;
            difference.wrapping_sub(least) < count
        }
    }
}

/// Why a live leaf may not go over to `new`.
#[inline]
pub(crate) fn refuse(old: Desc, new: Prot) -> Option<What> {
    let (writable, executable) = (new.access.is_writable(), new.access.is_executable());
    if (executable && old.is_writable()) || (writable && old.is_executable()) {
        return Some(What::WriteAndExecute);
    }
    (executable && new.memory == Memory::DEVICE).then_some(What::ExecutableDevice)
}
