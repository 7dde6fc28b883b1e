//! What only this machine can do, and is no page-table work: raw registers, the switch of stacks,
//! accesses that may fault, the timer. (Barriers, TLBI, descriptors and TTBR0 are `stage1-hw`'s, and
//! reach this kernel through its `observe::seam`.) Nothing here imports from the kernel.
//!
//! | file | what |
//! |---|---|
//! | [`registers`] | current task, current core, interrupt masks |
//! | `switch` | registers and stack, from one task to another |
//! | [`time`] | the generic timer |
//! | `debug` | hardware breakpoints |
//! | [`translate`] | `AT S1E1R`: what the MMU itself says of an address |
//! | [`probe`] | loads and stores that may fault by intent |
//! | [`window`] | the HINTs by which the plugin knows a measured region |
//! | `esr.rs`, `fault.rs`, `frame.rs` | what an exception leaves: ESR_EL1 in words, the [`Fault`] of an access, the [`TrapFrame`] |

pub(crate) mod debug;
mod esr;
mod fault;
mod frame;
pub mod probe;
pub mod registers;
pub(crate) mod switch;
pub mod time;
pub mod translate;
pub mod window;

pub use esr::{Class, Esr};
pub use fault::{Fault, Kind as FaultKind};
pub use frame::{TrapFrame, Vector};
