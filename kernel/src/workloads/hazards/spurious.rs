//! A mapping that another core publishes: H14.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use stage1_paging::Prot;

use super::place::Place;
use super::scene::Scene;
use crate::arch::{probe, registers, time};
use crate::sched::{self};
use crate::workloads::{Failure, failure};
use crate::{println, task};

/// How long a task on another core is waited for, in microseconds.
const PATIENCE: u64 = 20_000_000;

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
