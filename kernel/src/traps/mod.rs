//! Exceptions: what is expected is handled, everything else is reported and ends the boot.
//!
//! | file | what |
//! |---|---|
//! | `vectors.s` | the vector table: stack check, save, call `trap`, restore |
//! | `spurious.rs` | faults that AT finds to be over |
//! | `broken.rs` | faults on pages that are being replaced |
//! | `fixup.rs` | instructions that may fault by intent |
//! | `report.rs`, `walk.rs` | the report, and the walk of the address that faulted |
//! | `panic.rs` | the panic handler |
//! | `last.rs` | who reports when more than one thing fails |
//!
//! The statuses are 4 for an exception and 3 for a panic; the first failure counts.

mod broken;
mod fixup;
mod last;
mod panic;
mod report;
mod spurious;
mod walk;

pub use last::is_stopping;

use broken::Wait;
use core::arch::global_asm;
use core::sync::atomic::Ordering::Relaxed;

use mmu_check::What;

use crate::arch::{Class, Esr, TrapFrame, Vector, registers};
use crate::base::layout::STACK_SHIFT;
use crate::base::{Lock, MAX_CORES};
use crate::task;
use crate::{irq, observe, sched};

// vectors.s takes the core from three bits of the affinity.
const _: () = assert!(MAX_CORES == 8);

global_asm!(
    include_str!("vectors.s"),
    frame = const size_of::<TrapFrame>(),
    shift = const STACK_SHIFT,
    trap = sym trap,
);

/// Every exception, from `vectors.s`, with interrupts masked. Returning goes on where the frame
/// says.
extern "C" fn trap(frame: &mut TrapFrame, vector: u64) {
    // Either synchronises this core. Reported only where there is a task: what failed may be that there is none.
    let reported = task::is_task(registers::current_task()) && observe::is_watched();
    if reported {
        observe::report(|| What::ExceptionEntry);
    }
    let class = Esr(frame.esr).class();
    match Vector(vector) {
        Vector::SYNCHRONOUS if class == Some(Class::BreakpointCurrentEL) => on_breakpoint(frame),
        Vector::SYNCHRONOUS if is_transient(frame) || fixup::apply(frame) => {}
        Vector::IRQ => interrupt(frame),
        vector => report::unexpected(frame, vector),
    }
    if reported {
        observe::report(|| What::ExceptionReturn);
    }
}

/// What a hardware breakpoint does; nothing is expected to set one until somebody says so.
static BREAKPOINT: Lock<Option<fn(&mut TrapFrame)>> = Lock::new(None);

/// Lets every hardware breakpoint do `work` in its handler, with interrupts masked.
pub(crate) fn set_breakpoint_work(work: fn(&mut TrapFrame)) {
    *BREAKPOINT.lock() = Some(work);
}

fn on_breakpoint(frame: &mut TrapFrame) {
    let work = *BREAKPOINT.lock();
    match work {
        Some(work) => work(frame),
        None => report::unexpected(frame, Vector::SYNCHRONOUS),
    }
}

/// Whether the access is to be made again: its fault was another core's doing, and is over.
///
/// Both are tried several times in turn: a page that is replaced again and again may be made between the one test and the other.
fn is_transient(frame: &TrapFrame) -> bool {
    for _ in 0..4 {
        if spurious::is_over(frame) {
            return true;
        }
        match broken::wait(frame) {
            Wait::NotBroken => {}
            Wait::Made => return true,
            Wait::GaveUp => return false,
        }
    }
    false
}

/// An IRQ. If it demands another task, the interrupted one goes on when its turn comes, which may be
/// on another core.
fn interrupt(frame: &mut TrapFrame) {
    if !irq::handle(task::current()) {
        report::unexpected(frame, Vector::IRQ);
    }
    let core = task::core();
    if core.resched.load(Relaxed) {
        core.resched.store(false, Relaxed);
        sched::preempt();
    }
}
