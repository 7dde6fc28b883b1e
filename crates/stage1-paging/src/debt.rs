//! What is owed to the TLBs: which translations were withdrawn, and which invalidations that takes.

use crate::addr::{Half, Level, PAGE_SHIFT, Pages, Va};
use crate::tlbi::{Batch, Features, Run, Tlbi, steps, take};

/// Runs of withdrawn translations that a debt keeps apart. With a fifth, those two become one that are
/// cheapest to invalidate as one: that costs less than carrying a list that needs memory.
const SPANS: usize = 4;

/// The most TLBI operations for one debt. Beyond it the whole ASID goes, or everything for the
/// upper half.
///
/// A TLBI costs a broadcast that every core must answer; an entry dropped without need costs one
/// walk, later, where it is used again. The second-level TLBs of the cores meant here hold 1024 to
/// 2048 entries (Cortex-A72: 1024, Neoverse N1: 1280). So a full invalidation is worth about as
/// many walks, and single operations stop paying somewhere below that. 512 is one last-level
/// table's worth and also where Linux stops (`MAX_DVM_OPS`). With FEAT_TLBIRANGE it takes
/// terabytes to reach it.
pub const MAX_OPS: u64 = 512;

/// A run of translations withdrawn, all with leaves of one level, or of several after a merge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Span {
    start: Va,
    pages: u64,
    /// The finest level in it.
    level: Level,
    /// Leaves of coarser levels are in it too, so the level is no TTL hint.
    mixed: bool,
}

impl Span {
    const EMPTY: Span = Span {
        start: Va::new(0),
        pages: 0,
        level: Level::L0,
        mixed: false,
    };

    /// Page numbers, so that the end of the upper half is representable.
    const fn first(&self) -> u64 {
        self.start.raw() >> PAGE_SHIFT
    }

