//! Runs of translations: the few that a debt keeps apart.

use core::slice;

use crate::addr::{Level, PAGE_SHIFT, Va};

/// Runs of withdrawn translations that a debt keeps apart. With a fifth, those two become one that are
/// cheapest to invalidate as one: that costs less than carrying a list that needs memory.
const SPANS: usize = 4;

/// A run of translations withdrawn, all with leaves of one level, or of several after a merge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    pub start: Va,
    pub pages: u64,
    /// The finest level in it.
    pub level: Level,
    /// Leaves of coarser levels are in it too, so the level is no TTL hint.
    pub mixed: bool,
}

impl Span {
    const EMPTY: Span = Span {
        start: Va::new(0),
        pages: 0,
        level: Level::L0,
        mixed: false,
    };

    /// Page numbers, so that the end of the upper half is representable.
    pub const fn first(&self) -> u64 {
        self.start.raw() >> PAGE_SHIFT
    }

    pub const fn end(&self) -> u64 {
        self.first() + self.pages
    }

    /// Whether all of its leaves are pages.
    #[inline]
    pub const fn is_of_pages(&self) -> bool {
        matches!(self.level, Level::L3) && !self.mixed
    }

    const fn new(start: Va, level: Level, pages: u64) -> Self {
        Self {
            start,
            pages,
            level,
            mixed: false,
        }
    }

    /// The address behind it; 0 behind the last page of the upper half.
    #[inline]
    const fn end_raw(&self) -> u64 {
        self.start.raw().wrapping_add(self.pages << PAGE_SHIFT)
    }

    #[inline]
    pub const fn contains(&self, va: Va) -> bool {
        va.raw().wrapping_sub(self.start.raw()) >> PAGE_SHIFT < self.pages
    }

    /// Whether the invalidations of this one reach all of `other`: in range, and at a stride at
    /// least as fine.
    fn covers(&self, other: &Span) -> bool {
        self.first() <= other.first() && other.end() <= self.end() && self.level >= other.level
    }

    /// Whether they are of one level, with nothing between them.
    fn adjoins(&self, other: &Span) -> bool {
        self.level == other.level && (self.end() == other.first() || other.end() == self.first())
    }

    /// The smallest span over both.
    fn merged(&self, other: &Span) -> Span {
        let first = self.first().min(other.first());
        Span {
            start: self.start.min(other.start),
            pages: self.end().max(other.end()) - first,
            level: self.level.max(other.level),
            mixed: self.mixed || other.mixed || self.level != other.level,
        }
    }

    /// Operations that it takes without FEAT_TLBIRANGE: one at each stride.
    const fn ops(&self) -> u64 {
        self.pages >> (self.level.shift() - PAGE_SHIFT)
    }

    /// Operations that it takes more to invalidate both as one: for the gap, and for the coarser of the two at
    /// the stride of the finer.
    fn price(&self, other: &Span) -> u64 {
        let apart = self.ops() + other.ops();
        self.merged(other).ops().saturating_sub(apart)
    }
}

/// Runs, in ascending order of their first pages.
///
/// Most debts are one run, and set up no list. The tag is a word of its own, and not in a field's spare values, so that a run is
/// stored by words.
#[derive(Debug)]
#[repr(u64)]
pub enum Spans {
    None,
    One(Span),
    Several {
        list: [Span; SPANS],
        used: usize,
        /// The lowest [`Span::price`] of two neighbours where the list is full, else 0.
        cheapest: u64,
    },
}

impl Spans {
    #[inline]
    pub fn as_slice(&self) -> &[Span] {
        match self {
            Spans::None => &[],
            Spans::One(span) => slice::from_ref(span),
            Spans::Several { list, used, .. } => list.get(..*used).unwrap_or(list),
        }
    }

    /// How many pages they have.
    #[inline]
    pub fn pages(&self) -> u64 {
        match self {
            Spans::None => 0,
            Spans::One(span) => span.pages,
            Spans::Several { .. } => self.as_slice().iter().map(|span| span.pages).sum(),
        }
    }

    /// The last run, which ends highest, and how many descriptors a gap behind it may have so that filling it is no dearer than
    /// merging two others.
    #[inline]
    fn last_mut(&mut self) -> Option<(&mut Span, u64)> {
        match self {
            Spans::None => None,
            Spans::One(span) => Some((span, 0)),
            Spans::Several {
                list,
                used,
                cheapest,
            } => Some((list.get_mut(*used - 1)?, *cheapest)),
        }
    }

    /// Adds a run. Page by page upwards, as operations go, that is one comparison.
    #[inline(always)]
    pub fn add(&mut self, start: Va, level: Level, pages: u64) {
        if let Spans::One(span) = self
            && span.level == level
            && start.raw() == span.end_raw()
        {
            span.pages += pages;
        } else if let Spans::None = self {
            *self = Spans::One(Span::new(start, level, pages));
        } else {
            self.add_to_several(start, level, pages);
        }
    }

    #[inline(never)]
    fn add_to_several(&mut self, start: Va, level: Level, pages: u64) {
        self.add_apart(start, level, pages);
    }

    /// The same without the short way. Behind all others, that is one comparison too.
    #[inline(always)]
    pub fn add_apart(&mut self, start: Va, level: Level, pages: u64) {
        let Some((last, room)) = self.last_mut() else {
            *self = Spans::One(Span::new(start, level, pages));
            return;
        };
        // Below the last run it is no gap, and wraps around. Of one level, the gap is the price of merging.
        let first = start.raw() >> PAGE_SHIFT;
        let gap = first.wrapping_sub(last.end()) >> (level.shift() - PAGE_SHIFT);
        if gap <= room && last.level == level {
            last.pages = first + pages - last.first();
        } else {
            self.place(start, level, pages);
        }
    }

    /// Adds a run wherever it belongs.
    #[inline(never)]
    fn place(&mut self, start: Va, level: Level, pages: u64) {
        let mut new = Span::new(start, level, pages);
        let mut all = [Span::EMPTY; SPANS + 1];
        let mut used = 0;
        for span in self.as_slice() {
            all[used] = *span;
            used += 1;
        }
        if let Some(cover) = all[..used].iter_mut().find(|s| s.covers(&new)) {
            // Its range and stride reach the new one. If that is of another level, a hint would leave it in the TLB.
            cover.mixed |= cover.level != new.level;
        } else {
            while let Some(at) = all[..used].iter().position(|s| s.adjoins(&new)) {
                new = all[at].merged(&new);
                all.copy_within(at + 1..used, at);
                used -= 1;
            }
            let at = all[..used].partition_point(|s| s.first() < new.first());
            all.copy_within(at..used, at + 1);
            all[at] = new;
            used += 1;
        }
        if used > SPANS {
            let price = |n: &usize| all[*n].price(&all[*n + 1]);
            let n = (0..SPANS).min_by_key(price).unwrap_or(0);
            all[n] = all[n].merged(&all[n + 1]);
            all.copy_within(n + 2.., n + 1);
            used = SPANS;
        }
        let [list @ .., _] = all;
        let prices = list.windows(2).map(|two| two[0].price(&two[1]));
        let cheapest = prices.min().filter(|_| used == SPANS).unwrap_or(0);
        *self = Spans::Several {
            list,
            used,
            cheapest,
        };
    }
}
