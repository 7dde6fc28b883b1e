//! `forced`: a preemption at every instruction of the four calls, of the flush and of the switch.
//!
//! A task plays the [scenario](super::scenario) once for each address, with a hardware breakpoint
//! there. At an instruction where interrupts are on, the breakpoint's handler does what an interrupt
//! there would do: it works on page tables on top of the task (in the second of two runs), and lets
//! another task run. In the switch, where they are masked, it lets the other cores go on for a
//! while: what is in the queue must be fit to be run. Afterwards the trace must be that of a run
//! that nobody disturbed.
//!
//! The helpers, one more than there are cores, play the same scenario on pages of their own and
//! yield: there is always somebody to switch to, and the task goes on wherever it is taken first.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use lazy_mmu::Policy;

use super::scenario::{Stage, Trace};
use super::{Failure, Row, Run, Size, failure, handler, preempt};
use crate::arch::{debug, registers, time};
use crate::sched::{self, Join};
use crate::task::{self, Figures};
use crate::traps::TrapFrame;
use crate::{cores, mode, println};

/// The address that is being visited; 0 for none.
static POINT: AtomicU64 = AtomicU64::new(0);
/// How often it was reached, and how often a task was preempted there.
static REACHED: AtomicU64 = AtomicU64::new(0);
static PREEMPTED: AtomicU64 = AtomicU64::new(0);
/// The handler works on page tables before it lets another task run.
static WORKS: AtomicBool = AtomicBool::new(false);

/// How long the other cores are given at a point of the switch, in microseconds.
const WHILE: u64 = 50;

/// A stretch of the image, between two symbols of the linker script.
struct Part {
    name: &'static str,
    points: Vec<u64>,
}

fn parts() -> [Part; 2] {
    unsafe extern "C" {
        static __forced_calls_start: u8;
        static __forced_calls_end: u8;
        static __forced_switch_start: u8;
        static __forced_switch_end: u8;
    }
    let points = |start: *const u8, end: *const u8| (start as u64..end as u64).step_by(4).collect();
    [
        Part {
            name: "the four calls and the flush",
            points: points(
                &raw const __forced_calls_start,
                &raw const __forced_calls_end,
            ),
        },
        Part {
            name: "the switch",
            points: points(
                &raw const __forced_switch_start,
                &raw const __forced_switch_end,
            ),
        },
    ]
}

/// A breakpoint, from the trap handler: `frame` is the task's that stopped, on this core.
pub(crate) fn stopped(frame: &TrapFrame) {
    const I: u64 = 1 << 7;
    debug::clear();
    if POINT.load(Relaxed) != frame.elr {
        // Set for an earlier point, on a core that the task left before it came by.
        return;
    }
    REACHED.fetch_add(1, Relaxed);
    if frame.spsr & I != 0 {
        let switches = || {
            task::all()
                .map(|task| task.stats.switches.get())
                .sum::<u64>()
        };
        let enough = switches() + 2 * cores::count() as u64;
        if cores::count() > 1 {
            time::wait_until(WHILE, || switches() >= enough);
        }
        return;
    }
    let task = task::current();
    if WORKS.load(Relaxed) {
        task.mmu.irq_enter();
        handler::work();
        task.mmu.irq_exit();
    }
    PREEMPTED.fetch_add(sched::preempt().into(), Relaxed);
}

/// Visits every point, under one policy.
pub(super) fn run(policy: Policy, size: Size) -> Result<Row, Failure> {
    handler::prepare()?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut helpers = Vec::new();
    for number in 0..=cores::count() {
        let stop = Arc::clone(&stop);
        let helper = sched::spawn(policy, move || help(policy, number as u64, &stop));
        helpers.push(helper.map_err(|error| failure!("helper {number}: {error}"))?);
    }
    mode::expect_warnings(policy == Policy::Seed);
    let visitor = sched::spawn(policy, move || visit_all(policy));
    let visited = visitor
        .map(Join::join)
        .map_err(|error| failure!("the visitor: {error}"));
    stop.store(true, Relaxed);
    let helped: Vec<_> = helpers.into_iter().map(Join::join).collect();
    mode::expect_warnings(false);
    let visited = visited?;
    visited.value?;
    for helper in helped {
        helper.value?;
    }
    let Figures {
        preemptions_inside,
        migrations_inside,
        carried,
        deepest,
        ..
    } = visited.figures;
    println!(
        "forced under {policy}: {preemptions_inside} preemptions and {migrations_inside} migrations inside sections, \
         {carried} times with a debt; {} pages mapped, used and unmapped on top of it",
        handler::done()?.pages
    );
    if preemptions_inside == 0 || migrations_inside == 0 && cores::count() > 1 {
        return Err(failure!(
            "no preemption or no migration inside a section: nothing is shown"
        ));
    }
    Ok(Row::of_machine(
        Run::Forced,
        policy,
        size,
        visited.tally,
        deepest as u32,
    ))
}

/// Plays the scenario on pages of its own until it is told to stop: other tasks' calls must not touch
/// its state either.
fn help(policy: Policy, number: u64, stop: &AtomicBool) -> Result<(), Failure> {
    let stage = Stage::new()?;
    let first = stage.play(number, true)?;
    while !stop.load(Relaxed) {
        let trace = stage.play(number, true)?;
        preempt::compare(policy, &trace, &first)?;
        sched::yield_now();
    }
    stage.leave();
    Ok(())
}

fn visit_all(policy: Policy) -> Result<(), Failure> {
    let stage = Stage::new()?;
    let undisturbed = stage.play(0, true)?;
    for part in parts() {
        let mut reached = 0;
        let preempted = PREEMPTED.load(Relaxed);
        for &point in &part.points {
            if visit(&stage, policy, point, false, &undisturbed)? {
                reached += 1;
                visit(&stage, policy, point, true, &undisturbed)?;
            }
        }
        println!(
            "forced under {policy}: {}: {reached} of {} instructions are on the way, each visited twice, {} preemptions there",
            part.name,
            part.points.len(),
            PREEMPTED.load(Relaxed) - preempted,
        );
        if reached == 0 {
            return Err(failure!("no instruction of {} was reached", part.name));
        }
    }
    stage.leave();
    Ok(())
}

/// Plays the scenario with a breakpoint at `point`. Says whether it was reached.
fn visit(
    stage: &Stage,
    policy: Policy,
    point: u64,
    works: bool,
    undisturbed: &Trace,
) -> Result<bool, Failure> {
    let before = REACHED.load(Relaxed);
    WORKS.store(works, Relaxed);
    POINT.store(point, Relaxed);
    // The core that the task is on now is the one that stops: not another in between.
    let mask = registers::mask_interrupts();
    debug::enable();
    debug::stop_at(point);
    registers::restore_interrupts(mask);
    let trace = stage.play(point, true)?;
    POINT.store(0, Relaxed);
    preempt::compare(policy, &trace, undisturbed)
        .map_err(|failure| failure!("preempted at {point:#x}: {failure}"))?;
    Ok(REACHED.load(Relaxed) != before)
}
