//! What a task, or a core's handlers and switches, made the machine do, as numbers.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::kinds;

/// A number that one writer adds to.
#[derive(Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Zero.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds `n`. A plain load and store: see the parent module for why that suffices.
    #[inline(always)]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Makes it `n`. The writer's alone, as [`Count::add`].
    #[inline(always)]
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Declares a record of counts and the values of it from one list, so that no figure is forgotten in a sum or a difference:
/// `now` is how many there are at the moment, and no value of a span of time; `most` is a maximum, which a difference keeps and
/// a sum takes the greater of; `kinds` has a number for each kind of instruction ([`kinds`]).
macro_rules! counted {
    (
        $(#[$record:meta])*
        $counts:ident, read by $read:ident as $values:ident:
        now { $($(#[$now_is:meta])* $now:ident,)* }
        most { $($(#[$most_is:meta])* $most:ident,)* }
        sums { $($(#[$what:meta])* $name:ident,)* }
        kinds { $($(#[$each:meta])* $kind:ident,)* }
    ) => {
        $(#[$record])*
        #[derive(Default)]
        pub struct $counts {
            $($(#[$now_is])* pub $now: Count,)*
            $($(#[$most_is])* pub $most: Count,)*
            $($(#[$what])* pub $name: Count,)*
            $($(#[$each])* pub $kind: [Count; $crate::task::kinds::KINDS],)*
        }

        #[doc = concat!("The values of [`", stringify!($counts), "`] at one moment, or the difference of two.")]
        #[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
        pub struct $values {
            $($(#[$most_is])* pub $most: u64,)*
            $($(#[$what])* pub $name: u64,)*
            $($(#[$each])* pub $kind: [u64; $crate::task::kinds::KINDS],)*
        }

        impl $counts {
            /// All zero.
            pub const fn new() -> Self {
                Self {
                    $($now: Count::new(),)*
                    $($most: Count::new(),)*
                    $($name: Count::new(),)*
                    $($kind: [const { Count::new() }; $crate::task::kinds::KINDS],)*
                }
            }

            /// The values now.
            pub fn $read(&self) -> $values {
                $values {
                    $($most: self.$most.get(),)*
                    $($name: self.$name.get(),)*
                    $($kind: self.$kind.each_ref().map(Count::get),)*
                }
            }
        }

        /// What happened since.
        impl core::ops::Sub for $values {
            type Output = $values;

            fn sub(self, before: $values) -> $values {
                $values {
                    $($most: self.$most,)*
                    $($name: self.$name - before.$name,)*
                    $($kind: core::array::from_fn(|kind| self.$kind[kind] - before.$kind[kind]),)*
                }
            }
        }

        /// The figures of both.
        impl core::ops::Add for $values {
            type Output = $values;

            fn add(self, other: $values) -> $values {
                $values {
                    $($most: self.$most.max(other.$most),)*
                    $($name: self.$name + other.$name,)*
                    $($kind: core::array::from_fn(|kind| self.$kind[kind] + other.$kind[kind]),)*
                }
            }
        }
    };
}
pub(super) use counted;

counted! {
    /// What one task, or one core's interrupt handlers and switches, made the machine do.
    Counts, read by tally as Tally:
    now {}
    most {}
    sums {
        /// Pairs `dsb ishst; isb` that published stores, counted with their DSBs.
        pairs,
        /// The ISBs of pairs: as many, or a barrier was lost.
        pair_isbs,
        /// Those behind AT.
        translations,
        /// Translations that TLBIs dropped at most, in pages; full invalidations apart.
        reach,
        /// Invalidations of a whole ASID or of everything.
        full,
        /// Descriptors stored.
        stores,
    }
    kinds {
        /// Barriers and TLBIs that were executed, those of the pairs among them.
        executed,
    }
}

impl Tally {
    /// DSBs, ISBs, DMBs and TLBIs, of all kinds.
    pub fn totals(&self) -> [u64; 4] {
        [kinds::DSBS, kinds::ISBS, kinds::DMBS, kinds::TLBIS]
            .map(|kinds| self.executed[kinds].iter().sum())
    }
}
