//! The mode on the current task: upstream's four calls, and where a store owes.
//!
//! `lazy-mmu` has the contract; here is the processor it runs on.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use lazy_mmu::{Call, Hook, Misuse, Policy, PolicyInUse};
use mmu_check::What;

use crate::observe::seam::{self, HW};
use crate::task::ThisCpu;
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

/// To be called by what may sleep, before it does. Warns in an interrupt, where nobody may, and inside a section whose contract
/// forbids it to generic code: `linux7` ("mm: clarify lazy_mmu sleeping constraints"). Here nothing is lost by it, as the state
/// goes along with the task.
pub fn may_sleep() {
    let mmu = &task::current().mmu;
    if mmu.in_interrupt() || mmu.policy() == Policy::Linux7 && mmu.in_lazy_mmu_mode() {
        WARNINGS.fetch_add(1, Relaxed);
        println!("lazy MMU: warning: may sleep in a section or an interrupt");
    }
}

/// What the mode calls: [`Processor`], and around it what the seam puts there.
pub const CPU: seam::Cpu<Processor> = seam::cpu(Processor);

/// The mode of every task is given what the seam says.
impl lazy_mmu::Cpu for ThisCpu {
    #[inline(always)]
    fn publish(&self) {
        CPU.publish();
    }

    fn misuse(&self, misuse: Misuse) {
        CPU.misuse(misuse);
    }

    #[inline(always)]
    fn hook(&self, hook: Hook) {
        CPU.hook(hook);
    }

    #[inline(always)]
    fn called(&self, call: Call) {
        CPU.called(call);
    }
}

/// This processor: what a call of the mode does on it.
#[derive(Debug)]
pub struct Processor;

impl lazy_mmu::Cpu for Processor {
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
        observe::report(move || What::Hook(hook.into()));
    }

    fn called(&self, call: Call) {
        // In a handler too, which restores them: see `Task::interrupted`.
        let stats = &task::current().stats;
        match call {
            Call::Enable => stats.opened(),
            Call::Disable => stats.closed(),
            Call::Pause | Call::Resume => {}
        }
        observe::report(move || What::Call(call.into()));
    }
}

// The four calls are functions of their own, in a section of the image of their own with all that is
// compiled from `lazy-mmu` for them: where the forced schedules stop (linker.ld).

/// Opens a section: the stores of this task may owe their barrier until it ends.
#[unsafe(link_section = ".text.forced.calls")]
#[inline(never)]
pub fn lazy_mmu_mode_enable() {
    task::current().mmu.lazy_mmu_mode_enable();
}

/// Ends a section. Everything stored before is published when it returns, however deep; the outer
/// section goes on deferring.
#[unsafe(link_section = ".text.forced.calls")]
#[inline(never)]
pub fn lazy_mmu_mode_disable() {
    task::current().mmu.lazy_mmu_mode_disable();
}

/// Leaves the mode at any depth, until [`lazy_mmu_mode_resume`].
#[unsafe(link_section = ".text.forced.calls")]
#[inline(never)]
pub fn lazy_mmu_mode_pause() {
    task::current().mmu.lazy_mmu_mode_pause();
}

/// Enters the mode again at the depth it was left.
#[unsafe(link_section = ".text.forced.calls")]
#[inline(never)]
pub fn lazy_mmu_mode_resume() {
    task::current().mmu.lazy_mmu_mode_resume();
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
///
/// By the two calls: in this kernel nothing unwinds, and no bug returns.
pub fn section<R>(work: impl FnOnce() -> R) -> R {
    lazy_mmu_mode_enable();
    let result = work();
    lazy_mmu_mode_disable();
    result
}

/// Runs `work` in a section of the current task, and gives out what it has made there, published:
/// [`lazy_mmu::TaskMmu::publish`]. The tables owe for what they store.
pub fn published<T>(work: impl FnOnce() -> T) -> T {
    task::current().mmu.publish(|section| section.hold(work))
}

/// Runs `work`, which opens sections of its own beneath whatever section its caller may be in.
///
/// The debug page allocator's entry. Under every policy but `reenter` this just runs `work`; that
/// one leaves the mode before and enters it again after.
pub fn reenter<R>(work: impl FnOnce() -> R) -> R {
    observe::report(|| What::Reenter { begin: true });
    let result = task::current().mmu.reenter(work);
    observe::report(|| What::Reenter { begin: false });
    result
}

/// A store of a valid descriptor was made by this task, and owes its pair.
#[inline]
pub fn owe() {
    observe::report(|| What::Owe);
    task::current().mmu.owe();
}
