//! The machine behind [`stage1_paging`]: the instructions of page-table maintenance, what each is
//! for, and a ready implementation of [`Mmu`](stage1_paging::Mmu). All the `unsafe` of page-table
//! work is in here.
//!
//! # The seam
//!
//! [`Instructions`] has a method for everything that page-table work executes: barriers and
//! invalidations ([`Op`]), loads and stores of descriptors, the zeroing of a page, the write of
//! TTBR0_EL1. Each is given *what it is for* ([`Why`]): `dsb ishst` is one instruction with several
//! duties, and only whoever executes it knows which. [`Why`] is also where each barrier is argued:
//! what it follows, for which observer, and what goes wrong without it.
//!
//! `Plain` is the machine itself: the assembly, and nothing else. Whatever counts, records, checks
//! or meddles is a decorator, a type that implements the trait around another:
//!
//! ```
//! use stage1_hw::{Instructions, Op, Page, Why};
//! use stage1_paging::Pa;
//!
//! /// Does what `I` does, and says so.
//! #[derive(Clone, Copy)]
//! struct Loud<I>(I);
//!
//! impl<I: Instructions> Instructions for Loud<I> {
//!     const NEW: Self = Loud(I::NEW);
//!     fn execute(self, op: Op, why: Why) {
//!         // print!("{op:?} for {why:?}");
//!         self.0.execute(op, why);
//!     }
//!     fn zero(self, page: &Page, pa: Pa, why: Why) {
//!         self.0.zero(page, pa, why);
//!     }
//!     unsafe fn write_ttbr0(self, value: u64) {
//!         // SAFETY: the caller's promise is this one's.
//!         unsafe { self.0.write_ttbr0(value) }
//!     }
//! }
//! ```
//!
//! A decorator has no size and its methods are inlined: a kernel that names `Plain` alone pays for
//! none.
//!
//! # What is where
//!
//! | module | what |
//! |---|---|
//! | `instructions` | [`Instructions`], [`Op`], [`Why`] |
//! | `plain` | `Plain`: the assembly. For `target_os = "none"` only: an AArch64 host must not execute it |
//! | `sequences` | [`publish`], [`invalidate`], [`publish_root`]: which instructions, in which order |
//! | `mmu` | [`Hardware`]: [`Mmu`](stage1_paging::Mmu) for a kernel that implements [`Services`] |
//! | `registers` | [`TCR`], [`MAIR`], [`ttbr`], [`check_walks`]; [`CoreRegisters`]: what this core can do, whether another one fits |
//!
//! # In a kernel
//!
//! You implement [`Services`] (frames, the linear map, a short lock, what a store owes) and promise
//! with [`Hardware::new`] that they are what they claim to be. TCR_EL1 and MAIR_EL1 are set from
//! [`TCR`] and [`MAIR`], or checked with [`check_walks`]. A first mapping:
//!
//! ```
//! # use std::cell::RefCell;
//! # use std::ptr::NonNull;
//! # use std::sync::atomic::AtomicU64;
//! # use stage1_paging::{Asid, Fit, Frame, Half, Pa, Pages, Prot, Space, Va};
//! # use stage1_hw::{
//! #     Hardware, Instructions, MAIR, Op, Page, Services, TCR, Upkeep, Why, check_walks, publish,
//! #     publish_root, ttbr,
//! # };
//! # // A host executes nothing, and its frames are where its memory is.
//! # #[derive(Clone, Copy)]
//! # struct Plain;
//! # impl Instructions for Plain {
//! #     const NEW: Self = Plain;
//! #     fn execute(self, _: Op, _: Why) {}
//! #     unsafe fn write_ttbr0(self, _: u64) {}
//! # }
//! # fn linear(pa: u64) -> NonNull<Page> {
//! #     NonNull::new(std::ptr::with_exposed_provenance_mut(pa as usize)).unwrap()
//! # }
//! # fn physical(page: NonNull<Page>) -> Frame {
//! #     Frame::new(Pa::new(page.as_ptr().expose_provenance() as u64).unwrap()).unwrap()
//! # }
//! # fn alone<R>(f: impl FnOnce() -> R) -> R { f() }
//! # let page = || Box::new(Page([const { AtomicU64::new(!0) }; 512]));
//! # let frames = (0..4).map(|_| physical(NonNull::from(Box::leak(page()))));
//! # struct Kernel { free: RefCell<Vec<Frame>> }
//! # let kernel = Kernel { free: RefCell::new(frames.collect()) };
//! # let (tcr, mair, upkeep) = (TCR, MAIR, Upkeep::default());
//! # let frame = Frame::new(Pa::new(0x8000_0000).unwrap()).unwrap();
//! impl Services for Kernel {
//!     type Instructions = Plain;
//!     fn alloc(&self) -> Option<Frame> { self.free.borrow_mut().pop() }
//!     unsafe fn free(&self, frame: Frame) { self.free.borrow_mut().push(frame) }
//!     fn page(&self, frame: Frame) -> NonNull<Page> { linear(frame.pa().raw()) }
//!     fn frame(&self, page: NonNull<Page>) -> Frame { physical(page) }
//!     fn alone<R>(&self, f: impl FnOnce() -> R) -> R { alone(f) } // a short lock
//!     fn owe(&self) { publish(Plain) } // or the lazy MMU mode's `owe`
//!     fn may_break(&self, pages: Pages) -> bool { Half::Lower(Asid(1)).holds(pages) }
//! }
//!
//! check_walks(tcr, mair)?; // CoreRegisters::read(): what boot code has set
//! // SAFETY: frames are the kernel's own, the linear map has them, `Plain` is the machine.
//! let mmu = unsafe { Hardware::new(kernel, upkeep) };
//! let space = Space::new(&mmu, mmu.new_root()?, Half::Lower(Asid(1)));
//! space.map(Pages::new(Va::new(0x40_0000), 1)?, frame, Prot::RW, Fit::Pages)?;
//! publish_root(Plain);
//! // SAFETY: the root is published, the ASID new, and nothing of Rust's is in the lower half.
//! unsafe { Plain.write_ttbr0(ttbr(mmu.address(space.root()), Asid(1))) };
//! Plain.execute(Op::Isb, Why::Ttbr0);
//! # assert_eq!(space.walk(Va::new(0x40_0000))?.frame(), Some(frame));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `upkeep` is [`Upkeep`] with [`CoreRegisters::tlb`] of every core; [`CoreRegisters::fit`] refuses a core
//! that can do less. The pair that `owe` pays and
//! [`publish_root`] are both `dsb ishst`: the second is for a root without entries.
//!
//! # What it relies on
//!
//! What `stage1-paging` does: 4 KiB granule, 48-bit addresses, write-back and inner shareable walks,
//! every mapping EL1's own.
#![no_std]
#![deny(clippy::cast_possible_truncation)]

mod instructions;
mod mmu;
#[cfg(target_os = "none")]
mod plain;
mod registers;
mod sequences;

pub use instructions::{Barrier, Instructions, Op, Page, Slot, Slots, Why};
pub use mmu::{Hardware, Services, Table};
#[cfg(target_os = "none")]
pub use plain::{Plain, read_ttbr0};
pub use registers::{BadWalks, CoreRegisters, MAIR, TCR, Unfit, check_walks, ttbr};
pub use sequences::{Upkeep, drop_all_local, invalidate, publish, publish_root};
