//! A stretch in which stores must count at once: H2, H15.

use lazy_mmu::Policy;
use mmu_check::Rule;

use super::nesting::allocate_and_use;
use super::place::Place;
use super::scene::Scene;
use super::steps::step;
use crate::mem::frames;
use crate::workloads::{Failure, failure};
use crate::{mode, task};

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

/// H15.
pub(super) fn immediate_store(scene: &mut Scene) -> Result<(), Failure> {
    let place = Place::new(3)?;
    let mmu = &task::current().mmu;
    scene.broken_undisturbed(
        "the callee's store is deferred with its caller's",
        &[Rule::Publish],
        |_| {
            step("lazy_mmu_mode_enable()", mode::lazy_mmu_mode_enable);
            step("map page 0: the caller's", || place.map(0))?;
            step("map page 1: the callee's", || place.map(1))?;
            step("use page 1: its next instruction", || place.read(1))?;
            step("lazy_mmu_mode_disable()", mode::lazy_mmu_mode_disable);
            place.unmap()
        },
    )?;
    scene.right("the callee pauses the mode around its store", |_| {
        step("lazy_mmu_mode_enable()", mode::lazy_mmu_mode_enable);
        step("map page 0: the caller's", || place.map(0))?;
        let before = mmu.state();
        step("lazy_mmu_mode_pause()", mode::lazy_mmu_mode_pause);
        step("map page 1: the callee's, pays at once", || place.map(1))?;
        let deferred = mmu.is_pending();
        step("use page 1: its next instruction", || place.read(1))?;
        step("lazy_mmu_mode_resume()", mode::lazy_mmu_mode_resume);
        step("map page 2: the caller's, deferred again", || place.map(2))?;
        let after = mmu.state();
        step("lazy_mmu_mode_disable()", mode::lazy_mmu_mode_disable);
        place.unmap()?;
        if deferred || before != after {
            return Err(failure!(
                "the store in the pause was deferred: {deferred}; {before} before it, {after} behind"
            ));
        }
        Ok(())
    })?;
    place.give_back();
    Ok(())
}
