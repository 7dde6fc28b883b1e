//! What a task, or a core's handlers and switches, made the machine do, as numbers.

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
/// a sum takes the greater of.
macro_rules! counted {
    (
        $(#[$record:meta])*
        $counts:ident, read by $read:ident as $values:ident:
        now { $($(#[$now_is:meta])* $now:ident,)* }
        most { $($(#[$most_is:meta])* $most:ident,)* }
        sums { $($(#[$what:meta])* $name:ident,)* }
    ) => {
        $(#[$record])*
        #[derive(Default)]
        pub struct $counts {
            $($(#[$now_is])* pub $now: Count,)*
            $($(#[$most_is])* pub $most: Count,)*
            $($(#[$what])* pub $name: Count,)*
        }

        #[doc = concat!("The values of [`", stringify!($counts), "`] at one moment, or the difference of two.")]
        #[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
        pub struct $values {
            $($(#[$most_is])* pub $most: u64,)*
            $($(#[$what])* pub $name: u64,)*
        }

        impl $counts {
            /// All zero.
            pub const fn new() -> Self {
                Self {
                    $($now: Count::new(),)*
                    $($most: Count::new(),)*
                    $($name: Count::new(),)*
                }
            }

            /// The values now.
            pub fn $read(&self) -> $values {
                $values {
                    $($most: self.$most.get(),)*
                    $($name: self.$name.get(),)*
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
        /// DSBs of any kind, those of the pairs among them.
        dsb,
        /// ISBs, those of the pairs among them.
        isb,
        /// Those behind AT.
        translations,
        /// DMBs.
        dmb,
        /// TLB invalidation instructions.
        tlbi,
        /// Translations those dropped at most, in pages; full invalidations apart.
        reach,
        /// Invalidations of a whole ASID or of everything.
        full,
        /// Descriptors stored.
        stores,
    }
}
