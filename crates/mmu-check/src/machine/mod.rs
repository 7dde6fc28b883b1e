//! A machine that misbehaves as far as the architecture allows.
//!
//! | the machine may | until | Arm ARM |
//! |---|---|---|
//! | keep a store from every walker, and let stores arrive in any order, zeroes one by one | a DSB; a DMB between them orders two | B2.3, D8, ordering of table walks |
//! | have a store of data on its way through a translation that is gone | the DSB behind a TLBI of another core | D8, completion of TLB maintenance |
//! | walk the tables for any address, at any time, a descriptor at a time, on any core, and keep what it finds | a TLBI that covers it, on that core | D8, what a TLB may hold |
//! | keep table descriptors and start a walk from them | a TLBI that is not for the last level | D8, what a TLB may hold |
//! | use what it has found ahead of time, a fault too, for an instruction that comes later | a context synchronisation; for other cores' translations, the DSB behind a TLBI | D8, ordering of table walks |
//! | go on with a walk by a table that is gone, for an instruction that comes later | the same | the same |
//! | carry a TLBI out at any time | the DSB behind it | D8, completion of TLB maintenance |
//! | ignore a TLBI whose operand is malformed or whose hint is wrong | – | C5.5 |
//! | use the old TTBR0 | a context synchronisation | D8, ordering of table walks |
//!
//! It holds two translations that need break-before-make between them only if software let it, and
//! says so at once, as a core may raise a TLB conflict abort at the next use.
//!
//! From the bottom up, each only above the others: `memory` and its store buffers, `tlb`, `walk`, `core_state`
//! (one core), `system` (all of them: what instructions do and what happens by itself). On it stand [`program`],
//! small programs in every schedule, and `adversary`, the [`Machine`], where a [`Chance`] decides, with a small
//! kernel and its [`scenario`]s.
//!
//! # What it leaves out
//!
//! - The [`Machine`] executes a load where it stands, as the kernel on it goes by what it has loaded. What a
//!   core has loaded too early is seen in the translation, which it may have made at any time before. A
//!   [`program`] has its loads out of order.
//! - Accesses of data and stores to tables share one buffer, and a store that has arrived is seen by loads and walks
//!   of all cores at once.
//! - What a core has fetched is known by where it was fetched: memory that is written and then executed (caches,
//!   `ic ivau`) is not its subject.
//! - Contiguous entries are held one by one; the access flag and the dirty state are not updated by hardware.
//! - No FEAT_ETS2, FEAT_ETS3, FEAT_BBM or FEAT_nTLBPA; no virtualisation, no second stage.
//!
//! Freed frames are filled with [`EVIL`], a word that is a valid descriptor at every level and
//! leads to itself: whoever walks or reads there where it should not gets an answer, and a wrong
//! one.

mod adversary;
mod allocator;
mod arch;
mod bug;
mod chance;
mod core_state;
mod frames;
mod kernel;
mod memory;
pub mod program;
pub mod scenario;
mod suite;
mod system;
mod tlb;
mod walk;

pub use adversary::Machine;
pub use bug::{Bug, Expected, NOT_HERE, Site};
pub use chance::Chance;
pub use kernel::{CORES, Intrusion, Kernel, Setup, Wrong};
pub use memory::{EVIL, EVIL_FRAME};
pub use suite::{Run, run};
pub use system::Fault;
