//! Exceptions: what is expected is handled, everything else is reported and ends the boot.
//!
//! | file | what |
//! |---|---|
//! | `vectors.s` | the vector table: stack check, save, call `trap`, restore |
//! | `frame.rs` | [`TrapFrame`], what was saved; [`Vector`], where it came in |
//! | `fixup.rs` | instructions that may fault by intent |
//! | `esr.rs`, `fault.rs` | ESR_EL1 in words, and the [`Fault`] that an access takes |
//! | `report.rs`, `walk.rs` | the report, and the walk of the address that faulted |
//! | `panic.rs` | the panic handler |
//! | `last.rs` | who reports when more than one thing fails |
//!
//! The statuses are 4 for an exception and 3 for a panic; the first failure counts.

mod esr;
mod fault;
mod fixup;
mod frame;
mod last;
#[cfg(target_os = "none")]
mod panic;
mod report;
mod walk;

pub use esr::Esr;
pub use fault::{Fault, Kind as FaultKind};
pub use frame::{TrapFrame, Vector};

use core::arch::global_asm;

use crate::mem::layout::STACK_SHIFT;
use crate::task::MAX_CORES;

// vectors.s takes the core from three bits of the affinity.
const _: () = assert!(MAX_CORES == 8);

#[cfg(target_os = "none")]
global_asm!(
    include_str!("vectors.s"),
    frame = const size_of::<TrapFrame>(),
    shift = const STACK_SHIFT,
    cores = const MAX_CORES,
    trap = sym trap,
);

/// Every exception, from `vectors.s`, with interrupts masked. Returning goes on where the frame
/// says.
extern "C" fn trap(frame: &mut TrapFrame, vector: u64) {
    match Vector::new(vector) {
        Vector::SYNCHRONOUS if fixup::apply(frame) => {}
        Vector::IRQ => interrupt(frame),
        vector => report::unexpected(frame, vector),
    }
}

/// An IRQ. This is where an interrupt controller's driver acknowledges it, calls its handler, and
/// ends it.
///
/// Until there is one no source of interrupts is enabled, and an IRQ is as unexpected as anything.
fn interrupt(frame: &mut TrapFrame) {
    report::unexpected(frame, Vector::IRQ)
}
