//! The allocator's section inside a zap's: H1.

use core::sync::atomic::Ordering::Relaxed;

use lazy_mmu::Policy;

use super::place::Place;
use super::scene::Scene;
use super::steps::step;
use crate::mem::frames;
use crate::observe::access;
use crate::workloads::{Failure, failure};
use crate::{mode, task};

/// Allocates a frame and uses it at once, as the debug page allocator's caller may.
pub(super) fn allocate_and_use() -> Result<frames::Owned, Failure> {
    let frame = frames::alloc().ok_or_else(|| failure!("no frame left inside the section"))?;
    if task::current().mmu.is_pending() {
        return Err(failure!(
            "{:?} is used while its pair is pending",
            frame.frame()
        ));
    }
    access::fill(frame.frame());
    frame.words()[0].store(1, Relaxed);
    Ok(frame)
}

/// H1.
pub(super) fn allocator_reenters(scene: &mut Scene) -> Result<(), Failure> {
    let place = Place::new(4)?;
    scene.right("a zap allocates a page on the way", |_| zap(&place, true))?;
    let contract = scene.policy;
    mode::set_policy(Policy::Flat)?;
    scene.broken("the same under `flat`, Linux 6.16 to 6.19", &[], |scene| {
        let ends = zap(&place, false);
        scene.must_see(
            "the mode's state",
            ends.is_ok(),
            "the inner exit ended the outer section",
        )
    })?;
    mode::set_policy(contract)?;
    place.give_back();
    Ok(())
}

/// Maps two pages and unmaps two, with an allocation between, behind which the section must be lazy or not.
fn zap(place: &Place, stays_lazy: bool) -> Result<(), Failure> {
    let mmu = &task::current().mmu;
    for index in 0..2 {
        place.map(index)?;
        place.read(index)?;
    }
    let range = place.range();
    let mut gather = range.gather(());
    step("lazy_mmu_mode_enable()", mode::lazy_mmu_mode_enable);
    step("map page 2: deferred", || place.map(2))?;
    step("clear pages 0 and 1", || {
        range.unmap(place.pages().take(2), &mut gather)
    })?;
    let frame = step(
        "allocate a frame for the gather, and use it",
        allocate_and_use,
    )?;
    let lazy = mmu.in_lazy_mmu_mode();
    step("use page 2: the inner exit has paid for it too", || {
        place.read(2)
    })?;
    step("map page 3", || place.map(3))?;
    let deferred = mmu.is_pending();
    step("invalidate", || {
        let _ = gather.finish();
    });
    step("lazy_mmu_mode_disable()", mode::lazy_mmu_mode_disable);
    step("use page 3", || place.read(3))?;
    place.unmap()?;
    frames::free(frame);
    if [lazy, deferred] == [stays_lazy; 2] {
        return Ok(());
    }
    Err(failure!(
        "behind the inner exit the mode is on: {lazy}, and a store is deferred: {deferred}"
    ))
}
