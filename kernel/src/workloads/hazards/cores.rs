//! Other cores: H7, H14.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use stage1_paging::Prot;

use super::place::Place;
use super::scene::Scene;
use super::steps::step;
use crate::arch::{probe, registers, time};
use crate::sched;
use crate::workloads::{Failure, failure};
use crate::{mode, println, task};

/// How long a task on another core is waited for, in microseconds.
const PATIENCE: u64 = 20_000_000;

/// How far H7 is: the task on the other core has begun, the one that comes to this has, this one goes on.
static STEP: AtomicUsize = AtomicUsize::new(0);

fn reached(least: usize) -> bool {
    time::wait_until(PATIENCE, || STEP.load(SeqCst) >= least)
}

/// H7.
pub(super) fn migrates_in_a_section(scene: &mut Scene) -> Result<(), Failure> {
    let (policy, mmu) = (scene.policy, &task::current().mmu);
    let place = Place::new(2)?;
    STEP.store(0, SeqCst);
    let lost = |error| failure!("no task: {error}");
    let there = sched::spawn(policy, || {
        STEP.store(1, SeqCst);
        let taken = reached(2);
        sched::yield_now();
        taken
    });
    let there = there.map_err(lost)?;
    // It keeps this core, so that only the other is free.
    let here = sched::spawn_held(policy, || {
        STEP.store(2, SeqCst);
        reached(3)
    });
    let here = here.map_err(lost)?;
    let begun = reached(1);
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
    let in_order = [here, there].map(|task| task.join().value);
    let [before, after] = states?;
    place.unmap()?;
    place.give_back();
    if before != after || !before.pending || !begun || in_order != [true; 2] {
        return Err(failure!(
            "{before} before the switch, {after} behind it; {in_order:?}"
        ));
    }
    scene.must_see(
        "the mode's state",
        moved,
        "the debt has gone along to another core",
    )
}

/// Maps and unmaps page 0 until it is told to stop.
fn publish_and_withdraw(place: Place, stop: &AtomicBool) -> Result<Place, Failure> {
    let frame = place.frame(0).frame();
    let mut round = 0_u32;
    while !stop.load(SeqCst) {
        // A different moment each time.
        (0..round % 64 * 4).for_each(|_| registers::yield_now());
        place.range().map_page(place.va(0), frame, Prot::RW)?;
        (0..200).for_each(|_| registers::yield_now());
        let mut gather = place.range().gather(());
        place.range().unmap(place.page(0), &mut gather)?;
        let _ = gather.finish();
        round = round.wrapping_add(1);
    }
    Ok(place)
}

/// H14.
pub(super) fn spurious_fault(scene: &mut Scene) -> Result<(), Failure> {
    let place = Place::new(2)?;
    let (page, never) = (place.va(0), place.va(1));
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let writer = sched::spawn(scene.policy, move || publish_and_withdraw(place, &flag));
    let writer = writer.map_err(|error| failure!("no task: {error}"))?;
    let spurious = &task::current().stats.spurious;
    let before = spurious.get();
    let (mut reads, mut faults) = (0_u64, 0_u64);
    // Not reported: these loads rely on nothing, as the page may not be there yet.
    let met = time::wait_until(PATIENCE, || {
        match probe::read_u64(page) {
            Ok(_) => reads += 1,
            Err(_) => faults += 1,
        }
        spurious.get() > before && reads > 0 && faults > 0
    });
    let over = spurious.get() - before;
    let real = (0..100).filter(|_| probe::read_u64(never).is_err()).count();
    let retried = spurious.get() - before - over;
    stop.store(true, SeqCst);
    writer.join().value?.give_back();
    println!("  {reads} loads of a page that another core maps and unmaps, {faults} real faults");
    if real != 100 || retried != 0 {
        return Err(failure!(
            "of 100 real faults {real} were taken and {retried} retried"
        ));
    }
    let what = alloc::format!(
        "{over} faults were over when AT S1E1R looked, and were retried; 100 real ones were not"
    );
    scene.must_see("the fault handler", met && over > 0, &what)
}
