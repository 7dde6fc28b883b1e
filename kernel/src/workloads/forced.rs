//! `forced`: a preemption at every instruction of the four calls, of the flush and of the switch.
//!
//! A task plays the [scenario](super::scenario) once for each address, with a hardware breakpoint
//! there. At an instruction where interrupts are on, the breakpoint's handler does what an interrupt
//! there would do: it works on page tables on top of the task (in the second of two runs), and lets
//! another task run. In the switch, where they are masked, it lets the other cores go on for a
//! while: what is in the queue must be fit to be run. Afterwards the trace must be that of a run
//! that nobody disturbed.
//!
//! The helpers, more than there are cores, play the same scenario on pages of their own and
//! yield: there is always somebody to switch to, and the task goes on wherever it is taken first.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use lazy_mmu::Policy;
use mmu_check::What;

use super::measure::check_barriers;
use super::measure::of_machine;
use super::scenario::{Stage, Trace};
use super::{Failure, failure, handler, preempt, progress};
use crate::arch::{TrapFrame, debug, registers, time};
use crate::observe::{self, seam::HW};
use crate::report::{Row, Run, Size};
use crate::sched::{self, Join};
use crate::task::{self, Figures};
use crate::traps;
use crate::{mode, println};

/// The address that is being visited; 0 for none.
static POINT: AtomicU64 = AtomicU64::new(0);
/// How often it was reached, and how often a task was preempted there.
static REACHED: AtomicU64 = AtomicU64::new(0);
static PREEMPTED: AtomicU64 = AtomicU64::new(0);
/// The handler works on page tables before it lets another task run.
static WORKS: AtomicBool = AtomicBool::new(false);

/// How long the other cores are given at a point of the switch, in microseconds.
const WHILE: u64 = 50;

/// How long another task is waited for, in microseconds.
const AWAITED: u64 = 100_000;
/// How often is looked meanwhile: with a clock that counts instructions the time alone would be long, for each of the points.
const LOOKS: u64 = 100_000;

/// The fewest instructions of a part that a run comes by; under `eager`, which does least, there are twice as many.
const FEWEST: u64 = 60;

/// The points reached so far, under whatever policy, a bit each.
static VISITED: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];

/// A stretch of the image, between two symbols of the linker script.
struct Part {
    name: &'static str,
    points: Vec<u64>,
    /// The scenario yields on its way. Not where the mode is visited: the task would go on elsewhere,
    /// and its breakpoint would stop somebody else.
    yields: bool,
}

unsafe extern "C" {
    static __forced_calls_start: u8;
    static __forced_calls_end: u8;
    static __forced_switch_start: u8;
    static __forced_switch_end: u8;
}

fn parts() -> [Part; 2] {
    let points = |start: *const u8, end: *const u8| (start as u64..end as u64).step_by(4).collect();
    [
        Part {
            name: "the four calls and the flush",
            points: points(
                &raw const __forced_calls_start,
                &raw const __forced_calls_end,
            ),
            yields: false,
        },
        Part {
            name: "the switch",
            points: points(
                &raw const __forced_switch_start,
                &raw const __forced_switch_end,
            ),
            yields: true,
        },
    ]
}

/// A breakpoint, in its handler: `frame` is the task's that stopped, on this core.
fn stopped(frame: &mut TrapFrame) {
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
        let enough = switches() + 2 * task::online_count() as u64;
        if task::online_count() > 1 {
            time::wait_until(WHILE, || switches() >= enough);
        }
        return;
    }
    let task = task::current();
    if WORKS.load(Relaxed) {
        task.mmu.irq_enter();
        observe::report(|| What::IrqEnter);
        handler::work();
        observe::report(|| What::IrqExit);
        task.mmu.irq_exit();
    }
    // Now and then all other tasks are on other cores; one of them yields soon.
    let mut looks = 0;
    let mut preempted = false;
    time::wait_until(AWAITED, || {
        looks += 1;
        preempted = sched::preempt();
        preempted || looks == LOOKS
    });
    PREEMPTED.fetch_add(preempted.into(), Relaxed);
}

