//! AArch64 stage-1 page tables.
#![no_std]
#![forbid(unsafe_code)]

mod addr;
mod change;
mod debt;
mod desc;
mod draw;
mod error;
mod gather;
mod map;
mod mmu;
mod own;
mod shift;
mod space;
mod tlbi;

pub use addr::{
    Asid, ENTRIES, Frame, Half, Level, PA_BITS, PAGE_SHIFT, PAGE_SIZE, Pa, Pages, VA_BITS, Va,
};
pub use debt::{Debt, Done, MAX_OPS, Ops};
pub use desc::{Access, Desc, Kind, Mapping, Memory, Prot, needs_break};
pub use error::{Error, What};
pub use gather::{Gather, Sink};
pub use map::Fit;
pub use mmu::{Mmu, NoFrame, Slots, Step};
pub use space::{Mappings, Space, Walk};
pub use tlbi::{Features, Tlbi};

#[cfg(feature = "model")]
extern crate std;
#[cfg(feature = "model")]
pub mod model;
