//! Modes that pay too little: H3, H13.

use lazy_mmu::Call;
use mmu_check::Rule;
use stage1_hw::{Barrier, Instructions, Op, Why};

use super::place::Place;
use super::scene::Scene;
use super::steps::{step, step_of};
use super::wrong;
use crate::mode;
use crate::observe::seam::HW;
use crate::workloads::Failure;

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

/// H13.
pub(super) fn no_isb(scene: &mut Scene) -> Result<(), Failure> {
    let place = Place::new(1)?;
    scene.broken_undisturbed(
        "the pair is its DSB alone",
        &[Rule::Leftover, Rule::Publish],
        |_| {
            let wrong = wrong::mode(|_| HW.execute(Op::Dsb(Barrier::Ishst), Why::Publish));
            let state = || wrong.state();
            mode::section(|| {
                step_of(state, "enable", || wrong.call(Call::Enable));
                step_of(state, "map page 0", || place.map(0))?;
                wrong.owe();
                step_of(state, "disable: pays without the ISB", || {
                    wrong.call(Call::Disable)
                });
                step_of(state, "use page 0", || place.read(0))
            })?;
            place.unmap()
        },
    )?;
    scene.right("the pair is `dsb ishst; isb`", |_| {
        step("lazy_mmu_mode_enable()", mode::lazy_mmu_mode_enable);
        step("map page 0", || place.map(0))?;
        step("lazy_mmu_mode_disable()", mode::lazy_mmu_mode_disable);
        step("use page 0", || place.read(0))?;
        place.unmap()
    })?;
    place.give_back();
    Ok(())
}
