//! The other cores: started through PSCI, idle until there is a task for them, parked at the end.

use core::sync::atomic::Ordering::{Relaxed, Release};

use mmu_check::What;
use stage1_hw::{Barrier, CoreRegisters, Instructions, Op, Unfit, Why};
use thiserror::Error;

use crate::arch::{registers, time};
use crate::base::{Lock, MAX_CORES, MAX_TASKS};
use crate::irq::{self, IrqError};
use crate::machine::Machine;
use crate::machine::psci::{self, PsciError};
use crate::mem;
use crate::mem::stacks::{Stack, StackError};
use crate::observe::{self, seam::HW};
use crate::task::{self, Core};
use crate::{println, sched};

/// How long a core may take to start, and to stop, in microseconds. Long for a core, not for an emulated one whose host is busy.
const PATIENCE: u64 = 10_000_000;

/// What translation depends on on the first core, which made the tables.
static FIRST: Lock<Option<CoreRegisters>> = Lock::new(None);
/// What each core that was started has found: whether it takes part.
static ANSWERS: Lock<[Option<Result<(), CoreError>>; MAX_CORES]> = Lock::new([None; MAX_CORES]);

/// Why a core does not take part.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
enum CoreError {
    #[error("the device tree names no PSCI to start it with")]
    NoPsci,
    #[error("PSCI does not start it: {0}")]
    Psci(#[from] PsciError),
    #[error(transparent)]
    Stack(#[from] StackError),
    #[error("PSCI has started it, and it does not report")]
    Silent,
    #[error("this kernel has room for {MAX_CORES}")]
    TooMany,
    #[error(transparent)]
    Unfit(#[from] Unfit),
    #[error("it has no interrupts: {0}")]
    Irq(IrqError),
}

/// Starts all other cores, and lets interrupts in on this one. Says how many cores take part; why
/// one does not is printed.
///
/// # Errors
/// When this core itself has no interrupts.
pub(crate) fn start(machine: &Machine) -> Result<usize, IrqError> {
    irq::init(machine)?;
    irq::init_core()?;
    prepare_idle_task();
    task::core().online.store(true, Relaxed);
    *FIRST.lock() = Some(CoreRegisters::read());
    let me = registers::affinity();
    let others = machine.cores[..machine.core_count].iter();
    for (index, &affinity) in (1..).zip(others.filter(|&&affinity| affinity != me)) {
        if let Err(error) = start_one(machine, index, affinity) {
            println!("core {index} (affinity {affinity:#x}) does not take part: {error}");
        }
    }
    registers::unmask_interrupts();
    Ok(task::online_count())
}

fn start_one(machine: &Machine, index: usize, affinity: u64) -> Result<(), CoreError> {
    if index >= MAX_CORES {
        return Err(CoreError::TooMany);
    }
    let conduit = machine.psci.ok_or(CoreError::NoPsci)?;
    let stack = Stack::map(MAX_TASKS + index)?;
    // SAFETY: mapped by the kernel's tables, and this core's for ever.
    unsafe { lazy_mmu_boot::set_secondary_stack(index, stack.top()) };
    // That store, and the tables, for a core that does not take part in anything yet: PSCI hands nothing over but the
    // context.
    HW.execute(Op::Dsb(Barrier::Ishst), Why::Kick);
    let root = mem::root_address().raw();
    let entry = lazy_mmu_boot::secondary_start();
    let context = lazy_mmu_boot::secondary_context(root, index);
    // SAFETY: the boot code's entry and what it expects; the core's stack is mapped, and its number is no other's.
    let started = unsafe { psci::start_core(conduit, affinity, entry, context) };
    // SAFETY: the core has not started.
    started.inspect_err(|_| unsafe { stack.unmap() })?;
    let mut answer = None;
    time::wait_until(PATIENCE, || {
        answer = ANSWERS.lock()[index];
        answer.is_some()
    });
    answer.unwrap_or(Err(CoreError::Silent))
}

/// Gives the first core a task to idle in: it boots in another.
fn prepare_idle_task() {
    let stack = Stack::map(MAX_TASKS).expect("the first core cannot idle");
    let context = &task::core().idle_task().context;
    // SAFETY: 1. Nobody has switched to it yet. 2. The stack is its own for ever.
    unsafe { context.begin(sched::begin_idle, stack.top()) };
}

/// From the boot code, on a core that was started: on the kernel's tables and its own stack, with
/// interrupts masked.
///
/// # Safety
/// Called once per core, by `boot/src/entry.s`.
#[unsafe(no_mangle)]
unsafe extern "C" fn secondary_entry(index: usize) -> ! {
    // SAFETY: the first thing of all on this core, whose number PSCI has passed on: it runs its idle task.
    unsafe { task::adopt(MAX_TASKS + index, index) };
    observe::report(|| What::CoreStart);
    mem::leave_identity_map();
    let answer = take_part();
    task::core().online.store(answer.is_ok(), Release);
    ANSWERS.lock()[index] = Some(answer);
    if answer.is_ok() {
        sched::idle()
    }
    loop {
        registers::wait_for_interrupt();
    }
}

/// Whether this core, which was started, can work with the first one.
fn take_part() -> Result<(), CoreError> {
    if let Some(first) = *FIRST.lock() {
        CoreRegisters::read().fit(first)?;
    }
    irq::init_core().map_err(CoreError::Irq)
}

/// Parks all other cores, whatever they do. Says whether all of them have stopped in time.
///
/// What they were doing is not finished; a task that is interrupted holds no lock.
pub fn stop() -> bool {
    // For good, and first: an interrupt from here on parks whoever takes it, and a preemption could move this task.
    registers::mask_interrupts();
    let others = task::others_online();
    if others == 0 {
        return true;
    }
    irq::send_stop(others);
    let is_parked = |core: &Core| others >> core.index & 1 == 0 || core.parked.load(Relaxed);
    let stopped = time::wait_until(PATIENCE, || task::cores().iter().all(is_parked));
    if !stopped {
        println!("not every core has stopped");
    }
    stopped
}
