//! What is owed to the TLBs: which translations were withdrawn, and which invalidations that takes.

use core::slice;

use crate::addr::{Half, Level, PAGE_SHIFT, Pages, Va};
use crate::spans::{Span, Spans};
use crate::tlbi::{Batch, Features, Run, Tlbi, only, steps, take};

/// The most TLBI operations for one debt. Beyond it the whole ASID goes, or everything for the upper half.
///
/// A TLBI costs a broadcast that every core must answer; an entry dropped without need costs one walk, later, where it is used
/// again. The second-level TLBs of the cores meant here hold 1024 to 2048 entries (Cortex-A72: 1024, Neoverse N1: 1280). So a full
/// invalidation is worth about as many walks, and single operations stop paying somewhere below that. 512 is one last-level table's
/// worth and also where Linux stops (`MAX_DVM_OPS`). With FEAT_TLBIRANGE it takes terabytes to reach it.
pub const MAX_OPS: u64 = 512;

/// Translations withdrawn from one half and not yet invalidated.
///
/// A [`Gather`](crate::Gather) collects it; [`Mmu::invalidate`](crate::Mmu::invalidate) pays it. It
/// is not `Clone`, and a gather lends it without `mut`: only an implementation of
/// [`Mmu::invalidate`](crate::Mmu::invalidate) can mark it as paid.
#[derive(Debug)]
#[must_use = "translations that were withdrawn may still be in TLBs"]
pub struct Debt {
    half: Half,
    spans: Spans,
    /// A table was unlinked: walk caches hold it.
    tables: bool,
    /// Everything of the half, whatever the spans say.
    all: bool,
}

impl Debt {
    /// Nothing owed yet for `half`.
    #[inline]
    pub(crate) const fn new(half: Half) -> Self {
        Self {
            half,
            spans: Spans::None,
            tables: false,
            all: false,
        }
    }

    /// The half, and so the ASID, it is about.
    pub const fn half(&self) -> Half {
        self.half
    }

    /// Whether nothing is owed.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        matches!(self.spans, Spans::None) && !self.all
    }

    /// Whether walk caches must be invalidated too, because a table was unlinked.
    pub const fn frees_tables(&self) -> bool {
        self.tables
    }

    /// Adds `n` descriptors of `level` from the one that translates `va`.
    #[inline]
    pub(crate) fn add(&mut self, va: Va, level: Level, n: u64) {
        self.spans.add(va, level, n * level.pages());
    }

    /// The same, where it is to be one call.
    #[inline(always)]
    pub(crate) fn add_apart(&mut self, va: Va, level: Level, n: u64) {
        self.spans.add_apart(va, level, n * level.pages());
    }

    /// Adds a table of the level below `level`, unlinked from the descriptor that translates `va`.
    pub(crate) fn add_table(&mut self, va: Va, level: Level) {
        self.tables = true;
        // One operation at any address below the descriptor reaches every walk cache entry made from it.
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
        self.all || self.spans.as_slice().iter().any(hit)
    }

    /// Whether a translation of the page at `va` may be in it. Of one run, that is one comparison.
    #[inline]
    pub(crate) fn touches_page(&self, va: Va) -> bool {
        match &self.spans {
            Spans::One(span) if !self.all => span.contains(va),
            _ => Pages::one(va).is_ok_and(|page| self.touches(page)),
        }
    }

    /// The pages it is about: all that were withdrawn, and the gaps between runs that were merged.
    pub fn pages(&self) -> impl Iterator<Item = Pages> {
        let spans = if self.all { &[] } else { self.spans.as_slice() };
        let whole = self.all.then(|| Pages::whole(self.half));
        // A span lies within its half, so `new` does not refuse it.
        let runs = spans.iter().flat_map(|s| Pages::new(s.start, s.pages));
        whole.into_iter().chain(runs)
    }

    #[inline]
    fn run(&self, span: &Span) -> Run {
        Run {
            va: span.start,
            pages: span.pages,
            stride: span.level.pages(),
            // With a table gone the entries to drop stand at several levels: no hint.
            level: (!span.mixed && !self.tables).then_some(span.level),
        }
    }

    /// Whether everything goes.
    #[inline]
    fn is_everything(&self, features: Features) -> bool {
        // No run takes more operations than it has pages. So of few they need not be counted.
        self.all || (self.spans.pages() > MAX_OPS && self.count(features) > MAX_OPS)
    }

    /// How many operations all runs take.
    #[inline(never)]
    fn count(&self, features: Features) -> u64 {
        let steps = |span| steps(&self.run(span), features);
        self.spans.as_slice().iter().map(steps).sum()
    }

    /// The invalidations to execute between `dsb ishst` and `dsb ish`, in any order.
    ///
    /// Last level only when no table was unlinked. Range operations where there are any; else one
    /// per leaf; beyond [`MAX_OPS`] one for the whole ASID, or everything.
    pub fn ops(&self, features: Features) -> impl Iterator<Item = Tlbi> {
        self.batches(features).flat_map(Batch::ops)
    }

    #[inline(always)]
    pub(crate) fn batches(&self, features: Features) -> Batches<'_> {
        let all = self.is_everything(features);
        let spans = if all { &[] } else { self.spans.as_slice() };
        Batches {
            debt: self,
            features,
            everything: all,
            spans: spans.iter(),
            run: None,
        }
    }

    /// Calls `f` with each of [`Debt::ops`], repetitions folded: the fast way to execute them. See [`Debt::only`] first.
    #[inline(never)]
    pub fn each_batch(&self, features: Features, mut f: impl FnMut(Batch)) {
        // Not `for_each`: so there is one place where `f` is called, and it is inlined.
        for batch in self.batches(features) {
            f(batch);
        }
    }

    /// The only one of [`Debt::each_batch`], if one operation is enough for the pages of one run: the fast way to it, and what most owe.
    #[inline(always)]
    pub fn only(&self, features: Features) -> Option<Batch> {
        match &self.spans {
            Spans::One(span) if span.is_of_pages() && !self.tables && !self.all => {
                only(self.half, span.start, span.pages, features)
            }
            _ => None,
        }
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
        (self.spans, self.tables, self.all) = (Spans::None, false, false);
        Done { all_of }
    }
}

/// The invalidations of a debt, in batches.
pub(crate) struct Batches<'d> {
    debt: &'d Debt,
    features: Features,
    /// One operation is for all, and comes next.
    everything: bool,
    spans: slice::Iter<'d, Span>,
    /// What is left of the span that it is at.
    run: Option<Run>,
}

impl Iterator for Batches<'_> {
    type Item = Batch;

    #[inline(always)]
    fn next(&mut self) -> Option<Batch> {
        let debt = self.debt;
        if self.everything {
            self.everything = false;
            return Some(Batch::one(Tlbi::all(debt.half)));
        }
        let mut run = match self.run.take() {
            Some(run) => run,
            None => debt.run(self.spans.next()?),
        };
        let batch = take(&mut run, debt.half, !debt.tables, self.features);
        self.run = (run.pages > 0).then_some(run);
        Some(batch)
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
