//! R9: an invalidation comes after the store it is meant for.
//!
//! A TLB entry that is dropped while a walker can still read the old descriptor comes back (Arm ARM
//! D8, completion of TLB maintenance: the store must be complete, by a DSB, before the TLBI). So a
//! TLBI before the store, or before the DSB behind it, is none. Batching updates makes this easy to
//! get wrong: the store may be deferred, and the TLBI not.

use super::Description;

pub(super) const RULE: Description = Description {
    name: "R9",
    title: "an invalidation comes before the store it is meant for",
    basis: "Arm ARM D8, completion of TLB maintenance (the store completes, by a DSB, before the TLBI)",
};
