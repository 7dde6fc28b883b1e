//! How many there may be.

/// The most cores that this kernel knows.
pub const MAX_CORES: usize = 8;
/// The most tasks at a time, the one that boots among them.
pub const MAX_TASKS: usize = 64;

const _: () = assert!(MAX_CORES == lazy_mmu_boot::CORES);
