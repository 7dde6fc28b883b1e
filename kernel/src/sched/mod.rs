//! The scheduler: one shared run queue, and every core takes the next task from it.
//!
//! No priorities and no queues per core: tasks migrate all the time, which is what the mode has to
//! survive. A task leaves its core by [`yield_now`], [`sleep`], [`Join::join`] and its end, or
//! because an interrupt demands it (`preempt`), at any instruction where interrupts are not
//! masked, inside a lazy-MMU section as anywhere else.
//!
//! How a task changes hands without being run twice: it is put into the queue not by itself but by
//! the task that the core goes on with (`arrive`), when its registers lie in its context and the
//! core is off its stack. All of that happens with interrupts masked.
//!
//! | file | what |
//! |---|---|
//! | `queue.rs` | states and the queue |
//! | `spawn.rs` | create, end, join |
//! | `switch.rs` | from one task to another, and the barriers of that |

mod queue;
mod spawn;
mod switch;

pub use spawn::{Ended, Join, SpawnError, spawn, spawn_held};

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use stage1_hw::{Instructions, Op, Why};

use crate::arch::{registers, time};
use crate::base::Lock;
use crate::machine::gic::{self, RESCHEDULE};
use crate::observe::seam::HW;
use crate::task::{self, Task};
use queue::{Queue, Until};

static QUEUE: Lock<Queue> = Lock::new(Queue::new());

/// How long a task may run before the timer demands the next one, in counts of the timer on
/// average; 0 for ever.
static SLICE: AtomicU64 = AtomicU64::new(0);

/// Lets the timer preempt every task after `micros` microseconds, more or less; with 0 never.
///
/// On this core at once, on others from the next task on that they run.
pub fn set_slice(micros: u64) {
    SLICE.store(time::from_micros(micros), Relaxed);
    arm(QUEUE.lock().next_wake());
}

/// Lets another task run, if one is ready. A section that is open stays open.
pub fn yield_now() {
    registers::without_interrupts(|| leave(Until::Ready));
}

/// Lets others run for at least so long. Not inside a section whose contract forbids it: `mode::may_sleep`.
pub fn sleep(micros: u64) {
    crate::mode::may_sleep();
    let until = time::now() + time::from_micros(micros);
    registers::without_interrupts(|| leave(Until::Time(until)));
}

/// From an interrupt that demands another task, with interrupts masked and after the mode's
/// `irq_exit`: lets the next task run. Returns when the interrupted one is to go on; says whether
/// another ran.
///
/// # Panics
/// Where interrupts are not masked, as all that leads to a switch.
pub(crate) fn preempt() -> bool {
    let task = task::current();
    // The idle loop looks for itself.
    if task.is_idle() {
        return false;
    }
    let switches = task.stats.switches.get();
    let inside = task.stats.inside();
    leave(Until::Ready);
    let left = task.stats.switches.get() != switches;
    if left {
        task.stats.preemptions.add(1);
        task.stats.preemptions_inside.add(inside.into());
    }
    left
}

/// Leaves this core until `until`; interrupts are masked, which is checked. Returns at once if the task is ready and
/// no other is.
#[unsafe(link_section = ".text.forced.switch")]
#[inline(never)]
fn leave(until: Until) {
    // Between here and the other side an interrupt would switch as well, away from a half-done switch.
    assert!(
        registers::interrupts_masked(),
        "a task leaves its core with interrupts on"
    );
    let (me, core) = (task::current(), task::core());
    let mut queue = QUEUE.lock();
    if until == Until::Ready && !queue.any_ready() {
        return arm(queue.next_wake());
    }
    queue.leaving(me.id, until);
    let next = queue.pop().map_or(core.idle_task(), task::by_id);
    drop(queue);
    switch_to(me.task(), next);
}

