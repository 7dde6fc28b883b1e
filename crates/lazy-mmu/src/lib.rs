//! Linux's nested lazy MMU mode, per task, as a small crate any kernel can adopt.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::cast_possible_truncation)]

mod contract;
mod cpu;
mod debt;
mod policy;
mod section;
mod slot;
mod state;
mod task;

pub use cpu::{Call, Cpu, Hook, Misuse};
pub use debt::Unpublished;
pub use policy::{Policy, UnknownPolicy};
pub use section::{Entered, Section};
pub use slot::Slot;
pub use state::{Leak, PolicyInUse, State};
pub use task::TaskMmu;

#[cfg(test)]
extern crate std;
#[cfg(test)]
mod tests;
