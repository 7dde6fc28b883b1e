//! Batches of zapped mappings: Linux's `mmu_gather` with its bundle and its batch pages.
//!
//! A batch page is allocated when the one before is full, inside the section of the zap: with the debug page allocator that
//! is a nested section, once in about 510 pages. If there is no frame for it, what is parked is invalidated and freed, and the
//! zap goes on with the bundle. (Linux: `tlb_next_batch`, `tlb_flush_mmu`.)

use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use stage1_paging::{Done, Frame, Mapping, Pa, Sink};

use crate::mem::frames::{self, Owned};
use crate::observe::access;
use crate::task;

/// How many mappings fit before there is a batch page: Linux's `MMU_GATHER_BUNDLE`.
pub(super) const BUNDLE: usize = 8;

/// The sink of a zap. It owns the frames that are zapped, and frees each when its last mapping is gone and invalidated.
pub(super) struct Batches {
    /// In ascending order.
    numbers: Vec<Frame>,
    /// Each with the number of mappings that it has left; `None` once it is freed.
    frames: Vec<Option<(Owned, u32)>>,
    bundle: [AtomicU64; BUNDLE],
    /// The batch pages, in the order of their allocation. [`Sink::room`] allocates them.
    pages: RefCell<Vec<Owned>>,
    per_page: usize,
    /// How many mappings are in the bundle and the pages.
    parked: usize,
    freed: usize,
    /// A batch page was handed out with its pair pending.
    ahead: Cell<bool>,
}

impl Batches {
    /// For the mappings of these frames: `mapped` names a frame once for each. A batch page holds `per_page`.
    pub(super) fn new(mut owned: Vec<Owned>, mapped: &[Frame], per_page: usize) -> Self {
        owned.sort_unstable_by_key(Owned::frame);
        let numbers: Vec<Frame> = owned.iter().map(Owned::frame).collect();
        let mut counts = alloc::vec![0; numbers.len()];
        for place in mapped.iter().flat_map(|frame| numbers.binary_search(frame)) {
            counts[place] += 1;
        }
        Self {
            numbers,
            frames: owned.into_iter().zip(counts).map(Some).collect(),
            bundle: [const { AtomicU64::new(0) }; BUNDLE],
            pages: RefCell::new(Vec::with_capacity(mapped.len() / per_page + 1)),
            per_page,
            parked: 0,
            freed: 0,
            ahead: Cell::new(false),
        }
    }

    /// How many frames were freed.
    pub(super) fn freed(&self) -> usize {
        self.freed
    }

    /// Whether the allocator's section ended without paying for a batch page.
    pub(super) fn ran_ahead(&self) -> bool {
        self.ahead.get()
    }

    /// Frees what is parked, which the completed invalidation allows. A batch page goes with its batch, and the bundle with the first:
    /// each batch leaves the linear map in one nested section, with one invalidation.
    pub(super) fn free(&mut self, _done: &Done) {
        let mut left = self.parked;
        let bundle = core::mem::take(&mut self.bundle);
        let mut batch = self.unmapped(&bundle, &mut left);
        for page in self.pages.take() {
            batch.extend(self.unmapped(&page.words()[..self.per_page], &mut left));
            batch.push(page);
            frames::free_all(core::mem::take(&mut batch));
        }
        frames::free_all(batch);
        self.parked = 0;
    }

    /// The frames among the first `left` of these words that have no mapping any more.
    fn unmapped(&mut self, words: &[AtomicU64], left: &mut usize) -> Vec<Owned> {
        let mut batch = Vec::with_capacity(words.len() + 1);
        let count = words.len().min(*left);
        *left -= count;
        for word in &words[..count] {
            let frame = Pa::new(word.load(Relaxed)).and_then(Frame::new);
            let place = frame.and_then(|frame| self.numbers.binary_search(&frame).ok());
            if let Some(slot) = place.and_then(|place| self.frames.get_mut(place))
                && let Some((_, mappings)) = slot
            {
                *mappings -= 1;
                if *mappings == 0 {
                    batch.extend(slot.take().map(|(frame, _)| frame));
                }
            }
        }
        self.freed += batch.len();
        batch
    }
}

impl Sink for Batches {
    fn park(&mut self, mapping: Mapping) {
        let pa = mapping.frame().pa().raw();
        let slot = match self.parked.checked_sub(BUNDLE) {
            None => &self.bundle[self.parked],
            Some(n) => &self.pages.get_mut()[n / self.per_page].words()[n % self.per_page],
        };
        slot.store(pa, Relaxed);
        self.parked += 1;
    }

    fn room(&self) -> usize {
        let mut pages = self.pages.borrow_mut();
        if self.parked == BUNDLE + pages.len() * self.per_page
            && let Some(page) = frames::alloc()
        {
            // Linux stores to it at once, so its pair must have been paid.
            let pending = frames::is_debug() && task::current().mmu.is_pending();
            self.ahead.set(self.ahead.get() || pending);
            access::fill(page.frame());
            pages.push(page);
        }
        BUNDLE + pages.len() * self.per_page - self.parked
    }

    fn release(&mut self, done: &Done) {
        self.free(done);
    }
}
