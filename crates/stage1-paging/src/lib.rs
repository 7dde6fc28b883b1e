//! AArch64 stage-1 page tables: descriptors, walk, map, unmap, protect, move and replace, over an
//! abstract [`Mmu`]. No `unsafe`, no assembly, no allocation; the same code runs on hardware and on
//! the host.
//!
//! # The idea: a store owes something
//!
//! Changing a translation takes more than a store, and what more depends on the change:
//!
//! | change | owed | by whom |
//! |---|---|---|
//! | invalid → valid | to be seen: `dsb ishst; isb`, once per call | [`Mmu::owe`], now or when a lazy MMU section ends |
//! | a new table | its zeroes before its link: `dmb ishst`, never deferred; then as above | [`Mmu::link`] |
//! | valid → invalid | to be dropped from the TLBs: `dsb ishst`, TLBIs, `dsb ish`, `isb` | a [`Gather`], once for many |
//! | valid → other permissions | both of these, or the second alone ([`Mmu::invalidation_settles`]) | [`Mmu::owe`] and a [`Gather`] |
//! | valid → valid elsewhere ([`needs_break`]) | break, invalidate, make, publish | [`Space::replace`], [`Space::move_pages`], [`Space::split`] |
//! | table → nothing | to be dropped from walk caches too, before the table is freed | a [`Gather`] |
//!
//! An invalid descriptor is never held in a TLB (Arm ARM DDI 0487, D8), so mapping invalidates
//! nothing. And a TLB may load any valid descriptor at any time, so unmapping is not over before
//! the invalidation is. The operations of a [`Space`] do the stores, in runs, and settle the rest
//! once.
//!
#![cfg_attr(feature = "model", doc = "```")]
#![cfg_attr(not(feature = "model"), doc = "```ignore")]
//! use stage1_paging::model::{Model, Seen};
//! use stage1_paging::{Asid, Features, Fit, Frame, Half, Pa, Pages, Prot, Va};
//!
//! // Two cores without FEAT_TLBIRANGE, and a task's space.
//! let machine = Model::new(2, Features::default());
//! let space = machine.space(Half::Lower(Asid(1)));
//!
//! let pages = Pages::new(Va::new(0x40_0000), 16)?;
//! let frame = Frame::containing(Pa::new(0x8000_0000).unwrap());
//! space.map(pages, frame, Prot::RW, Fit::Pages)?; // links three tables, owes one pair
//! assert_eq!(machine.access(1, &space, pages.start()), [Seen::Page(frame, Prot::RW)]);
//!
//! // Unmapped, but core 1 may still use what its TLB holds, until the gather has paid.
//! let mut gather = space.gather(());
//! space.unmap(pages, &mut gather)?;
//! assert_eq!(machine.access(1, &space, pages.start()).len(), 2);
//! let (_, done) = gather.finish(); // dsb ishst; 16 × tlbi vale1is; dsb ish; isb
//! assert_eq!(machine.access(1, &space, pages.start()), [Seen::Fault]);
//! # let _ = done;
//! # Ok::<(), stage1_paging::Error>(())
//! ```
//!
//! # What is where
//!
//! - [`Va`], [`Pa`], [`Frame`], [`Asid`], [`Level`], [`Pages`]: numbers that cannot be confused. A
//!   [`Pages`] is checked when it is made, so operations need not.
//! - [`Desc`]: a descriptor. [`Prot`]: what a mapping shall be. [`needs_break`]: the rule.
//! - [`Space`]: the operations. Its table says who may call what, holding which lock or right.
//!   [`Part`]: the right to some of its pages, as a type. [`Cursor`]: its pages one by one.
//! - [`Gather`], [`Sink`], [`Done`]: what waits for an invalidation, and the proof that it is over.
//! - [`Debt`], [`Tlbi`], [`Features`]: which invalidations, with operands ready for the register.
//! - [`Mmu`]: what you implement. About 60 lines on hardware; they hold all the `unsafe`.
//! - `model` (feature `model`, needs std): a machine that guarantees no more than the
//!   architecture does.
//!
//! # What it relies on
//!
//! - 4 KiB granule, 48-bit addresses in and out, without FEAT_LPA2's 52-bit descriptors.
//! - MAIR_EL1 as [`Memory`] says; walks Write-Back and Inner Shareable (TCR_EL1), so that `ishst`
//!   suffices for a walker to see a store; TCR_EL1.HA and .HD clear.
//! - All mappings are EL1's own (AP\[1\] = 0, UXN = 1). There is no return to EL0 that would
//!   synchronize, which is why lower-half mappings owe their pair and every invalidation ends in an
//!   ISB. Other cores synchronize themselves: one that faults on a page published elsewhere
//!   retries.
//! - The Contiguous bit, FEAT_BBM and FEAT_XS are not used.
//! - W^X is kept for every mapping, stale TLB entries included, whichever gather owes for those: a
//!   leaf records in software's bits 55 and 56 what they may hold. The caller is responsible for
//!   aliases, for frames reused and addresses mapped anew before their gather has paid, and for the
//!   instruction cache before text is executed.
//! - 64-bit hosts: an address fits a `usize`.
//!
//! # Safe calls that unmap anything
//!
//! Every operation is safe to call, also one that unmaps the stack it runs on. The crate protects no
//! memory: it stores words where an [`Mmu`] says that tables are. Whoever makes those words the tables that
//! the CPU walks does so with `unsafe` code, the [`Mmu`]'s or its construction, and answers there for every
//! call that can be made: by keeping the [`Space`] to itself and lending out a [`Part`] of it, by
//! [`Mmu::may_break`], by making the way to the kernel's own image `unsafe`. `stage1-hw` has its
//! `Hardware::new` for that, which says what its caller promises.
//!
//! # Page faults inside a section
//!
//! A page-fault handler runs in the task that faulted, and not in interrupt context. If the task has a
//! section of the lazy MMU mode open, what the handler maps is deferred like the task's own stores: it
//! returns with the pair pending, and the access that is made again may fault again, as no DSB has made the
//! descriptor visible to the walker. (The exception return is the ISB of the pair; nothing stands for the
//! DSB.) An emulator hides it, since its walks see every store. So such a handler maps inside a section of
//! its own: the end of that pays, before the return, and the task's section goes on deferring. `mmu-check`
//! has both as a scenario, `page fault`.
//!
//! # Performance
//!
//! A loop visits each descriptor once and walks from the root only at the end of a table. Instructions
//! per page on long ranges, over the machine of `stage1-hw` (Rust 1.95), where a bare loop of stores
//! takes 4:
//!
//! | map a run | a list | unmap, to the sink `()` | protect | move | replace | each TLBI without FEAT_TLBIRANGE |
//! |---|---|---|---|---|---|---|
//! | 5 | 10 | 4 | 7 | 11 | 22 | 4 |
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::cast_possible_truncation)]

#[cfg(feature = "model")]
extern crate std;

mod addr;
mod change;
mod cursor;
mod debt;
mod desc;
mod draw;
mod error;
mod gather;
mod listed;
mod map;
mod mmu;
#[cfg(feature = "model")]
pub mod model;
mod own;
mod page;
mod part;
mod shift;
mod space;
mod spans;
mod tlbi;

pub use addr::{
    Asid, ENTRIES, Frame, Half, Level, PA_BITS, PAGE_SHIFT, PAGE_SIZE, Pa, Pages, PagesIter,
    VA_BITS, Va,
};
pub use cursor::Cursor;
pub use debt::{Debt, Done, MAX_OPS};
pub use desc::{Access, Desc, Kind, Mapping, Memory, Prot, needs_break};
pub use error::{Error, What};
pub use gather::{Gather, Sink};
pub use map::Fit;
pub use mmu::{Edited, Mmu, NoFrame, Slots, Step};
pub use part::Part;
pub use space::{Mappings, Space, Walk};
pub use tlbi::{Batch, Features, Tlbi};
