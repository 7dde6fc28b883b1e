//! What only the machine can do: a dozen named primitives.
//!
//! Each primitive does one thing to the machine, counts it, and records an
//! [`Event`](crate::event::Event). From the moment that tables are the kernel's own, nothing else
//! executes a barrier or an invalidation; so a count is what was executed, and the QEMU plugin can
//! hold it to that. What comes before (`boot`, [`registers::leave_early_tables`]) and after (the
//! report of an exception) is not counted: nothing is measured there.
//!
//! | file | what |
//! |---|---|
//! | [`barrier`] | `dsb`, `isb`, `dmb`, and the pair that publishes a descriptor |
//! | [`tlb`] | invalidations, each with the barriers on both sides |
//! | [`tables`] | loads and stores of descriptors, zeroing of a table |
//! | [`registers`] | current task, current core, TTBR0, what the ID registers promise |
//! | [`switch`] | from one task to another, and the barriers of that |
//! | [`time`] | the generic timer |
//! | [`debug`] | hardware breakpoints |
//! | [`translate`] | `AT S1E1R`: what the MMU itself says of an address |
//! | [`probe`] | loads and stores that may fault by intent |
//! | [`window`] | the HINTs by which the plugin knows a measured region |

pub mod barrier;
pub mod debug;
pub mod probe;
pub mod registers;
pub mod switch;
pub mod tables;
pub mod time;
pub mod tlb;
pub mod translate;
pub mod window;
