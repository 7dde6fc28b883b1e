//! Linux's nested lazy MMU mode, per task, for any kernel: `no_std`, no dependencies, no allocation, no
//! unsafe code, four bytes of state per task (five under [`Chosen`]).
//!
//! This page teaches the mode in the order in which its parts need each other: the debt, the section that defers it,
//! sections in sections, pauses, the two contracts, interrupts and the processor. Then it says how to use the crate,
//! what is other than in Linux, and what the crate rests on.
//!
//! # Debt
//!
//! A store to a page table is not finished when it is made. On AArch64, turning an invalid entry into a
//! valid one owes a pair of barriers, `dsb ishst; isb`: the first makes the store visible to the table
//! walkers, the second discards a fault that this core may already have speculated. Until it is paid the
//! mapping must not be used. (An entry that *was* valid owes an invalidation, which this mode never
//! defers. What stays valid with other permissions owes both, and one's barriers are enough:
//! [`settled_by`](TaskMmu::settled_by).)
//!
//! Paying after every store is what arm64 did up to Linux 6.15: 4096 pairs to map 4096 pages. The mode
//! defers them. Between [`lazy_mmu_mode_enable`](TaskMmu::lazy_mmu_mode_enable) and
//! [`lazy_mmu_mode_disable`](TaskMmu::lazy_mmu_mode_disable) a store that [owes](TaskMmu::owe) sets a flag
//! in the task, and the end of the section pays once for all of them.
//!
//! # Nesting
//!
//! Sections nest by accident: inside a section somebody allocates a page, and a debugging allocator maps
//! that page, in a section of its own. Its mapping must be usable as soon as *its* section ends, and the
//! section around it wants to go on deferring. So the mode counts: an inner exit *flushes* (pays what is
//! pending, also what the outer section owes) and the mode stays on; only the outermost one *leaves*.
//!
//! Neither of the two simpler rules is enough. An inner exit that pays nothing ([`Reenter`](baseline::Reenter) without its
//! cooperating callees) lets the allocator's access run ahead of its barrier. An inner exit that ends the mode
//! ([`Flat`](baseline::Flat)) is safe, but everything the outer section does afterwards pays store by store.
//!
//! # Pause
//!
//! Sometimes a stretch inside a section needs its stores to work at once.
//! [`lazy_mmu_mode_pause`](TaskMmu::lazy_mmu_mode_pause) leaves the mode whatever the depth, and
//! [`lazy_mmu_mode_resume`](TaskMmu::lazy_mmu_mode_resume) enters it again at the same depth. This is the
//! table of the patch that this crate implements, printed from live state:
//!
//! ```
//! use lazy_mmu::{Call, Cpu, Hook, Misuse, TaskMmu, V3};
//! use std::cell::Cell;
//!
//! /// A core that remembers which hook ran.
//! #[derive(Default)]
//! struct Core(Cell<Option<Hook>>);
//!
//! impl Cpu for Core {
//!     fn publish(&self) { /* dsb ishst; isb */ }
//!     fn misuse(&self, misuse: Misuse) { panic!("{misuse}") }
//!     fn hook(&self, hook: Hook) { self.0.set(Some(hook)) }
//! }
//!
//! let core = Core::default();
//! let task: TaskMmu<V3, &Core> = TaskMmu::hosted(V3, &core);
//! let mut table = String::new();
//! for (depth, call) in [
//!     (0, Call::Enable),
//!     (1, Call::Enable),
//!     (2, Call::Pause),
//!     (2, Call::Resume),
//!     (1, Call::Disable),
//!     (0, Call::Disable),
//! ] {
//!     task.call(call);
//!     let call = format!("{:indent$}{call}()", "", indent = 4 * depth);
//!     let hook = core.0.take().map_or("ø".into(), |hook| format!("{hook}()"));
//!     table += &format!("{call:32}-> {hook:17}{}\n", task.state());
//! }
//! print!("{table}");
//! assert_eq!(table, "\
//! lazy_mmu_mode_enable()          -> arch_enter()     count=1 enabled=1
//!     lazy_mmu_mode_enable()      -> ø                count=2 enabled=1
//!         lazy_mmu_mode_pause()   -> arch_leave()     count=2 enabled=0
//!         lazy_mmu_mode_resume()  -> arch_enter()     count=2 enabled=1
//!     lazy_mmu_mode_disable()     -> arch_flush()     count=1 enabled=1
//! lazy_mmu_mode_disable()         -> arch_leave()     count=0 enabled=0
//! ");
//! ```
//!
//! # Two contracts
//!
//! What may happen inside a pause is where the patch and what Linux merged differ. Each is a type; a kernel names
//! one and pays for no choice.
//!
//! | | [`V3`]: exclusive pause | [`Linux7`]: nesting pause |
//! |---|---|---|
//! | source | "mm: enable lazy_mmu sections to nest", v3 | commit 5ab246749569, Linux 7.0 |
//! | state | a count, a flag | two counts; the mode is on if sections are open and no pause is |
//! | the question | [`in_lazy_mmu_mode`](TaskMmu::in_lazy_mmu_mode) | [`is_lazy_mmu_mode_active`](TaskMmu::is_lazy_mmu_mode_active) |
//! | `enable` | 255 open: bug. Paused: warning | 255 open: warning, wraps. Paused: ignored |
//! | … 0 → 1 | enter, flag on, count | count, enter |
//! | `disable` | none open: bug. Paused: warning | none open: warning, wraps. Paused: ignored |
//! | … 1 → 0 | count, flag off, leave | count, leave |
//! | … n → n − 1 | count, flush | count, flush |
//! | `pause` | outside or paused: warning. Flag off, leave | 255 pauses: warning, wraps. The first in a section: leave |
//! | `resume` | outside or not paused: warning. Enter, flag on | no pause: warning, wraps. The last in a section: enter |
//! | in an interrupt | the generic code runs as written; the hooks return | all four calls return |
//! | a hook sees the mode | off inside enter and leave, on inside flush | on inside enter and flush, off inside leave |
//!
//! Linux changed because a pause and a callee's section do meet: with KASAN and DEBUG_PAGEALLOC together,
//! freeing a page inside a paused stretch calls `enable`. The exclusive contract has to report it, for it
//! says that whoever pauses knows what runs until the resume; the nesting one must not. The price of
//! ignoring is that ignored calls are not counted: `pause; enable; resume; disable` takes one section
//! too many away, and `enable; pause; disable; resume` leaves one open. The four calls do so, silently, as in Linux; a
//! [guard](Entered) or a closure that ends on the other side of a pause does not, and is
//! [reported](Misuse::GuardOutOfPlace). No debt is forgotten under either, only noted where it could have been paid. Under the nesting
//! contract stores in a paused stretch pay at once. Under the exclusive one they do as long as the stretch
//! makes none of the four calls; a callee there that opens a section *and pauses it* ends with a resume,
//! so that after its warnings the mode is on for the rest of the stretch: what is stored there is noted, and
//! must not be used before the next exit or pause of the task, which pays it.
//!
//! Which one? [`Linux7`] if your code may open sections while paused; [`V3`] if it must not and you want to hear of it.
//! The three [`baseline`]s and [`Chosen`], which chooses at run time, are there to compare with.
//!
//! # Interrupts
//!
//! A handler runs on top of a task and finds its state. Between [`irq_enter`](TaskMmu::irq_enter) and
//! [`irq_exit`](TaskMmu::irq_exit) every store pays at once, and the task's debt is left alone: whether it has been paid
//! must not depend on who came in between.
//!
//! One thing the exclusive contract lets happen follows because it does not look at interrupts. A handler that
//! opens and closes a section between `enabled = true` and `++count` of an outermost `enable` leaves the
//! flag off with the count at 1: stores then pay at once, and the end of the section warns. No debt is lost.
//! The tests show the schedule.
//!
//! A page fault is no interrupt of this kind: its handler is the task's own code. One that maps a page inside a
//! section of the task must pay before it returns to the access that faulted, by a section of its own
//! ([`publish`](TaskMmu::publish)).
//!
//! # The processor
//!
//! [`Cpu`] is the kernel's half: it pays, and hears of misuse. It is part of the task's type, so that no call can be
//! made with another one. It must be no particular core, for the task may have migrated since the last call:
//! [`new`](TaskMmu::new) takes none that has a size, and [`Cpu`] says what that does not see.
//!
//! # Using it
//!
//! 1. Implement [`Cpu`] for a type without fields: how to pay, and who hears about misuse.
//! 2. Give contract and processor one name, `pub type Mmu = TaskMmu<V3, ThisCpu>;`, and put an `Mmu` into the task. Not
//!    into the core: a section can be preempted and migrate.
//! 3. After a store that owes, call [`owe`](TaskMmu::owe); four instructions where the debt is deferred. Or
//!    [`owes`](Section::owes), which also holds back what the store has made.
//! 4. Wrap loops over entries in [`section`](TaskMmu::section), and have what they map returned through
//!    [`publish`](TaskMmu::publish) (where `?` is used, [`try_publish`](TaskMmu::try_publish) or
//!    [`publish_option`](TaskMmu::publish_option)), so that using it ahead of its barrier
//!    [does not compile](Unpublished).
//! 5. Call [`irq_enter`](TaskMmu::irq_enter) and [`irq_exit`](TaskMmu::irq_exit) around handlers, on the task
//!    that was interrupted.
//! 6. In the context switch execute one `dsb ish`. The state itself needs nothing: it moves with the task,
//!    and the ISB comes when the task pays, on the core where it will use the mapping.
//! 7. If an invalidation is to pay for what is pending, put its barriers into [`settled_by`](TaskMmu::settled_by).
//! 8. Call [`end_of_task`](TaskMmu::end_of_task) last. It reports a section that was leaked; so does the
//!    [drop](Misuse::Dropped) of an `Mmu` in use.
//!
//! `examples/hosted_kernel.rs` is a kernel of about a hundred lines of code that does all of it but the invalidation, under one contract.
//! `examples/table.rs` prints what each call does under each policy.
//!
//! # Other than in Linux
//!
//! The contracts follow the C to the letter, each second look at a count behind a warning included; the tests have the C
//! in miniature beside them. By intent it differs in this:
//!
//! - The arch layer is arm64's as the patch's series leaves it (its patch 08): enter does nothing, leave and flush pay what
//!   is pending, the store looks at the generic state. The patch itself still has the arch's own flag.
//! - An invalidation can pay for the pair that is pending ([`settled_by`](TaskMmu::settled_by)), where Linux pays both. It
//!   does so only where the kernel says so.
//! - A warning is reported each time, where Linux 7.0's `VM_WARN_ON_ONCE` reports the first.
//! - Bugs are checked in every build, where `VM_BUG_ON` needs CONFIG_DEBUG_VM; warnings unless the crate is built without
//!   its default feature `warnings`. A bug whose report returns ends its call.
//! - The end of a section's closure or guard is `disable` where that fits; elsewhere it is its own
//!   ([`Misuse::GuardOutOfPlace`]). Linux has the four calls alone.
//! - `in_interrupt()` is what [`irq_enter`](TaskMmu::irq_enter) counts; a section of code that has bottom halves
//!   disabled is none.
//!
//! # What it rests on
//!
//! 1. *A contract is a type.* A store knows none: its path exists once. [`Chosen`] alone looks a policy up, once per call.
//! 2. *One byte answers a store.* Mode and interrupt depth share it: deferring means that it is exactly 1.
//! 3. *Loads and stores, no read-modify-write.* Nobody but the task and interrupt handlers on top of it
//!    touches its state, and a handler that balances its calls leaves the bytes as it found them.
//! 4. *Cleared before paid.* A store that comes between the two is paid once more than needed, never
//!    forgotten.
//!
//! Every call from every state, with an interrupt at every moment of it, has been compared with the contracts' tables. The
//! states of [`V3`] are all there are; those of [`Linux7`] have all counts, in at most one interrupt (its calls only look
//! whether there is one); those of the [`baseline`]s and of [`Chosen`] have all counts of sections, in at most two
//! interrupts, pauses and re-entries. Of a dozen
//! programs that nest, pause, store and use, every schedule of two tasks on two cores with one interrupt has
//! been explored, on this code. What `src/tests` says it does not visit: longer programs, more interrupts in one
//! run, more cores.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::cast_possible_truncation)]

pub mod baseline;
mod contract;
mod cpu;
mod debt;
mod mode;
mod policy;
mod section;
mod slot;
mod state;
mod task;

pub use contract::Contract;
pub use contract::chosen::Chosen;
pub use contract::linux7::Linux7;
pub use contract::v3::V3;
pub use cpu::{Call, Cpu, Hook, Misuse};
pub use debt::Unpublished;
pub use policy::{Policy, UnknownPolicy};
pub use section::{Entered, LazyMmu, Section};
pub use slot::Slot;
pub use state::{Leak, PolicyInUse, State};
pub use task::TaskMmu;

#[cfg(test)]
extern crate std;
#[cfg(test)]
mod tests;
