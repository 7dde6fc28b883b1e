//! The other cores: started through PSCI, idle until there is a task for them, parked at the end.
//!
//! `smccc` makes the calls.

use core::fmt;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

use mmu_check::What;
use smccc::psci::{self, error::Error as PsciError};
use smccc::{Hvc, Smc};
use stage1_hw::{Barrier, Instructions, Op, Why};

use crate::arch::{registers, time};
use crate::irq::{self, IrqError};
use crate::machine::{Conduit, Machine};
use crate::mem::stacks::{Stack, StackError};
use crate::mem::{self, kernel_space};
use crate::observe::{self, seam::HW};
use crate::task::{self, MAX_CORES, MAX_TASKS};
use crate::{println, sched};

/// How long a core may take to start, and to stop, in microseconds. Long for a core, not for an emulated one whose host is busy.
const PATIENCE: u64 = 10_000_000;

/// The cores that take part, a bit each.
static ONLINE: AtomicU8 = AtomicU8::new(0);
/// The cores that have started and found that they cannot take part.
static REFUSED: AtomicU8 = AtomicU8::new(0);
/// What translation depends on on the first core: every other must have the same.
static CONTROLS: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];
/// How many cores take part in the end.
static COUNT: AtomicU32 = AtomicU32::new(1);

/// Why a core does not take part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum CoreError {
    NoPsci,
    Psci(PsciError),
    Stack(StackError),
    Silent,
    Refused,
}

impl fmt::Display for CoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CoreError::NoPsci => f.write_str("the device tree names no PSCI to start it with"),
            CoreError::Psci(error) => write!(f, "PSCI does not start it: {error}"),
            CoreError::Stack(error) => write!(f, "{error}"),
            CoreError::Silent => f.write_str("PSCI has started it, and it does not report"),
            CoreError::Refused => f.write_str(
                "its registers promise less than the first core's, or it has no interrupts",
            ),
        }
    }
}

/// Starts all other cores, and lets interrupts in on this one. Says how many cores take part; why
/// one does not is printed.
///
/// # Errors
/// When this core itself has no interrupts.
pub fn start(machine: &Machine) -> Result<usize, IrqError> {
    irq::init(machine)?;
    irq::init_core()?;
    prepare_idle_task();
    ONLINE.store(1, Relaxed);
    for (control, value) in CONTROLS.iter().zip(registers::translation_controls()) {
        control.store(value, Relaxed);
    }
    let me = registers::affinity();
    let others = machine.cores[..machine.core_count].iter();
    for (index, &affinity) in (1..).zip(others.filter(|&&affinity| affinity != me)) {
        if let Err(error) = start_one(machine, index, affinity) {
            println!("core {index} (affinity {affinity:#x}) does not take part: {error}");
        }
    }
    registers::unmask_interrupts();
    let count = ONLINE.load(Relaxed).count_ones();
    COUNT.store(count, Relaxed);
    Ok(count as usize)
}

/// How many cores take part.
pub fn count() -> usize {
    COUNT.load(Relaxed) as usize
}

/// The cores that take part but for this one, a bit each.
pub fn others_online() -> u8 {
    ONLINE.load(Relaxed) & !(1 << task::core().index)
}

fn start_one(machine: &Machine, index: usize, affinity: u64) -> Result<(), CoreError> {
    if index >= MAX_CORES {
        return Err(CoreError::Refused);
    }
    let conduit = machine.psci.ok_or(CoreError::NoPsci)?;
    let stack = Stack::map(MAX_TASKS + index).map_err(CoreError::Stack)?;
    // SAFETY: mapped by the kernel's tables, and this core's for ever.
    unsafe { lazy_mmu_boot::set_secondary_stack(index, stack.top()) };
    // That store, and the tables, for a core that does not take part in anything yet: PSCI hands nothing over but the
    // context.
    HW.execute(Op::Dsb(Barrier::Ishst), Why::Kick);
    let root = mem::hardware().address(kernel_space().root()).raw();
    let (entry, context) = (
        lazy_mmu_boot::secondary_start(),
        lazy_mmu_boot::secondary_context(root, index),
    );
    let started = match conduit {
        Conduit::Hvc => psci::cpu_on::<Hvc>(affinity, entry, context),
        Conduit::Smc => psci::cpu_on::<Smc>(affinity, entry, context),
    };
    if let Err(error) = started {
        // SAFETY: the core has not started.
        unsafe { stack.unmap() };
        return Err(CoreError::Psci(error));
    }
    let reported = || (ONLINE.load(Acquire) | REFUSED.load(Acquire)) >> index & 1 != 0;
    if !time::wait_until(PATIENCE, reported) {
        return Err(CoreError::Silent);
    }
    if REFUSED.load(Relaxed) >> index & 1 != 0 {
        return Err(CoreError::Refused);
    }
    Ok(())
}

/// Gives the first core a task to idle in: it boots in another.
fn prepare_idle_task() {
    match Stack::map(MAX_TASKS) {
        // SAFETY: 1. Nobody has switched to it yet. 2. The stack is its own for ever.
        Ok(stack) => unsafe {
            task::core()
                .idle_task()
                .context
                .begin(sched::begin_idle, stack.top())
        },
        Err(error) => panic!("the first core cannot idle: {error}"),
    }
}

/// From the boot code, on a core that was started: on the kernel's tables and its own stack, with
/// interrupts masked.
///
/// # Safety
/// Called once per core, by `boot/src/entry.s`.
#[unsafe(no_mangle)]
unsafe extern "C" fn secondary_entry(index: usize) -> ! {
    // SAFETY: the first thing of all on this core, whose number PSCI has passed on.
    unsafe { task::adopt_idle_task(index) };
    observe::report(|| What::CoreStart);
    mem::leave_identity_map();
    let controls = CONTROLS.each_ref().map(|control| control.load(Relaxed));
    let fit = registers::translation_controls() == controls && irq::init_core().is_ok();
    let answer = if fit { &ONLINE } else { &REFUSED };
    answer.fetch_or(1 << index, Release);
    if fit {
        sched::idle()
    }
    loop {
        registers::wait_for_interrupt();
    }
}

/// Parks all other cores, whatever they do. Says whether all of them have stopped in time.
///
/// What they were doing is not finished; a task that is interrupted holds no lock.
pub fn stop() -> bool {
    // For good, and first: an interrupt from here on parks whoever takes it, and a preemption could move this task.
    registers::mask_interrupts();
    let others = others_online();
    if others == 0 {
        return true;
    }
    irq::send_stop(others);
    let stopped = time::wait_until(PATIENCE, || {
        let cores = task::cores().iter();
        cores
            .filter(|core| others >> core.index & 1 != 0)
            .all(|core| core.parked.load(Relaxed))
    });
    if !stopped {
        println!("not every core has stopped");
    }
    stopped
}
