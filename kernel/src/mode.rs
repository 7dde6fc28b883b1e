//! The mode on the current task: upstream's four calls, and where a store owes.
//!
//! `lazy-mmu` has the contract; here is the processor it runs on.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use lazy_mmu::{Call, Hook, Misuse, Policy, PolicyInUse};
use mmu_check::What;

use crate::observe::seam::{self, HW};
use crate::{observe, println, task};

/// Warnings are expected, and not printed: see [`expect_warnings`].
static EXPECTED: AtomicBool = AtomicBool::new(false);

/// How many there were.
static WARNINGS: AtomicU64 = AtomicU64::new(0);

/// How many warnings there were since the start.
pub fn warnings() -> u64 {
    WARNINGS.load(Relaxed)
}

/// Leaves warnings unprinted, while what is done must lead to them.
pub fn expect_warnings(on: bool) {
    EXPECTED.store(on, Relaxed);
}

/// This processor, as the mode sees it.
#[derive(Debug)]
pub struct ThisCpu;

/// What the mode is given.
pub type Cpu = seam::Cpu<ThisCpu>;

/// The value.
pub const CPU: Cpu = seam::cpu(ThisCpu);

impl lazy_mmu::Cpu for ThisCpu {
    // Where the forced schedules stop, as in the calls below.
    #[unsafe(link_section = ".text.forced.calls")]
    #[inline(never)]
    fn publish(&self) {
        stage1_hw::publish(HW);
    }

    fn misuse(&self, misuse: Misuse) {
        assert!(!misuse.is_bug(), "lazy MMU: {misuse}");
        WARNINGS.fetch_add(1, Relaxed);
        if !EXPECTED.load(Relaxed) {
            println!("lazy MMU: warning: {misuse}");
        }
    }

    fn hook(&self, hook: Hook) {
        observe::report(|| What::Hook(hook.into()));
    }

    fn called(&self, call: Call) {
        let task = task::current();
        // The task's own figures: a handler's sections are not its.
        if !task.mmu.in_interrupt() {
            match call {
                Call::Enable => task.stats.opened(),
                Call::Disable => task.stats.closed(),
                Call::Pause | Call::Resume => {}
            }
        }
        observe::report(|| What::Call(call.into()));
    }
}

// The four calls are functions of their own, in a section of the image of their own with all that is
// compiled from `lazy-mmu` for them: where the forced schedules stop (linker.ld).

/// Opens a section: the stores of this task may owe their barrier until it ends.
#[unsafe(link_section = ".text.forced.calls")]
#[inline(never)]
pub fn lazy_mmu_mode_enable() {
    task::current().mmu.lazy_mmu_mode_enable(&CPU);
}

/// Ends a section. Everything stored before is published when it returns, however deep; the outer
/// section goes on deferring.
#[unsafe(link_section = ".text.forced.calls")]
#[inline(never)]
pub fn lazy_mmu_mode_disable() {
    task::current().mmu.lazy_mmu_mode_disable(&CPU);
}

/// Leaves the mode at any depth, until [`lazy_mmu_mode_resume`].
#[unsafe(link_section = ".text.forced.calls")]
#[inline(never)]
pub fn lazy_mmu_mode_pause() {
    task::current().mmu.lazy_mmu_mode_pause(&CPU);
}

/// Enters the mode again at the depth it was left.
#[unsafe(link_section = ".text.forced.calls")]
#[inline(never)]
pub fn lazy_mmu_mode_resume() {
    task::current().mmu.lazy_mmu_mode_resume(&CPU);
}

/// Changes the policy of the current task.
///
/// # Errors
/// As [`lazy_mmu::TaskMmu::set_policy`]: while a section is open, or something is owed.
pub fn set_policy(policy: Policy) -> Result<(), PolicyInUse> {
    task::current().mmu.set_policy(policy)?;
    report_contract();
    Ok(())
}

/// Reports which contract the current task follows.
pub(crate) fn report_contract() {
    let policy = task::current().mmu.policy();
    observe::report(|| What::Contract(policy.into()));
    observe::report(|| What::Policy(policy.into()));
}

/// Runs `work` in a section of the current task: [`lazy_mmu::TaskMmu::section`].
pub fn section<R>(work: impl FnOnce() -> R) -> R {
    task::current().mmu.section(&CPU, |_| work())
}

/// Runs `work` in a section of the current task, and gives out what it has made there, published:
/// [`lazy_mmu::TaskMmu::publish`].
///
/// # Errors
/// What `work` returns; a failure may leave the section as it is.
pub fn published<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let task = task::current();
    task.mmu.publish(&CPU, |section| {
        work().map(|made| section.unpublished(made)).into()
    })
}

/// Runs `work`, which opens sections of its own beneath whatever section its caller may be in.
///
/// The debug page allocator's entry. Under every policy but `reenter` this just runs `work`; that
/// one leaves the mode before and enters it again after.
pub fn reenter<R>(work: impl FnOnce() -> R) -> R {
    observe::report(|| What::Reenter { begin: true });
    let result = task::current().mmu.reenter(&CPU, work);
    observe::report(|| What::Reenter { begin: false });
    result
}

/// A store of a valid descriptor was made by this task, and owes its pair.
#[inline]
pub fn owe() {
    observe::report(|| What::Owe);
    task::current().mmu.owe(&CPU);
}
