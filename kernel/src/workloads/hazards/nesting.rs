//! Sections in sections: H1, H2, H3.

use core::sync::atomic::Ordering::Relaxed;

use lazy_mmu::{Call, Policy};
use mmu_check::Rule;

use super::place::Place;
use super::scene::Scene;
use super::steps::{step, step_of};
use super::wrong;
use crate::mem::frames;
use crate::observe::access;
use crate::observe::seam::HW;
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
    step("invalidate", || drop(gather.finish()));
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

/// H2.
pub(super) fn enable_while_paused(scene: &mut Scene) -> Result<(), Failure> {
    let warned = scene.right("a frame is allocated and freed inside a pause", |_| {
        let before = mode::warnings();
        let place = Place::new(1)?;
        step("lazy_mmu_mode_enable()", mode::lazy_mmu_mode_enable);
        step("map page 0: deferred", || place.map(0))?;
        step("lazy_mmu_mode_pause()", mode::lazy_mmu_mode_pause);
        step("use page 0: the pause has paid", || place.read(0))?;
        let frame = step("allocate a frame, and use it", allocate_and_use)?;
        step("free it: KASAN's shadow is freed so", || {
            frames::free(frame)
        });
        step("lazy_mmu_mode_resume()", mode::lazy_mmu_mode_resume);
        let state = task::current().mmu.state();
        step("lazy_mmu_mode_disable()", mode::lazy_mmu_mode_disable);
        place.unmap()?;
        place.give_back();
        if (state.count, state.enabled, state.pending) != (1, true, false) {
            return Err(failure!(
                "the section goes on behind its pause with {state}"
            ));
        }
        Ok(mode::warnings() - before)
    })?;
    // An enable and a disable for the allocation, and for the freeing.
    match (scene.policy, warned) {
        (Policy::V3, 4) => {
            scene.must_see("the contract", true, "4 warnings, and v3 must report it")
        }
        (Policy::Linux7, 0) => scene.must_see("the contract", true, "no warning: linux7 allows it"),
        (policy, warned) => Err(failure!("{warned} warnings under {policy}")),
    }
}

/// H3.
pub(super) fn inner_exit_pays_nothing(scene: &mut Scene) -> Result<(), Failure> {
    let place = Place::new(2)?;
    scene.broken_undisturbed(
        "the inner exit does nothing",
        &[Rule::Leftover, Rule::Publish],
        |_| {
            let wrong = wrong::mode(|inner| {
                if !inner {
                    stage1_hw::publish(HW);
                }
            });
            let state = || wrong.state();
            let make = |what: &str, call| step_of(state, what, || wrong.call(call));
            let map = |index| {
                place.map(index)?;
                wrong.owe();
                Ok::<_, Failure>(())
            };
            mode::section(|| {
                make("enable", Call::Enable);
                step_of(state, "map page 0", || map(0))?;
                make("enable, inner", Call::Enable);
                step_of(state, "map page 1", || map(1))?;
                make("disable, inner: must pay, and does not", Call::Disable);
                step_of(state, "use page 1: ahead of its barrier", || place.read(1))?;
                make("disable", Call::Disable);
                Ok::<_, Failure>(())
            })?;
            place.unmap()
        },
    )?;
    scene.right("the inner exit pays, and the outer section goes on", |_| {
        step("lazy_mmu_mode_enable()", mode::lazy_mmu_mode_enable);
        step("map page 0", || place.map(0))?;
        step("lazy_mmu_mode_enable(), inner", mode::lazy_mmu_mode_enable);
        step("map page 1", || place.map(1))?;
        step(
            "lazy_mmu_mode_disable(), inner",
            mode::lazy_mmu_mode_disable,
        );
        step("use page 1", || place.read(1))?;
        step("use page 0", || place.read(0))?;
        step("lazy_mmu_mode_disable()", mode::lazy_mmu_mode_disable);
        place.unmap()
    })?;
    place.give_back();
    Ok(())
}