    const fn end(&self) -> u64 {
        self.first() + self.pages
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

/// Translations withdrawn from one half and not yet invalidated.
///
/// A [`Gather`](crate::Gather) collects it; [`Mmu::invalidate`](crate::Mmu::invalidate) pays it. It
/// is not `Clone`, and a gather lends it without `mut`: only an implementation of
/// [`Mmu::invalidate`](crate::Mmu::invalidate) can mark it as paid.
#[derive(Debug)]
#[must_use = "translations that were withdrawn may still be in TLBs"]
pub struct Debt {
    half: Half,
    /// In ascending order of their first pages.
    spans: [Span; SPANS],
    used: usize,
    /// The lowest [`Span::price`] of two neighbours; known when there are [`SPANS`] of them.
    cheapest: u64,
    /// A table was unlinked: walk caches hold it.
    tables: bool,
    /// Everything of the half, whatever the spans say.
    all: bool,
}

impl Debt {
    /// Nothing owed yet for `half`.
    pub(crate) const fn new(half: Half) -> Self {
        Self {
            half,
            spans: [Span::EMPTY; SPANS],
            used: 0,
            cheapest: 0,
            tables: false,
            all: false,
        }
    }

    /// The half, and so the ASID, it is about.
    pub const fn half(&self) -> Half {
        self.half
    }

    /// Whether nothing is owed.
    pub const fn is_empty(&self) -> bool {
        self.used == 0 && !self.all
    }

    /// Whether walk caches must be invalidated too, because a table was unlinked.
    pub const fn frees_tables(&self) -> bool {
        self.tables
    }

    /// Adds `n` descriptors of `level` from the one that translates `va`.
    pub(crate) fn add(&mut self, va: Va, level: Level, n: u64) {
        let new = Span {
            start: va,
            pages: n * level.pages(),
            level,
            mixed: false,
        };
        if self.used == 0 {
            (self.spans[0], self.used) = (new, 1);
            return;
        }
        // Upwards, as operations go: behind the last run, or so close to it that no two others are cheaper to merge.
        if let Some(last) = self.spans[..self.used].last_mut()
            && last.level == level
            && last.end() <= new.first()
            && (last.end() == new.first()
                || self.used == SPANS && last.price(&new) <= self.cheapest)
        {
            last.pages = new.end() - last.first();
            return;
        }
        self.place(new);
    }

    /// Adds a run wherever it belongs.
    #[inline(never)]
    fn place(&mut self, mut new: Span) {
        if let Some(cover) = self.spans[..self.used].iter_mut().find(|s| s.covers(&new)) {
            // Its range and stride reach the new one. If that is of another level, a hint would leave it in the TLB.
            cover.mixed |= cover.level != new.level;
            return;
        }
        while let Some(at) = self.spans[..self.used].iter().position(|s| s.adjoins(&new)) {
            new = self.spans[at].merged(&new);
            self.spans.copy_within(at + 1..self.used, at);
            self.used -= 1;
        }
        let at = self.spans[..self.used].partition_point(|s| s.first() < new.first());
        let mut all = [Span::EMPTY; SPANS + 1];
        all[..SPANS].copy_from_slice(&self.spans);
        all.copy_within(at..self.used, at + 1);
        all[at] = new;
        if self.used == SPANS {
            let price = |n: &usize| all[*n].price(&all[*n + 1]);
            let n = (0..SPANS).min_by_key(price).unwrap_or(0);
            all[n] = all[n].merged(&all[n + 1]);
            all.copy_within(n + 2.., n + 1);
        } else {
            self.used += 1;
        }
        self.spans.copy_from_slice(&all[..SPANS]);
        let neighbours = self.spans.windows(2).map(|two| two[0].price(&two[1]));
        self.cheapest = neighbours.min().unwrap_or(0);
    }

    /// Adds a table of the level below `level`, unlinked from the descriptor that translates `va`.
    pub(crate) fn add_table(&mut self, va: Va, level: Level) {
        self.tables = true;
        // One operation at any address below the descriptor reaches every walk cache entry made
        // from it.
        self.add(va, level, 1);
    }

    /// Makes it everything of the half, walk caches included.
    pub(crate) fn add_all(&mut self) {
        self.all = true;
        self.tables = true;
    }

    /// Whether a translation of `pages` may be in it.
    pub(crate) fn touches(&self, pages: Pages) -> bool {
        let first = pages.start().raw() >> PAGE_SHIFT;
        let hit = |s: &Span| s.first() < first + pages.count() && first < s.end();
        self.all || self.spans[..self.used].iter().any(hit)
    }

    /// The pages it is about: all that were withdrawn, and the gaps between runs that were merged.
    pub fn pages(&self) -> impl Iterator<Item = Pages> {
        let spans = if self.all {
            &[]
        } else {
            &self.spans[..self.used]
        };
        let whole = self.all.then(|| Pages::whole(self.half));
        // A span lies within its half, so `new` does not refuse it.
        let runs = spans.iter().flat_map(|s| Pages::new(s.start, s.pages));
        whole.into_iter().chain(runs)
    }

    fn runs(&self) -> impl Iterator<Item = Run> {
        self.spans[..self.used].iter().map(|s| Run {
            va: s.start,
            pages: s.pages,
            stride: s.level.pages(),
            // With a table gone the entries to drop stand at several levels: no hint.
            level: (!s.mixed && !self.tables).then_some(s.level),
        })
    }

    /// The invalidations to execute between `dsb ishst` and `dsb ish`, in any order.
    ///
    /// Last level only when no table was unlinked. Range operations where there are any; else one
    /// per leaf; beyond [`MAX_OPS`] one for the whole ASID, or everything.
    pub fn ops(&self, features: Features) -> impl Iterator<Item = Tlbi> {
        self.batches(features).flat_map(Batch::ops)
    }

    /// The same, repetitions folded: the fast way to execute them.
    pub fn batches(&self, features: Features) -> impl Iterator<Item = Batch> {
        let count: u64 = self.runs().map(|run| steps(&run, features)).sum();
        let all = self.all || count > MAX_OPS;
        let (half, leaf_only) = (self.half, !self.tables);
        let runs = self.runs().take(if all { 0 } else { SPANS });
        let each =
            move |mut run| core::iter::from_fn(move || take(&mut run, half, leaf_only, features));
        let everything = all.then(|| Batch::one(Tlbi::all(half)));
        everything.into_iter().chain(runs.flat_map(each))
    }

    /// How many translations the invalidations drop at most, in pages or blocks; `None` when that
    /// has no bound.
    pub fn reach(&self, features: Features) -> Option<u64> {
        self.ops(features).map(Tlbi::reach).sum()
    }

    /// Nothing is owed any more, and the proof of it. For implementations of
    /// [`Mmu::invalidate`](crate::Mmu::invalidate), after their last barrier.
    pub fn done(&mut self) -> Done {
        let all_of = self.all.then_some(self.half);
        (self.used, self.tables, self.all) = (0, false, false);
        Done { all_of }
    }
}

/// The proof that what a gather collected has been invalidated on every core. Without it no table
/// is freed, and no frame should be.
///
/// It says nothing about other gathers; that the right frames are freed with it is what the
/// [`Sink`](crate::Sink) is for, which comes out of its own gather together with this proof.
///
/// It is neither `Clone` nor `Copy`, so what gives an ASID or a frame back with it takes it by value:
///
/// ```
/// # use stage1_paging::Done;
/// # fn f(done: Done) {
/// fn give_back(_: Done) {}
/// give_back(done);
/// # }
/// ```
/// Then it is used up, and none is kept until the ASID is in use again:
/// ```compile_fail,E0382
/// # use stage1_paging::Done;
/// # fn f(done: Done) {
/// fn give_back(_: Done) {}
/// give_back(done);
/// give_back(done);
/// # }
/// ```
#[derive(Debug)]
pub struct Done {
    /// The half that was invalidated whole, if one was.
    all_of: Option<Half>,
}

impl Done {
    /// For a gather that withdrew nothing.
    pub(crate) const fn nothing_owed() -> Self {
        Done { all_of: None }
    }

    /// Whether everything of `half` was invalidated, as at the end of a space: so its ASID, if it has one, may be another's.
    ///
    /// It holds until a walk through the tables of `half` can be made again, and for the cores of the
    /// [`Mmu`](crate::Mmu) that has invalidated. Neither is in the proof: who gives the ASID back consumes it at once, and
    /// has one machine.
    pub fn is_of_all(&self, half: Half) -> bool {
        self.all_of == Some(half)
    }
}
