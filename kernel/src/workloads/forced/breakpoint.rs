//! One visit: a run of the scenario with a breakpoint, and what the breakpoint's handler does.
//!
//! Where interrupts are on, the handler does what an interrupt there would do. In the second of two visits it works on page tables on
//! top of the task. Then it lets another task run. In the switch, where interrupts are masked, it lets the other cores go on for a
//! while, so that they run whatever the switch has put into the queue.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use lazy_mmu::Policy;
use mmu_check::What;

use crate::arch::{TrapFrame, debug, registers, time};
use crate::observe::{self, seam::HW};
use crate::workloads::scenario::Scenario;
use crate::workloads::trace::{self, Trace};
use crate::workloads::{Failure, failure, handler};
use crate::{sched, task, traps};

/// The address that is being visited; 0 for none.
static POINT: AtomicU64 = AtomicU64::new(0);
/// How often a breakpoint was reached, and how often the handler then let another task run.
static REACHED: AtomicU64 = AtomicU64::new(0);
static PREEMPTED: AtomicU64 = AtomicU64::new(0);
/// Whether the handler works on page tables before it lets another task run.
static WORKS: AtomicBool = AtomicBool::new(false);

/// How often a point is visited at most, if a tick interrupts each visit.
const ATTEMPTS: u32 = 100;

/// How long the other cores are given at an instruction of the switch, in microseconds.
const OTHERS_RUN: u64 = 50;

/// How long the handler waits for another task to be ready, in microseconds.
const WAIT: u64 = 100_000;
/// How often it looks meanwhile, at most: by a clock that counts instructions, the time alone would be long.
const LOOKS: u64 = 100_000;

/// Hands this handler to the floor that takes the exception.
pub(super) fn prepare() {
    traps::set_breakpoint_work(stopped);
}

/// How often a task was preempted at a breakpoint so far.
pub(super) fn preempted() -> u64 {
    PREEMPTED.load(Relaxed)
}

/// The breakpoint's handler. `frame` is of the task that stopped on this core.
fn stopped(frame: &mut TrapFrame) {
    const I: u64 = 1 << 7;
    debug::clear();
    if POINT.load(Relaxed) != frame.elr {
        // The visitor left this core before it came to an earlier point, which was still set here.
        return;
    }
    REACHED.fetch_add(1, Relaxed);
    if frame.spsr & I != 0 {
        let_others_run();
        return;
    }
    if WORKS.load(Relaxed) {
        task::current().interrupted(|| {
            observe::report(|| What::IrqEnter);
            handler::work();
            observe::report(|| What::IrqExit);
        });
    }
    // At times all other tasks are on other cores; then one of them yields soon.
    let mut looks = 0;
    let mut preempted = false;
    time::wait_until(WAIT, || {
        looks += 1;
        preempted = sched::preempt();
        preempted || looks == LOOKS
    });
    PREEMPTED.fetch_add(preempted.into(), Relaxed);
}

/// Waits until there were two more switches for each core, or a short time has passed.
fn let_others_run() {
    let cores = task::online_count() as u64;
    let switches = || -> u64 { task::all().map(|task| task.stats.switches.get()).sum() };
    let last = switches() + 2 * cores;
    if cores > 1 {
        time::wait_until(OTHERS_RUN, || switches() >= last);
    }
}

/// The task that runs the scenario with breakpoints, and the trace of its first run without one.
pub(super) struct Visitor {
    policy: Policy,
    scenario: Scenario,
    undisturbed: Trace,
}

impl Visitor {
    pub(super) fn new(policy: Policy) -> Result<Self, Failure> {
        let scenario = Scenario::new()?;
        let undisturbed = scenario.run(0, true)?;
        Ok(Self {
            policy,
            scenario,
            undisturbed,
        })
    }

    /// Runs the scenario with a breakpoint at `point` and compares its trace. Returns whether the point was reached. With `works` the
    /// handler works on page tables; with `yields` the scenario yields.
    pub(super) fn visit(&self, point: u64, works: bool, yields: bool) -> Result<bool, Failure> {
        let preemptions = &task::current().stats.preemptions;
        for _ in 0..ATTEMPTS {
            let before = preemptions.get();
            let reached = self.attempt(point, works, yields)?;
            // A tick before the point takes the task away from the core that has the breakpoint.
            if reached || yields || preemptions.get() == before {
                return Ok(reached);
            }
        }
        Err(failure!(
            "of {ATTEMPTS} visits of {point:#x} a tick interrupted every one"
        ))
    }

    fn attempt(&self, point: u64, works: bool, yields: bool) -> Result<bool, Failure> {
        let before = REACHED.load(Relaxed);
        WORKS.store(works, Relaxed);
        POINT.store(point, Relaxed);
        // Both are this core's: the task must not move to another in between.
        registers::without_interrupts(|| {
            debug::enable(HW);
            debug::stop_at(HW, point);
        });
        let trace = self.scenario.run(point, yields)?;
        POINT.store(0, Relaxed);
        // One that was not reached is still set, on this core if the scenario does not yield: it would be an exception, and
        // so a synchronisation, in the middle of what is run next. An ISB follows soon, at the latest where frames are freed.
        debug::clear();
        trace::compare(self.policy, &trace, &self.undisturbed)
            .map_err(|failure| failure!("preempted at {point:#x}: {failure}"))?;
        Ok(REACHED.load(Relaxed) != before)
    }
}