/// Helpers: more than there are cores, so that a task that is stopped is preempted, and goes on elsewhere, for sure.
fn helper_count() -> usize {
    2 * task::online_count() + 1
}

/// Tasks beside the one that boots, which waits for their end: the helpers, and the one that visits.
pub(super) fn tasks() -> usize {
    helper_count() + 1
}

/// Visits every point, under one policy.
pub(super) fn run(policy: Policy, size: Size) -> Result<Row, Failure> {
    traps::set_breakpoint_work(stopped);
    handler::prepare()?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut helpers = Vec::new();
    for number in 0..helper_count() {
        let stop = Arc::clone(&stop);
        let helper = sched::spawn(policy, move || help(policy, number as u64, &stop));
        helpers.push(helper.map_err(|error| failure!("helper {number}: {error}"))?);
    }
    mode::expect_warnings(policy == Policy::V3);
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
    let handler::Done { pages, in_enable } = handler::done()?;
    println!(
        "forced under {policy}: {preemptions_inside} preemptions and {migrations_inside} migrations inside sections, \
         {carried} times with a debt; {pages} pages mapped, used and unmapped on top of it, {in_enable} of them inside the first `enable`"
    );
    if policy == Policy::V3 && in_enable == 0 {
        return Err(failure!(
            "no handler worked inside the first `enable`: its window was not met"
        ));
    }
    if preemptions_inside == 0 || migrations_inside == 0 && task::online_count() > 1 {
        return Err(failure!(
            "no preemption or no migration inside a section: nothing is shown"
        ));
    }
    check_barriers("the task that visits", visited.tally)?;
    Ok(of_machine(
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
        for (number, &point) in part.points.iter().enumerate() {
            progress::say(format_args!(
                "{}, instruction {number} of {}",
                part.name,
                part.points.len()
            ));
            let visit = |works| visit(&stage, policy, point, works, part.yields, &undisturbed);
            if !visit(false)? {
                continue;
            }
            reached += 1;
            note(point);
            if !visit(true)? && !part.yields {
                return Err(failure!("{point:#x} was reached once and not again"));
            }
        }
        let preempted = PREEMPTED.load(Relaxed) - preempted;
        println!(
            "forced under {policy}: {}: {reached} of {} instructions are on the way, {} under some policy so far; {preempted} preemptions there",
            part.name,
            part.points.len(),
            visited(&part),
        );
        // Twice each, unless nobody was there to switch to for a while.
        if reached < FEWEST || !part.yields && preempted < reached {
            return Err(failure!(
                "too few instructions of {} were visited",
                part.name
            ));
        }
    }
    stage.leave();
    Ok(())
}

/// Where `point` has its bit.
fn bit(point: u64) -> (&'static AtomicU64, u64) {
    let first = &raw const __forced_calls_start as u64;
    let number = (point - first) / 4;
    (
        &VISITED[(number / 64) as usize % VISITED.len()],
        1 << (number % 64),
    )
}

fn note(point: u64) {
    let (word, bit) = bit(point);
    word.fetch_or(bit, Relaxed);
}

fn visited(part: &Part) -> usize {
    let points = part.points.iter();
    points
        .filter(|&&point| {
            let (word, bit) = bit(point);
            word.load(Relaxed) & bit != 0
        })
        .count()
}

/// Plays the scenario with a breakpoint at `point`. Says whether it was reached.
fn visit(
    stage: &Stage,
    policy: Policy,
    point: u64,
    works: bool,
    yields: bool,
    undisturbed: &Trace,
) -> Result<bool, Failure> {
    let before = REACHED.load(Relaxed);
    WORKS.store(works, Relaxed);
    POINT.store(point, Relaxed);
    // The core that the task is on now is the one that stops: not another in between.
    let mask = registers::mask_interrupts();
    debug::enable(HW);
    debug::stop_at(HW, point);
    registers::restore_interrupts(mask);
    let trace = stage.play(point, yields)?;
    POINT.store(0, Relaxed);
    preempt::compare(policy, &trace, undisturbed)
        .map_err(|failure| failure!("preempted at {point:#x}: {failure}"))?;
    Ok(REACHED.load(Relaxed) != before)
}
