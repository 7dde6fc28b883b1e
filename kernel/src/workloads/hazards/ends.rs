//! A task that leaves inside a section, asleep or for good: H8, H10.

use alloc::string::String;

use lazy_mmu::Policy;

use super::place::Place;
use super::scene::Scene;
use super::steps::step;
use super::switches::unchanged;
use crate::sched::Ended;
use crate::sched::{self};
use crate::workloads::{Failure, failure};
use crate::{mode, task};

/// H8.
pub(super) fn sleeps_inside(scene: &mut Scene) -> Result<(), Failure> {
    const SHORT: u64 = 1_000;
    let place = Place::new(1)?;
    let mmu = &task::current().mmu;
    let reported = scene.right("a task sleeps in a section, with a debt", |_| {
        let warned = mode::warnings();
        step("sleep outside of a section", || sched::sleep(SHORT));
        let outside = mode::warnings() - warned;
        step("lazy_mmu_mode_enable()", mode::lazy_mmu_mode_enable);
        step("map page 0", || place.map(0))?;
        let before = mmu.state();
        step("sleep inside", || sched::sleep(SHORT));
        let after = mmu.state();
        step("lazy_mmu_mode_disable()", mode::lazy_mmu_mode_disable);
        step("use page 0: no barrier was lost", || place.read(0))?;
        place.unmap()?;
        unchanged([before, after])?;
        Ok([outside, mode::warnings() - warned])
    })?;
    place.give_back();
    match (scene.policy, reported) {
        (Policy::Linux7, [0, 1]) => scene.must_see(
            "the kernel's warnings",
            true,
            "one, for the sleep inside the section",
        ),
        (Policy::V3, [0, 0]) => scene.must_see("the contract", true, "v3 does not forbid it"),
        (policy, [outside, all]) => Err(failure!(
            "under {policy} {outside} warnings for a sleep outside of a section, {all} for both"
        )),
    }
}

/// H10.
pub(super) fn leaked_on_an_error(scene: &mut Scene) -> Result<(), Failure> {
    let policy = scene.policy;
    let run = |work: fn(&Place) -> Result<(), Failure>| {
        let place = Place::new(1)?;
        let task = sched::spawn(policy, move || {
            let returned = work(&place);
            (place, returned.is_err())
        });
        let Ended {
            value: (place, failed),
            leak,
            ..
        } = task.map_err(|error| failure!("no task: {error}"))?.join();
        place.unmap()?;
        place.give_back();
        if failed {
            Ok(leak)
        } else {
            Err(failure!("the error was lost"))
        }
    };
    scene.broken("the error path leaves without its disable", &[], |scene| {
        let leak = run(|place| {
            step("lazy_mmu_mode_enable()", mode::lazy_mmu_mode_enable);
            step("map page 0", || place.map(0))?;
            step("fail, and return", || Err(failure!("an error")))
        })?;
        let what = leak.map_or_else(String::new, |leak| alloc::format!("{leak}"));
        scene.must_see("the end of the task", leak.is_some(), &what)
    })?;
    scene.right(
        "the section is a closure, which no path leaves without its end",
        |_| {
            let leak = run(|place| {
                mode::section(|| {
                    step("map page 0", || place.map(0))?;
                    step("fail, and return", || Err(failure!("an error")))
                })
            })?;
            leak.map_or(Ok(()), |leak| Err(failure!("{leak}")))
        },
    )
}
