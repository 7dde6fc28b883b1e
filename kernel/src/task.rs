//! Tasks, cores, and the counts that belong to each.
//!
//! The current task is SP_EL0, on one core or on many: what is "per task" is never a global. Counts
//! are kept where nobody else writes: a task's own in the task, an interrupt handler's in a record
//! of its core. So no count needs an atomic read-modify-write, and none is lost when a task moves
//! between the load and the store.

use core::marker::PhantomData;
use core::ops::{Deref, Sub};
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use lazy_mmu::{Policy, TaskMmu};

use crate::arch::registers;
use crate::event::Ring;

/// The most cores that this kernel knows.
pub const MAX_CORES: usize = 8;

/// A number that one writer adds to.
#[derive(Default)]
pub struct Count(AtomicU64);

impl Count {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds `n`. A plain load and store: see the module's page for why that is enough.
    #[inline(always)]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What one task, or one core's interrupt handlers, made the machine do.
#[derive(Default)]
pub struct Counts {
    /// Pairs `dsb ishst; isb` that published stores.
    pub pairs: Count,
    /// DSBs of any kind, those of the pairs among them.
    pub dsb: Count,
    /// ISBs, those of the pairs among them.
    pub isb: Count,
    /// DMBs.
    pub dmb: Count,
    /// TLB invalidation instructions.
    pub tlbi: Count,
    /// Translations those dropped at most, in pages; full invalidations apart.
    pub reach: Count,
    /// Invalidations of a whole ASID or of everything.
    pub full: Count,
    /// Descriptors stored.
    pub stores: Count,
}

/// The values of [`Counts`] at one moment, or the difference of two.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // the fields of Counts
pub struct Tally {
    pub pairs: u64,
    pub dsb: u64,
    pub isb: u64,
    pub dmb: u64,
    pub tlbi: u64,
    pub reach: u64,
    pub full: u64,
    pub stores: u64,
}

impl Counts {
    /// All zero.
    pub const fn new() -> Self {
        Self {
            pairs: Count::new(),
            dsb: Count::new(),
            isb: Count::new(),
            dmb: Count::new(),
            tlbi: Count::new(),
            reach: Count::new(),
            full: Count::new(),
            stores: Count::new(),
        }
    }

    /// The values now.
    pub fn tally(&self) -> Tally {
        Tally {
            pairs: self.pairs.get(),
            dsb: self.dsb.get(),
            isb: self.isb.get(),
            dmb: self.dmb.get(),
            tlbi: self.tlbi.get(),
            reach: self.reach.get(),
            full: self.full.get(),
            stores: self.stores.get(),
        }
    }
}

impl Sub for Tally {
    type Output = Tally;

    fn sub(self, before: Tally) -> Tally {
        Tally {
            pairs: self.pairs - before.pairs,
            dsb: self.dsb - before.dsb,
            isb: self.isb - before.isb,
            dmb: self.dmb - before.dmb,
            tlbi: self.tlbi - before.tlbi,
            reach: self.reach - before.reach,
            full: self.full - before.full,
            stores: self.stores - before.stores,
        }
    }
}

impl core::ops::Add for Tally {
    type Output = Tally;

    fn add(self, other: Tally) -> Tally {
        Tally {
            pairs: self.pairs + other.pairs,
            dsb: self.dsb + other.dsb,
            isb: self.isb + other.isb,
            dmb: self.dmb + other.dmb,
            tlbi: self.tlbi + other.tlbi,
            reach: self.reach + other.reach,
            full: self.full + other.full,
            stores: self.stores + other.stores,
        }
    }
}

/// A kernel task.
pub struct Task {
    /// Its number; 0 is the one that boots.
    pub id: u16,
    /// Its lazy MMU mode: state, debt and policy.
    pub mmu: TaskMmu,
    /// What it made the machine do.
    pub counts: Counts,
    /// The last arch hook that ran for it (0: none since it was cleared; else 1 + the hook's
    /// number), for `run=nesting`.
    pub last_hook: AtomicU8,
}

impl Task {
    const fn new(id: u16) -> Self {
        Self {
            id,
            mmu: TaskMmu::new(Policy::Seed),
            counts: Counts::new(),
            last_hook: AtomicU8::new(0),
        }
    }
}

/// A core, and what its interrupt handlers did.
pub struct Core {
    /// Its number.
    pub index: u8,
    /// What its interrupt handlers made the machine do.
    pub interrupt_counts: Counts,
    /// Its last events.
    pub events: Ring,
}

impl Core {
    const fn new(index: u8) -> Self {
        Self {
            index,
            interrupt_counts: Counts::new(),
            events: Ring::new(),
        }
    }
}

static BOOT_TASK: Task = Task::new(0);
static BOOT_CORE: Core = Core::new(0);

/// The current task, for as long as the code at hand runs in it: it cannot be sent to another.
#[derive(Clone, Copy)]
pub struct Current(&'static Task, PhantomData<*const ()>);

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
    // SAFETY: 1. SP_EL0 is set to a live task before any code that asks (`adopt_boot_task`, the
    // first call of the kernel).
    // 2. A task lives while it is current, and `Current` stays in it.
    // 3. A task is only ever used by shared reference; what changes in it is atomic.
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

/// Makes the code that is booting a task. Must come before anything else in the kernel.
///
/// # Safety
/// Called once, by the first core, before any other function of this module.
pub unsafe fn adopt_boot_task() {
    // SAFETY: both are statics; nothing was current before.
    unsafe { registers::set_current_task(&raw const BOOT_TASK as u64) };
    // SAFETY: a static, and this is the only core.
    unsafe { registers::set_core_record(&raw const BOOT_CORE as u64) };
}
