//! The faults that are no instruction, made through the kernel's public interface.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use lazy_mmu::{Call, Cpu, Hook, Policy};
use lazy_mmu_faults::{Fault, Moment, is};
use lazy_mmu_kernel::arch::registers;
use lazy_mmu_kernel::base::MAX_CORES;
use lazy_mmu_kernel::base::layout;
use lazy_mmu_kernel::mem::{self, frames};
use lazy_mmu_kernel::mode::{self, CPU};
use lazy_mmu_kernel::task;
use stage1_hw::{Op, Why};
use stage1_paging::{Frame, Pa};

use crate::{scenarios, sweep};

/// The core is in [`at`]: what it executes there is no moment of its own.
static INSIDE: [AtomicBool; MAX_CORES] = [const { AtomicBool::new(false) }; MAX_CORES];

/// What the mode does meanwhile on the core, nobody hears of, and nothing is paid: see [`silently`].
static SILENT: [AtomicBool; MAX_CORES] = [const { AtomicBool::new(false) }; MAX_CORES];

/// What the injector calls. With interrupts masked: the core stays this one.
pub fn at(moment: Moment) -> bool {
    registers::without_interrupts(|| {
        let core = usize::from(task::core().index);
        if INSIDE[core].swap(true, Relaxed) {
            return !SILENT[core].load(Relaxed);
        }
        let happens = act(moment, core);
        INSIDE[core].store(false, Relaxed);
        happens
    })
}

fn act(moment: Moment, core: usize) -> bool {
    match moment {
        Moment::Execute(Op::Isb, Why::Publish) => in_a_pair(),
        Moment::Execute(Op::Isb, Why::AfterTlbi) => scenarios::page_fault(),
        Moment::Alloc(site) => return sweep::allows(site),
        Moment::MapLinear(frame) => overwrite_the_one_before(frame),
        Moment::Execute(Op::Dsb(_), Why::Switch) if is(Fault::PreemptionsLost) => {
            task::current().stats.preemptions_inside.set(0);
        }
        Moment::Execute(Op::Dsb(_), Why::Switch) if is(Fault::SwitchHookOnCurrent) => {
            pause_another();
        }
        _ if is(Fault::SecondEnterIgnored) => return second_enter_ignored(moment, core),
        _ if is(Fault::OweLost) => return owe_lost(moment),
        _ if is(Fault::StatePerCore) => return state_per_core(moment, core),
        _ => {}
    }
    true
}

/// Between the two barriers: the flag of what they pay is cleared.
fn in_a_pair() {
    let mode = &task::current().mmu;
    if is(Fault::FlagStays) && mode.in_lazy_mmu_mode() {
        silently(|| mode.owe());
    }
    if is(Fault::OtherCalls) && mode.policy() == Policy::Flat {
        mode::section(|| {});
    }
    if is(Fault::FrameLost) {
        // Every time, so that some are lost while a workload accounts for its own.
        let _ = frames::alloc().map(frames::Owned::into_frame);
    }
}

/// Changes the mode's state alone: no pair is executed, and no hook or call is heard of. From within [`at`], so that the
/// core stays this one.
fn silently(change: impl FnOnce()) {
    let silent = &SILENT[usize::from(task::core().index)];
    silent.store(true, Relaxed);
    change();
    silent.store(false, Relaxed);
}

/// A hook of the switch that works on whoever is `current` by then: some task in a section is paused that does not run. On one
/// core.
fn pause_another() {
    let me = task::current().id;
    let mut others = task::all().filter(|task| task.id != me);
    if let Some(other) = others.find(|task| task.mmu.in_lazy_mmu_mode()) {
        silently(|| other.mmu.call(Call::Pause));
    }
}

/// Who has the mode on a core: the task's number and 1, or 0 for nobody.
static FIRST: [AtomicU64; MAX_CORES] = [const { AtomicU64::new(0) }; MAX_CORES];

