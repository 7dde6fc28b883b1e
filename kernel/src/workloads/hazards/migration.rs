//! A task that goes on on another core: H7.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use lazy_mmu::Policy;

use super::place::Place;
use super::scene::Scene;
use super::steps::step;
use crate::arch::time;
use crate::sched::{self, Join};
use crate::workloads::{Failure, failure};
use crate::{mode, task};

/// How long a task on another core is waited for, in microseconds.
const PATIENCE: u64 = 20_000_000;

/// How far H7 is: all other cores are busy, a task has come to this one, this one goes on.
static STEP: AtomicUsize = AtomicUsize::new(0);
/// How many other cores are busy.
static BUSY: AtomicUsize = AtomicUsize::new(0);

fn reached(least: usize) -> bool {
    time::wait_until(PATIENCE, || STEP.load(SeqCst) >= least)
}

/// Tasks that keep every core but this one busy; the first lets another task run there as soon as this core is taken.
fn keep_others_busy(policy: Policy) -> Result<Vec<Join<bool>>, Failure> {
    STEP.store(0, SeqCst);
    BUSY.store(0, SeqCst);
    let others = task::online_count() - 1;
    let mut busy = Vec::new();
    for number in 0..others {
        let one = sched::spawn(policy, move || {
            BUSY.fetch_add(1, SeqCst);
            let taken = reached(2);
            if number == 0 {
                sched::yield_now();
            }
            taken && reached(3)
        });
        busy.push(one.map_err(|error| failure!("no task: {error}"))?);
    }
    if time::wait_until(PATIENCE, || BUSY.load(SeqCst) == others) {
        return Ok(busy);
    }
    Err(failure!("no other core runs a task that is ready"))
}

/// H7.
pub(super) fn migrates_in_a_section(scene: &mut Scene) -> Result<(), Failure> {
    let mmu = &task::current().mmu;
    let place = Place::new(2)?;
    let mut others = keep_others_busy(scene.policy)?;
    // It keeps this core, so that only another is free.
    let here = sched::spawn_held(scene.policy, || {
        STEP.store(2, SeqCst);
        reached(3)
    });
    let here = here.map_err(|error| failure!("no task: {error}"))?;
    let core = task::core().index;
    let states = scene.right("a task goes on on another core, inside a section", |_| {
        step("lazy_mmu_mode_enable()", mode::lazy_mmu_mode_enable);
        step("map page 0: deferred", || place.map(0))?;
        let before = mmu.state();
        here.start();
        step("yield, and go on on another core", sched::yield_now);
        let after = mmu.state();
        step("map page 1: deferred", || place.map(1))?;
        step(
            "lazy_mmu_mode_disable(): pays for both, here",
            mode::lazy_mmu_mode_disable,
        );
        step("use page 0", || place.read(0))?;
        step("use page 1", || place.read(1))?;
        Ok([before, after])
    });
    let moved = task::core().index != core;
    STEP.store(3, SeqCst);
    others.push(here);
    let in_order = others.into_iter().all(|task| task.join().value);
    let [before, after] = states?;
    place.unmap()?;
    place.give_back();
    if before != after || !before.pending || !in_order {
        return Err(failure!(
            "{before} before the switch, {after} behind it; the tasks came in order: {in_order}"
        ));
    }
    scene.must_see(
        "the mode's state",
        moved,
        "the debt has gone along to another core",
    )
}
