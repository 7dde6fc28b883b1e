//! What a task, or a core's handlers and switches, made the machine do, as numbers.

use core::ops::{Add, Sub};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that one writer adds to.
#[derive(Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Zero.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds `n`. A plain load and store: see the parent module for why that is enough.
    #[inline(always)]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Takes `n` off. As [`Count::add`].
    #[inline(always)]
    pub fn sub(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(n), Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Makes it at least `n`. The writer's alone, as [`Count::add`].
    pub fn at_least(&self, n: u64) {
        if self.get() < n {
            self.0.store(n, Relaxed);
        }
    }
}

/// What one task, or one core's interrupt handlers and switches, made the machine do.
#[derive(Default)]
pub struct Counts {
    /// Pairs `dsb ishst; isb` that published stores.
    pub pairs: Count,
    /// DSBs of any kind, those of the pairs among them.
    pub dsb: Count,
    /// ISBs, those of the pairs among them.
    pub isb: Count,
    /// DMBs.
    pub dmb: Count,
    /// TLB invalidation instructions.
    pub tlbi: Count,
    /// Translations those dropped at most, in pages; full invalidations apart.
    pub reach: Count,
    /// Invalidations of a whole ASID or of everything.
    pub full: Count,
    /// Descriptors stored.
    pub stores: Count,
}

/// The values of [`Counts`] at one moment, or the difference of two.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // the fields of Counts
pub struct Tally {
    pub pairs: u64,
    pub dsb: u64,
    pub isb: u64,
    pub dmb: u64,
    pub tlbi: u64,
    pub reach: u64,
    pub full: u64,
    pub stores: u64,
}

impl Counts {
    /// All zero.
    pub const fn new() -> Self {
        Self {
            pairs: Count::new(),
            dsb: Count::new(),
            isb: Count::new(),
            dmb: Count::new(),
            tlbi: Count::new(),
            reach: Count::new(),
            full: Count::new(),
            stores: Count::new(),
        }
    }

    /// The values now.
    pub fn tally(&self) -> Tally {
        Tally {
            pairs: self.pairs.get(),
            dsb: self.dsb.get(),
            isb: self.isb.get(),
            dmb: self.dmb.get(),
            tlbi: self.tlbi.get(),
            reach: self.reach.get(),
            full: self.full.get(),
            stores: self.stores.get(),
        }
    }
}

impl Sub for Tally {
    type Output = Tally;

    fn sub(self, before: Tally) -> Tally {
        Tally {
            pairs: self.pairs - before.pairs,
            dsb: self.dsb - before.dsb,
            isb: self.isb - before.isb,
            dmb: self.dmb - before.dmb,
            tlbi: self.tlbi - before.tlbi,
            reach: self.reach - before.reach,
            full: self.full - before.full,
            stores: self.stores - before.stores,
        }
    }
}

impl Add for Tally {
    type Output = Tally;

    fn add(self, other: Tally) -> Tally {
        Tally {
            pairs: self.pairs + other.pairs,
            dsb: self.dsb + other.dsb,
            isb: self.isb + other.isb,
            dmb: self.dmb + other.dmb,
            tlbi: self.tlbi + other.tlbi,
            reach: self.reach + other.reach,
            full: self.full + other.full,
            stores: self.stores + other.stores,
        }
    }
}
