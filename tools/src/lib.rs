//! The host side of lazy-mmu.
//!
//! A kernel of this project is booted in one way only: by [`Boot`]. `cargo run`, every make target and every test go
//! through it, so that all of them agree on what a boot is and how it ends:
//!
//! 1. [`Qemu`] finds QEMU and refuses one that is too old.
//! 2. [`Boot`] says which kernel, which machine, which command line; [`Boot::run`] starts QEMU in a fresh working
//!    directory, passes the console on, and bounds the time. [`limit`] says how much time the usual limit is.
//! 3. [`Outcome`] is what came of it, and [`Verdict`] names the status. Good is what the kernel has said with its [`mark`].
//! 4. [`witness`] compares the kernel's own counts with those of the plugin, which sees what really executed.
//! 5. [`report`] checks the table the kernel wrote; [`results`] is where it is left.
//! 6. [`mod@bench`] boots the image that measures, and compares its figures.
//! 7. [`directive`] reads lines that say how something is booted and what must come of it; [`faults`] those of `tests/faults.boots`.
//! 8. [`interrupt`] ends a boot when the runner is to end.
//!
//! The binary `boot` is the command line around this, and nothing more.

pub mod bench;
pub mod boot;
pub mod directive;
pub mod events;
pub mod faults;
pub mod front;
pub mod gdb;
pub mod interrupt;
pub mod limit;
pub mod mark;
pub mod options;
pub mod outcome;
pub mod page;
pub mod pen;
pub mod perfetto;
pub mod pictures;
pub mod places;
pub mod plugin;
pub mod process;
pub mod qemu;
pub mod report;
pub mod results;
pub mod say;
pub mod timeline;
pub mod verdict;
pub mod witness;

pub use boot::{Boot, Witnessing};
pub use outcome::Outcome;
pub use qemu::Qemu;
pub use verdict::Verdict;
