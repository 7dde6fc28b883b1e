//! Interrupts: the controller, and what the kernel does about the two that it has.
//!
//! | file | what |
//! |---|---|
//! | `gic_v2.rs` | GICv2: registers of the distributor and of the CPU interface |
//! | `gic_v3.rs` | GICv3: distributor, redistributors, system registers |
//!
//! The timer's interrupt is each core's own; the reschedule interrupt is what cores send each other.
//! Both drivers are the kernel's own and small: `arm-gic` keeps the CPU interface of a GICv2, which
//! every core has for itself, behind one `&mut`, so each interrupt would take a lock that all cores
//! share.
//!
//! No barrier is executed on the way of an interrupt. Acknowledging is self-synchronising while
//! interrupts are masked (GIC architecture, "Observability of the effects of accesses"), the end of
//! an interrupt need not be seen before the exception return, and that return synchronises the rest.

mod gic_v2;
mod gic_v3;

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use mmu_check::What;
use spin::once::Once;
use stage1_hw::{Barrier, Instructions, Op, Why};

use crate::arch::{registers, time};
use crate::machine::{Gic, Machine};
use crate::observe::{self, seam::HW};
use crate::sched;
use crate::sync::{Lock, Yield};
use crate::task::{self, Current};

/// A driver of this machine's controller.
enum Controller {
    V2(gic_v2::Controller),
    V3(gic_v3::Controller),
}

static CONTROLLER: Once<Controller, Yield> = Once::new();
/// The timer's interrupt ID.
static TIMER: AtomicU32 = AtomicU32::new(NONE);
/// The core that gets a stop interrupt parks.
static STOPPING: AtomicBool = AtomicBool::new(false);
/// What every tick of the timer does besides.
static TICK_WORK: Lock<Option<fn()>> = Lock::new(None);

/// The software-generated interrupt "look at the run queue".
const RESCHEDULE: u32 = 1;
/// IDs from here on are no interrupts: nothing is pending.
const NONE: u32 = 1020;
/// All interrupts have the same priority: none is taken on top of another.
const PRIORITY: u8 = 0x80;
/// A mask that lets every priority through.
const LOWEST_PRIORITY: u8 = 0xFF;

/// Why there are no interrupts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IrqError {
    /// The device tree names no controller that is known.
    NoController,
    /// The device tree names no timer.
    NoTimer,
    /// The controller has no redistributor for this core.
    NoRedistributor,
    /// The redistributor of this core does not wake up.
    Asleep,
}

impl fmt::Display for IrqError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IrqError::NoController => "the device tree names no GICv2 or GICv3",
            IrqError::NoTimer => "the device tree names no timer of Armv8",
            IrqError::NoRedistributor => "the GIC has no redistributor for this core",
            IrqError::Asleep => "the GIC's redistributor of this core does not wake up",
        })
    }
}

/// Prepares the controller. On the first core, before [`init_core`] on any.
///
/// # Errors
/// [`IrqError`]
pub fn init(machine: &Machine) -> Result<(), IrqError> {
    let timer = machine.timer.ok_or(IrqError::NoTimer)?;
    let controller = match machine.gic.ok_or(IrqError::NoController)? {
        Gic::V2 { distributor, cpu } => Controller::V2(gic_v2::Controller::new(distributor, cpu)),
        Gic::V3 {
            distributor,
            redistributors,
        } => Controller::V3(gic_v3::Controller::new(distributor, redistributors)),
    };
    TIMER.store(timer, Relaxed);
    CONTROLLER.call_once(|| controller);
    Ok(())
}

/// Lets this core take its interrupts once it unmasks them.
///
/// # Errors
/// [`IrqError`]
pub fn init_core() -> Result<(), IrqError> {
    time::stop();
    let core = task::core().index;
    let enabled = 1 << RESCHEDULE | 1 << TIMER.load(Relaxed);
    match CONTROLLER.get().ok_or(IrqError::NoController)? {
        Controller::V2(gic) => gic.init_core(core, enabled),
        Controller::V3(gic) => return gic.init_core(core, enabled),
    }
    Ok(())
}

/// Asks the cores whose bits are set to look at the run queue.
///
/// No barrier, though the store that made a task ready must be seen by who is woken: the caller
/// holds the queue's lock, and the other core takes it before it looks.
pub fn send_reschedule(cores: u8) {
    match CONTROLLER.get() {
        Some(Controller::V2(gic)) => gic.send(RESCHEDULE, cores),
        Some(Controller::V3(gic)) => gic.send(RESCHEDULE, cores),
        None => {}
    }
}

/// Asks the cores whose bits are set to park for good.
pub fn send_stop(cores: u8) {
    STOPPING.store(true, Relaxed);
    // For the cores that are interrupted: no lock is handed over here, and a message to the GIC is not ordered
    // behind the store by anything else.
    HW.execute(Op::Dsb(Barrier::Ishst), Why::Kick);
    send_reschedule(cores);
}

/// Lets every tick of the timer do `work` on top of the task that it interrupts, in its handler.
pub fn set_tick_work(work: Option<fn()>) {
    *TICK_WORK.lock() = work;
}

/// An IRQ, on top of `task`. Says whether there was one that is known; none at all is nobody's fault.
pub(crate) fn handle(task: Current) -> bool {
    // First of all: from here on the mode knows that it is not the task that runs.
    task.mmu.irq_enter();
    observe::report(|| What::IrqEnter);
    task.stats.interrupts.add(1);
    task.stats.interrupts_inside.add(task.stats.inside().into());
    if task.is_idle() {
        sched::awake();
    }
    let known = match CONTROLLER.get() {
        Some(Controller::V2(gic)) => serve(|| gic.acknowledge(), |word| gic.end(word)),
        Some(Controller::V3(gic)) => serve(|| gic.acknowledge(), |word| gic.end(word)),
        None => false,
    };
    observe::report(|| What::IrqExit);
    task.mmu.irq_exit();
    known
}

/// Acknowledges, acts, ends. `end` gets the word that `acknowledge` read.
fn serve(acknowledge: impl Fn() -> u32, end: impl Fn(u32)) -> bool {
    let word = acknowledge();
    // Of a GICv2's word, bits 12..10 are the core that sent an SGI.
    let id = word & 0x3FF;
    if id >= NONE {
        return true;
    }
    let known = if id == TIMER.load(Relaxed) {
        tick();
        true
    } else if id == RESCHEDULE {
        task::core().resched.store(true, Relaxed);
        true
    } else {
        false
    };
    end(word);
    if STOPPING.load(Relaxed) {
        park();
    }
    known
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
