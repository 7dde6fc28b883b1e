//! Tasks, cores, and the counts that belong to each.
//!
//! The current task is SP_EL0, on one core or on many: what is "per task" is never a global. Counts
//! are kept where nobody else writes: a task's own in the task; those of interrupt handlers and of
//! the switch, which run between any two instructions of a task, in a record of the core. So no
//! count needs an atomic read-modify-write, and none is lost when a task moves between the load and
//! the store.
//!
//! Which task runs where is [`crate::sched`]'s business.

mod counts;
pub mod kinds;
mod last_fault;
mod stats;

pub use counts::{Count, Counts, Tally};
pub use last_fault::LastFault;
pub use stats::{Figures, Stats};

use core::marker::PhantomData;
use core::ops::{Add, Deref};
use core::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU64,
    Ordering::{Acquire, Relaxed},
};

use lazy_mmu::{Chosen, Policy, TaskMmu};

use crate::arch::registers;
use crate::arch::switch::Context;
use crate::base::{MAX_CORES, MAX_TASKS};

/// The processor that the code at hand runs on, as the mode of its task sees it; what it does is in [`crate::mode`].
#[derive(Clone, Copy, Debug)]
pub struct ThisCpu;

/// The mode of a task. This kernel demonstrates: it chooses the contract at run time.
pub type Mmu = TaskMmu<Chosen, ThisCpu>;

/// In [`Task::watched`]: an interrupt handler runs on top of the task, and counts for its core.
pub const IN_HANDLER: u8 = 1 << 7;

/// A kernel task.
///
/// Its counts come first, as in a [`Core`]: the observer adds to the one or the other, and needs no address of its own for
/// either.
#[repr(C)]
pub struct Task {
    /// What it made the machine do. Only ever grows, also when the number is given to another task.
    pub counts: Counts,
    /// Its number: 0 is the one that boots, from [`MAX_TASKS`] on they are those that cores idle in.
    pub id: u16,
    /// Who listens, of the observer's: its flag has a copy in each task, beside what the same paths read and count. And
    /// [`IN_HANDLER`]: 0 means that what is executed is counted here and reported to nobody.
    pub watched: AtomicU8,
    /// Its lazy MMU mode: state, debt and policy.
    pub mmu: Mmu,
    /// What happened to it. Only ever grows, like the counts.
    pub stats: Stats,
    /// What TTBR0_EL1 holds while it runs.
    pub ttbr0: Ttbr0,
    /// The last fault of its that AT found to be over.
    pub last_fault: LastFault,
    /// Its registers while it does not run.
    pub(crate) context: Context,
}

/// What a task's TTBR0_EL1 holds: root and ASID, or 0 if the task has no lower half.
pub struct Ttbr0(AtomicU64);

impl Ttbr0 {
    /// The value.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Changes it; the next switch to the task puts it into the register.
    ///
    /// # Safety
    /// 0, or root and ASID of a lower half that lives until the value is another.
    pub(crate) unsafe fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }
}

impl Task {
    const fn new(id: u16) -> Self {
        Self {
            id,
            watched: AtomicU8::new(0),
            mmu: Mmu::new(Chosen::new(Policy::V3), ThisCpu),
            counts: Counts::new(),
            stats: Stats::new(),
            ttbr0: Ttbr0(AtomicU64::new(0)),
            last_fault: LastFault::new(),
            context: Context::new(),
        }
    }

    /// Runs `handler` as an interrupt's on top of the task: the mode knows of it, and the figures of the task's sections are
    /// as before behind it.
    pub fn interrupted<R>(&self, handler: impl FnOnce() -> R) -> R {
        self.mmu.irq_enter();
        let before = self.watched.fetch_or(IN_HANDLER, Relaxed);
        let result = self.stats.keep_sections(handler);
        self.watched.fetch_and(before | !IN_HANDLER, Relaxed);
        self.mmu.irq_exit();
        result
    }

    /// It is what a core runs when nothing else is to run.
    pub fn is_idle(&self) -> bool {
        usize::from(self.id) >= MAX_TASKS
    }
}

/// A core, and what its interrupt handlers and switches did. Laid out as a [`Task`] is, counts first.
#[repr(C)]
pub struct Core {
    /// What its interrupt handlers and its switches made the machine do.
    pub interrupt_counts: Counts,
    /// Its number.
    pub index: u8,
    /// Interrupts that it has served. This and the next two are what its barriers are compared with, and
    /// are written with interrupts masked.
    pub served: Count,
    /// Times that it has sent other cores an interrupt.
    pub sent: Count,
    /// Times that it has woken from idling.
    pub woken: Count,
    /// An interrupt demands that another task to run here.
    pub resched: AtomicBool,
    /// It takes part.
    pub online: AtomicBool,
    /// It has stopped for good.
    pub parked: AtomicBool,
}

