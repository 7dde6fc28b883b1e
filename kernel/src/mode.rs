//! The mode on the current task: upstream's four calls, and where a store says that it owes.
//!
//! `lazy-mmu` has the contract; here is the processor it runs on. Every call is recorded, as an
//! event for the trace and, while a workload is measured, for [`crate::replay`].

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use lazy_mmu::{Call, Cpu, Hook, Misuse, Policy, PolicyInUse};
use mmu_check::What;
use mmu_check::event::Contract;

use crate::arch::barrier;
use crate::event::{self, Kind};
use crate::planted::{self, Bug};
use crate::{check, println, replay, task};

/// Warnings are no news: see [`expect_warnings`].
static EXPECTED: AtomicBool = AtomicBool::new(false);

/// How many there were.
static WARNINGS: AtomicU64 = AtomicU64::new(0);

/// How many warnings there were since the start.
pub fn warnings() -> u64 {
    WARNINGS.load(Relaxed)
}

/// Leaves warnings unsaid, while what is done must lead to them.
pub fn expect_warnings(on: bool) {
    EXPECTED.store(on, Relaxed);
}

/// This processor, as the mode sees it.
pub struct ThisCpu;

impl Cpu for ThisCpu {
    #[unsafe(link_section = ".text.forced.calls")]
    #[inline(never)]
    fn publish(&self) {
        if planted::is(Bug::InnerExitPaysNothing) && in_lazy_mmu_mode() {
            return;
        }
        barrier::publish();
        if planted::is(Bug::FlagStays) && in_lazy_mmu_mode() {
            task::current().mmu.owe(self);
        }
    }

    fn misuse(&self, misuse: Misuse) {
        assert!(!misuse.is_bug(), "lazy MMU: {misuse}");
        WARNINGS.fetch_add(1, Relaxed);
        if !EXPECTED.load(Relaxed) {
            println!("lazy MMU: warning: {misuse}");
        }
    }

    fn hook(&self, hook: Hook) {
        let number: u8 = match hook {
            Hook::Enter => 0,
            Hook::Leave => 1,
            Hook::Flush => 2,
        };
        event::record(Kind::Hook, number.into(), 0, 0);
        let wrong = u8::from(planted::is(Bug::HookWrong));
        task::current()
            .last_hook
            .store(1 + (number ^ wrong), Relaxed);
    }
}

/// Opens a section: the stores of this task may owe their barrier until it ends.
pub fn lazy_mmu_mode_enable() {
    call(Call::Enable);
}

/// Ends a section. Everything stored before is published when it returns, however deep; the outer
/// section goes on deferring.
pub fn lazy_mmu_mode_disable() {
    call(Call::Disable);
}

/// Leaves the mode at any depth, until [`lazy_mmu_mode_resume`].
pub fn lazy_mmu_mode_pause() {
    call(Call::Pause);
}

/// Enters the mode again at the depth it was left.
pub fn lazy_mmu_mode_resume() {
    call(Call::Resume);
}

/// Whether this task defers barriers now.
pub fn in_lazy_mmu_mode() -> bool {
    task::current().mmu.in_lazy_mmu_mode()
}

// In a section of its own with all that is compiled from `lazy-mmu`: the points of the forced
// schedules (linker.ld).
#[unsafe(link_section = ".text.forced.calls")]
#[inline(never)]
fn call(call: Call) {
    event::record(Kind::Call, call as u64, 0, 0);
    replay::record(replay::Step::Call(call));
    let task = task::current();
    // The task's own figures: a handler's sections are not its.
    let own = !task.mmu.in_interrupt();
    if own && call == Call::Enable {
        task.stats.opened();
    }
    task.mmu.call(call, &ThisCpu);
    check::tell(What::Call(match call {
        Call::Enable => mmu_check::event::Call::Enable,
        Call::Disable => mmu_check::event::Call::Disable,
        Call::Pause => mmu_check::event::Call::Pause,
        Call::Resume => mmu_check::event::Call::Resume,
    }));
    if own && call == Call::Disable {
        task.stats.closed();
    }
}

/// Changes the policy of the current task.
///
/// # Errors
/// As [`lazy_mmu::TaskMmu::set_policy`]: while a section is open, or something is owed.
pub fn set_policy(policy: Policy) -> Result<(), PolicyInUse> {
    task::current().mmu.set_policy(policy)?;
    tell_contract();
    Ok(())
}

/// Tells the rules which contract the current task follows.
pub(crate) fn tell_contract() {
    check::tell(What::Contract(match task::current().mmu.policy() {
        Policy::Reenter => Contract::OutermostExit,
        _ => Contract::EveryExit,
    }));
}

/// Runs `work` in a section. The section ends when `work` returns, by whatever path.
///
/// The same as the mode's own [`lazy_mmu::TaskMmu::section`], and recorded.
pub fn section<R>(work: impl FnOnce() -> R) -> R {
    lazy_mmu_mode_enable();
    let result = work();
    lazy_mmu_mode_disable();
    result
}

/// Runs `work`, which opens sections of its own beneath whatever section its caller may be in.
///
/// The debug page allocator's entry. Under every policy but `reenter` this just runs `work`; that
/// one leaves the mode before and enters it again after.
pub fn reenter<R>(work: impl FnOnce() -> R) -> R {
    replay::record(replay::Step::ReenterBegin);
    let result = task::current().mmu.reenter(&ThisCpu, work);
    replay::record(replay::Step::ReenterEnd);
    result
}

/// A store of a valid descriptor was made by this task, and owes its pair.
#[inline]
pub fn owe() {
    event::record(Kind::Owe, 0, 0, 0);
    replay::record(replay::Step::Owe);
    if !planted::is(Bug::OweLost) {
        task::current().mmu.owe(&ThisCpu);
    }
}
