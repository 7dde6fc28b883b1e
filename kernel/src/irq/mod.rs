//! Interrupts: what the kernel does about the two that it has.
//!
//! The timer's interrupt is each core's own; the reschedule interrupt is what cores send each other.
//! The controller is [`gic`]'s.
//!
//! The barriers on the way of an interrupt, in its order:
//!
//! | after | barrier | so that |
//! |---|---|---|
//! | taking it | none: an exception entry synchronises | |
//! | the acknowledge | `dmb ishld` (GICv2), `dsb sy` (GICv3) | memory is read behind it |
//! | the branch on its number | `isb` | so is the timer's status |
//! | the end of it | none: nothing here waits for its effect; an interrupt that is still raised is taken again | |
//! | the handler | none: an exception return synchronises | |
//!
//! [`Why::Acknowledge`] argues them. Who sends an interrupt, and who idles, has an ISB of its own
//! ([`Why::Send`], [`Why::Idle`]).

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use mmu_check::What;
use stage1_hw::{Barrier, Instructions, Op, Why};
use thiserror::Error;

use crate::arch::{registers, time};
use crate::base::Lock;
use crate::machine::Machine;
use crate::machine::gic::{self, GicError, RESCHEDULE};
use crate::observe::{self, seam::HW};
use crate::sched;
use crate::task::{self, Current};

/// The timer's interrupt ID.
static TIMER: AtomicU32 = AtomicU32::new(gic::NONE);
/// The core that gets a stop interrupt parks.
static STOPPING: AtomicBool = AtomicBool::new(false);
/// What every tick of the timer does besides.
static TICK_WORK: Lock<Option<fn()>> = Lock::new(None);

/// Why there are no interrupts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum IrqError {
    /// The device tree names no timer.
    #[error("the device tree names no timer of Armv8")]
    NoTimer,
    /// The controller cannot be used.
    #[error(transparent)]
    Gic(#[from] GicError),
}

/// Prepares the controller. On the first core, before [`init_core`] on any.
///
/// # Errors
/// [`IrqError`]
pub(crate) fn init(machine: &Machine) -> Result<(), IrqError> {
    let timer = machine.timer.ok_or(IrqError::NoTimer)?;
    TIMER.store(timer, Relaxed);
    Ok(gic::init(machine)?)
}

/// Lets this core take its interrupts once it unmasks them.
///
/// # Errors
/// [`IrqError`]
pub(crate) fn init_core() -> Result<(), IrqError> {
    time::stop();
    let core = task::core().index;
    let enabled = 1 << RESCHEDULE | 1 << TIMER.load(Relaxed);
    Ok(gic::init_core(HW, core, enabled)?)
}

/// Has the cores whose bits are set park for good.
pub(crate) fn send_stop(cores: u8) {
    STOPPING.store(true, Relaxed);
    // For the cores that are interrupted: no lock is handed over here, and a message to the GIC is not ordered
    // behind the store by anything else.
    HW.execute(Op::Dsb(Barrier::Ishst), Why::Kick);
    gic::send(HW, RESCHEDULE, cores);
}

/// Lets every tick of the timer do `work` on top of the task that it interrupts, in its handler.
pub(crate) fn set_tick_work(work: Option<fn()>) {
    *TICK_WORK.lock() = work;
}

/// An IRQ, on top of `task`. Returns false for an interrupt that is not known; a spurious one is fine.
pub(crate) fn handle(task: Current) -> bool {
    // First of all: from here on the mode knows that it is not the task that runs.
    task.interrupted(|| {
        observe::report(|| What::IrqEnter);
        task.stats.interrupts.add(1);
        task.stats.interrupts_inside.add(task.stats.inside().into());
        let known = serve();
        observe::report(|| What::IrqExit);
        known
    })
}

/// Acknowledges, acts, ends.
fn serve() -> bool {
    let Some(interrupt) = gic::acknowledge(HW) else {
        return false;
    };
    let id = interrupt.id();
    if id >= gic::NONE {
        return true;
    }
    task::core().served.add(1);
    HW.execute(Op::Isb, Why::Acknowledge);
    let is_timer = id == TIMER.load(Relaxed);
    if is_timer {
        tick();
    } else if id == RESCHEDULE {
        task::core().resched.store(true, Relaxed);
    }
    gic::end(interrupt);
    if STOPPING.load(Relaxed) {
        park();
    }
    is_timer || id == RESCHEDULE
}

/// The timer's interrupt, if it still is one: a slice has ended, or a sleeper is due.
fn tick() {
    if !time::is_due() {
        return;
    }
    // The line goes down with it; whoever runs next arranges the next one.
    time::stop();
    let work = *TICK_WORK.lock();
    if let Some(work) = work {
        work();
    }
    sched::tick();
    task::core().resched.store(true, Relaxed);
}

/// This core stops for good, whatever it was doing.
fn park() -> ! {
    task::core().parked.store(true, Relaxed);
    loop {
        registers::wait_for_interrupt();
    }
}