impl Core {
    const fn new(index: u8) -> Self {
        Self {
            index,
            interrupt_counts: Counts::new(),
            served: Count::new(),
            sent: Count::new(),
            woken: Count::new(),
            resched: AtomicBool::new(false),
            online: AtomicBool::new(false),
            parked: AtomicBool::new(false),
        }
    }

    /// The task that it runs when nothing else is to run.
    pub fn idle_task(&self) -> &'static Task {
        &TASKS[MAX_TASKS + usize::from(self.index)]
    }
}

/// By number: behind all others those that the cores idle in.
static TASKS: [Task; MAX_TASKS + MAX_CORES] = {
    let mut tasks = [const { Task::new(0) }; MAX_TASKS + MAX_CORES];
    let mut id = 0;
    while id < tasks.len() {
        tasks[id].id = id as u16;
        id += 1;
    }
    tasks
};

static CORES: [Core; MAX_CORES] = {
    let mut cores = [const { Core::new(0) }; MAX_CORES];
    let mut index = 0;
    while index < MAX_CORES {
        cores[index].index = index as u8;
        index += 1;
    }
    cores
};

/// All cores that this kernel could have, by number.
pub fn cores() -> &'static [Core; MAX_CORES] {
    &CORES
}

/// How many cores take part.
pub fn online_count() -> usize {
    online().count_ones() as usize
}

/// The cores that take part but for this one, a bit each.
pub fn others_online() -> u8 {
    online() & !(1 << core().index)
}

fn online() -> u8 {
    let online = CORES.iter().filter(|core| core.online.load(Acquire));
    online.fold(0, |bits, core| bits | 1 << core.index)
}

/// The task with this number.
pub(crate) fn by_id(id: u16) -> &'static Task {
    &TASKS[usize::from(id)]
}

/// Whether this is the address of a task: called where SP_EL0 itself is not to be trusted.
pub fn is_task(address: u64) -> bool {
    all().any(|task| &raw const *task as u64 == address)
}

/// Every task there could be, those that cores idle in among them.
pub fn all() -> impl Iterator<Item = &'static Task> {
    TASKS.iter()
}

/// What the machine did since it was started: the sum over all tasks and all cores' records.
///
/// Exact only while no other task runs and no core but this one is awake.
pub fn machine_tally() -> Tally {
    let tasks = all().map(|task| task.counts.tally());
    let cores = CORES.iter().map(|core| core.interrupt_counts.tally());
    tasks.chain(cores).fold(Tally::default(), Add::add)
}

/// The current task, for as long as the code at hand runs in it: it cannot be sent to another.
#[derive(Clone, Copy)]
pub struct Current(&'static Task, PhantomData<*const ()>);

impl Current {
    /// The task, for the switch that it leaves by.
    pub(crate) fn task(self) -> &'static Task {
        self.0
    }
}

impl Deref for Current {
    type Target = Task;

    fn deref(&self) -> &Task {
        self.0
    }
}

/// The current task.
#[inline(always)]
pub fn current() -> Current {
    let task = registers::current_task() as *const Task;
    // SAFETY: 1. SP_EL0 is set to a live task before any code that reads it: `adopt` is the first call of the
    // kernel, and of every other core.
    // 2. Tasks are statics: they live for ever.
    // 3. A task is only ever used by shared reference; what changes in it is atomic, or its context.
    Current(unsafe { &*task }, PhantomData)
}

/// This core's record. A task that is preempted may find itself on another core afterwards.
#[inline(always)]
pub fn core() -> &'static Core {
    let record = registers::core_record() as *const Core;
    // SAFETY: TPIDR_EL1 is set with SP_EL0, to a record that lives for ever and is only used by
    // shared reference.
    unsafe { &*record }
}

/// The counts to add to: the current task's, or in an interrupt handler this core's.
#[inline(always)]
pub fn counts() -> &'static Counts {
    let task = current();
    if task.mmu.in_interrupt() {
        &core().interrupt_counts
    } else {
        &task.0.counts
    }
}

/// Makes the code that is running task `id`, on core `index`. Must come before anything else in the kernel,
/// and on another core before anything else there.
///
/// # Safety
/// Called once by each core, before any other function of this module. Task and record are no other core's.
// Not inlined: reading SP_EL0 is declared pure, since the current task does not change within a function. No read
// of it must be moved ahead of the write in here.
#[inline(never)]
pub(crate) unsafe fn adopt(id: usize, index: usize) {
    // SAFETY: a static; nothing was current before.
    unsafe { registers::set_current_task(&raw const TASKS[id] as u64) };
    // SAFETY: a static, and no other core's by the caller's promise.
    unsafe { registers::set_core_record(&raw const CORES[index] as u64) };
}