/// Who enters while another has the core's mode on is ignored, and so is its exit. That this task's stores are deferred all
/// the same is the first one's doing.
fn second_enter_ignored(moment: Moment, core: usize) -> bool {
    let me = u64::from(task::current().id) + 1;
    let first = FIRST[core].load(Relaxed);
    match moment {
        Moment::Hook(Hook::Enter) if first == 0 => FIRST[core].store(me, Relaxed),
        // It pays behind the hook.
        Moment::Called(Call::Disable) if first == me && !task::current().mmu.in_lazy_mmu_mode() => {
            FIRST[core].store(0, Relaxed);
        }
        Moment::Pay => return first == 0 || first == me,
        _ => {}
    }
    true
}

/// Clears the pending flag of the current task. Says whether it was set.
///
/// A pause does it. Outside of the mode it is set only in the middle of a call, which is about to pay.
fn forget() -> bool {
    let mode = &task::current().mmu;
    let set = mode.is_pending() && mode.in_lazy_mmu_mode();
    if set {
        silently(|| {
            mode.call(Call::Pause);
            mode.call(Call::Resume);
        });
    }
    set
}

/// A debt is being reported to the kernel, and whether one was pending before.
static LOSING: AtomicBool = AtomicBool::new(false);
static PENDING: AtomicBool = AtomicBool::new(false);

/// The kernel hears of the debt, and the mode does not: neither the flag stays, nor is anything paid.
fn owe_lost(moment: Moment) -> bool {
    match moment {
        Moment::Owe => {
            PENDING.store(task::current().mmu.is_pending(), Relaxed);
            LOSING.store(true, Relaxed);
        }
        Moment::Owed => {
            LOSING.store(false, Relaxed);
            if !PENDING.load(Relaxed) {
                forget();
            }
        }
        _ => {}
    }
    !(moment == Moment::Pay && LOSING.load(Relaxed))
}

/// The mode is on, and something is pending: on the core, whoever runs there.
static ON: [AtomicBool; MAX_CORES] = [const { AtomicBool::new(false) }; MAX_CORES];
static OWED: [AtomicBool; MAX_CORES] = [const { AtomicBool::new(false) }; MAX_CORES];

/// A task that leaves its core leaves the mode on and the flag set for who comes next: that one defers
/// what it must pay at once. It pays for both when it flushes.
fn state_per_core(moment: Moment, core: usize) -> bool {
    let mode = &task::current().mmu;
    let (on, owed) = (&ON[core], &OWED[core]);
    if mode.in_interrupt() {
        return true;
    }
    match moment {
        Moment::Execute(Op::Dsb(_), Why::Switch) => {
            on.store(mode.in_lazy_mmu_mode(), Relaxed);
            if forget() {
                owed.store(true, Relaxed);
            }
        }
        Moment::Pay if on.load(Relaxed) && !mode.in_lazy_mmu_mode() => {
            owed.store(true, Relaxed);
            return false;
        }
        Moment::Hook(hook) => {
            on.store(hook != Hook::Leave, Relaxed);
            let pays = hook != Hook::Enter && owed.swap(false, Relaxed);
            if pays && !mode.is_pending() {
                CPU.publish();
            }
        }
        _ => {}
    }
    true
}

/// The frame that was mapped last in the linear map.
static LAST: AtomicU64 = AtomicU64::new(0);

/// Writes to the last word of the frame that was allocated before this one, while it still is: its
/// owner has written there, this one's has not yet.
fn overwrite_the_one_before(frame: Frame) {
    let last = Pa::new(LAST.swap(frame.pa().raw(), Relaxed)).map(layout::linear);
    let mapped = last.filter(|&va| {
        let walk = mem::walk(va);
        walk.is_some_and(|walk| walk.frame().is_some())
    });
    if let Some(va) = mapped {
        let word = (va.raw() + layout::PAGE_SIZE - 8) as *const AtomicU64;
        // SAFETY: 1. The walk says that the address is mapped, and it is aligned. 2. It is in the linear
        // map, of a frame of the allocator's: it holds no Rust object but a workload's atomics, or a
        // table whose last word is 0 already. That it is somebody else's is the fault.
        unsafe { &*word }.store(0, Relaxed);
    }
}