/// From the current task to `next`. Interrupts are masked; returns when somebody goes on with `me`.
#[unsafe(link_section = ".text.forced.switch")]
#[inline(never)]
fn switch_to(me: &'static Task, next: &'static Task) {
    let (inside, here) = (me.stats.inside(), task::core().index);
    me.stats.switches.add(1);
    me.stats.carried.add(me.mmu.is_pending().into());
    // SAFETY: 1. Interrupts are masked by all callers.
    // 2. `next` came from the queue, or is this core's idle task, which only this core runs.
    // 3. `me` is queued by `arrive`, on the other side.
    let left = unsafe { switch::switch(me, next) };
    arrive(left);
    // This core, which may be another by now.
    if task::core().index != here {
        me.stats.migrations.add(1);
        me.stats.migrations_inside.add(inside.into());
    }
}

/// The first thing on the other side of a switch: `left` is off this core, and may run elsewhere.
#[unsafe(link_section = ".text.forced.switch")]
#[inline(never)]
fn arrive(left: &'static Task) {
    let mut queue = QUEUE.lock();
    if !left.is_idle() {
        queue.left(left.id);
        send(queue.cores_to_wake());
    }
    arm(queue.next_wake());
}

/// Sends these cores an interrupt, if there are any, to look into the queue again. Under the queue's lock,
/// so interrupts are masked.
///
/// No barrier before it: what they are to see is behind that lock, which they take before they look.
fn send(cores: u8) {
    if cores != 0 {
        task::core().sent.add(1);
        gic::send(HW, RESCHEDULE, cores);
    }
}

/// Sets this core's timer: for the end of its task's slice, or for the next sleeper, who must not
/// have to wait until some core is idle. Interrupts are masked.
fn arm(next_wake: Option<u64>) {
    let slice = SLICE.load(Relaxed);
    let end = (slice != 0 && !task::current().is_idle()).then(|| {
        let now = time::now();
        // Half a slice to one and a half: the low bits of the counter keep the cores, and the points
        // at which tasks are stopped, from falling into step.
        now + slice / 2 + now.wrapping_mul(0x9E37_79B9) % slice
    });
    match end.into_iter().chain(next_wake).min() {
        Some(when) => time::interrupt_at(when),
        None => time::stop(),
    }
}

/// From the timer's interrupt: wakes those whose time has come.
///
/// # Panics
/// Where interrupts are not masked: the core must stay this one.
pub(crate) fn tick() {
    assert!(
        registers::interrupts_masked(),
        "an interrupt's work is done with interrupts on"
    );
    let mut queue = QUEUE.lock();
    queue.wake_sleepers(time::now());
    send(queue.cores_to_wake());
}

/// What a core does when there is nothing to do: the end of its start, on its own stack.
///
/// Interrupts are masked while it looks and while it goes to sleep, so that one that comes in
/// between is still pending, and ends the sleep. It is taken by the ISB at the latest ([`Why::Idle`]).
/// Before that the core is not at rest any more: who waits for that sees no barrier of its handler.
pub(crate) fn idle() -> ! {
    loop {
        registers::mask_interrupts();
        let (me, core) = (task::current(), task::core());
        let mut queue = QUEUE.lock();
        queue.wake_sleepers(time::now());
        if let Some(id) = queue.next_or_idle(core.index) {
            drop(queue);
            switch_to(me.task(), task::by_id(id));
            continue;
        }
        // Under the lock: who sees this core at rest knows that its timer is stopped.
        arm(queue.next_wake());
        drop(queue);
        registers::wait_for_interrupt();
        QUEUE.lock().awake(core.index);
        core.woken.add(1);
        registers::unmask_interrupts();
        HW.execute(Op::Isb, Why::Idle);
    }
}

/// Where the first core's idle task begins: the core boots in another.
pub(crate) extern "C" fn begin_idle(left: &'static Task) -> ! {
    arrive(left);
    idle()
}

/// Waits, at most ten seconds, until no other core has anything to do or can get it, not even an
/// interrupt of its timer. Says whether it is so.
pub fn quiesce() -> bool {
    let others = task::others_online();
    time::wait_until(10_000_000, || {
        let mut queue = QUEUE.lock();
        send(queue.cores_to_rest());
        !queue.any_ready() && queue.at_rest() & others == others
    })
}
