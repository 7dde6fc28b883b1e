//! Page-table maintenance of AArch64, stage 1, as rules over events; and a machine that misbehaves
//! as far as the architecture allows.
//!
//! An emulator never shows a missing barrier, and a real core seldom does. So the code that owes
//! barriers says what it does, as [`Event`]s, and an automaton, the [`Checker`], says whether
//! anybody could have used a mapping before its debt was paid.
//!
//! | rule | what must not happen |
//! |---|---|
//! | R1 | a mapping is used before it is published |
//! | R2 | a live descriptor is replaced without break-before-make |
//! | R3 | something is relied on to be gone before its invalidation is complete |
//! | R4 | a frame is reused while a translation may still lead to it |
//! | R5 | a table is reused while a walk cache may still lead to it |
//! | R6 | an invalidation's operand does not say what is to be dropped |
//! | R7 | an invalidation stays on its core where other cores need it |
//! | R8 | a section, a switch, a task or an interrupt handler ends and leaves debt behind |
//! | R9 | an invalidation comes before the store it is meant for |
//! | R10 | a table is linked before its zeroes are ordered |
//! | R11 | a descriptor is changed by somebody else than its owner |
//!
//! Each has a module in `rules`, which says what it follows from. Rules only look; what an event
//! changes is in `ledger` (debts), `tables` and `spaces` (roots and ASIDs).
//!
//! "Arm ARM" is DDI 0487. Its chapter is given and the subject, as section numbers move between
//! issues.
//!
//! # In a kernel
//! `default-features = false`: `no_std` and `alloc`; of dependencies only a hash map. Give [`Checker::step`] every
//! event in one global order, under one lock; [`event`] says for each kind whether it is reported before
//! or after it happens, and why.
//!
//! That order and that lock are in the module `hook`, for a kernel to take as they are (feature `hook`); its page has what to
//! report and when. With the feature `mode` what `lazy-mmu` calls a kernel for becomes an event by `into`, with
//! `paging` a TLBI that `stage1-paging` has composed.
//!
//! With the feature `seam` the module `seam` reports all that page-table work executes: it is a decorator of the
//! instructions of `stage1-hw`, for a kernel that uses that crate or implements its trait. Ten lines hook it
//! up.
//!
//! Memory grows with what is owed and with the tables (each has a copy). An event costs as much as
//! it changes: what a descriptor owes is found by its table, a barrier takes what waits for it from a queue,
//! a TLBI what lies in its range. Only a TLBI without a range, a task's end, and a frame that goes back
//! without its allocation having been seen look at everything.
//! [`Coverage::missing`] names what a run had nothing of to check, [`Expected`] what of that it should have
//! had.
//!
//! The same events serve a ring of the last ones ([`event::Ring`]), a trace
//! ([`event::Merge`] makes runs of stores one line) and pictures: hooks, debts, policies and windows are
//! events that the rules pass over ([`What::is_judged`]). A [`trace::Writer`] writes them as they come. And a
//! [`replay::Replay`] says from the mode's calls and the invalidations how many pairs each policy owes for them, to
//! compare with what was counted.
//!
//! For a debug page allocator, [`owners`] has who allocated and freed each frame last, and where.
//!
//! # On a host
//! The feature `machine` (on by default) adds `machine`, a model whose store buffers, walkers, TLBs
//! and walk caches do the worst they may: there a lost barrier shows as wrong data or a wrong
//! fault. It emits the same events, so the rules are judged by it and it by them; and the rest of
//! [`trace`], which reads and checks traces (`examples/check_trace.rs` does it from a command line).
#![no_std]
// The one `unsafe fn` is the adapter's, which hands its caller's promise on.
#![cfg_attr(not(feature = "seam"), forbid(unsafe_code))]
#![cfg_attr(feature = "seam", deny(unsafe_code))]

extern crate alloc;
#[cfg(feature = "machine")]
extern crate std;

mod checker;
mod coverage;
mod desc;
pub mod event;
mod expected;
mod frame_map;
#[cfg(feature = "hook")]
pub mod hook;
mod ledger;
#[cfg(feature = "machine")]
pub mod machine;
#[cfg(feature = "mode")]
mod mode;
pub mod owners;
#[cfg(feature = "paging")]
mod paging;
mod queue;
mod recent;
pub mod replay;
mod rules;
#[cfg(feature = "seam")]
pub mod seam;
mod snapshot;
mod spaces;
mod state;
mod tables;
mod tlbi;
pub mod trace;
mod violation;

pub use checker::Checker;
pub use coverage::Coverage;
pub use event::{Event, What};
pub use expected::Expected;
pub use ledger::MAX_CORES;
#[cfg(feature = "paging")]
pub use paging::dones;
pub use rules::{End, Reason, Rule, Stage, Step};
pub use tlbi::{Decoded, Op, Operand};
pub use violation::Violation;
