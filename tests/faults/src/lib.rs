//! Faults to inject into a kernel, to see who notices.
//!
//! A kernel reaches the machine through three traits: the instructions ([`stage1_hw::Instructions`]),
//! the mode's processor ([`lazy_mmu::Cpu`]) and its own services ([`stage1_hw::Services`]). Each
//! has a decorator here that does what the type inside it does, and one thing wrong: the [`Fault`]
//! that [`inject`] names. The product knows none of it: only the kernel of `tests/faults/image` is
//! built with these types in place.
//!
//! Where the observer stands decides who can notice:
//!
//! | left out or changed | executed | seen by the observer |
//! |---|---|---|
//! | above it, by [`Above`] | no | no |
//! | below it, by [`Below`] | no | yes |
//! | around it, by [`Above`] on its second machine | yes | no |
//!
//! Faults that are no instruction (a frame that is lost, a flag that stays) are made by the image
//! itself, through the kernel's public interface, in the function that it gives to [`at`].
//!
//! One fault at a time, and on one core unless [`NAMES`] says otherwise: what a fault remembers from
//! one instruction to the next, it remembers once for all cores.
#![no_std]

mod above;
mod below;
mod cpu;
mod held;
mod image;
mod list;
mod services;
mod short;

pub use above::Above;
pub use below::Below;
pub use cpu::Cpu;
pub use image::{Moment, Places, at, set_places};
pub use list::{Entry, Fault, NAMES, by_name};
pub use services::{Services, fail_at, refuses_frame};

use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

static NOW: AtomicU8 = AtomicU8::new(Fault::None as u8);

/// Makes this fault from here on, and no other.
pub fn inject(fault: Fault) {
    NOW.store(fault as u8, Relaxed);
}

/// Whether this fault is made now.
#[inline]
pub fn is(fault: Fault) -> bool {
    NOW.load(Relaxed) == fault as u8
}
