//! Tasks that leave their core: H5, H6, H8, H10, H19.

use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use lazy_mmu::{Policy, State};
use mmu_check::Rule;

use super::place::Place;
use super::scene::Scene;
use super::steps::step;
use crate::arch::registers;
use crate::sched::{self, Ended, Join};
use crate::workloads::forced::{self, Visits};
use crate::workloads::{Failure, failure};
use crate::{mode, task};

/// H5.
pub(super) fn preempted_everywhere(scene: &mut Scene) -> Result<(), Failure> {
    // Thousands of events: the record of one would be too short, and the traces of the runs are compared.
    let visited = forced::visit_calls(scene.policy, Visits::Preempted)?;
    scene.must_see("the traces", true, &visited)
}

/// Lets others run until the task has ended.
pub(super) fn yield_until_end<T: 'static>(other: &Join<T>) {
    while !other.has_ended() {
        sched::yield_now();
    }
}

/// What a task found behind each of its yields: the state that it had left, and the one that it came back to.
type Found = Result<(Place, [State; 2]), Failure>;

/// A task's own section, with a debt, that it leaves its core in.
fn section_with_a_yield(place: Place, has_yielded: &AtomicBool) -> Found {
    let mmu = &task::current().mmu;
    step(
        "enable: the other task's section",
        mode::lazy_mmu_mode_enable,
    );
    step("map a page: its debt", || place.map(0))?;
    let before = mmu.state();
    has_yielded.store(true, Relaxed);
    step("yield", sched::yield_now);
    let after = mmu.state();
    step("disable", mode::lazy_mmu_mode_disable);
    step("use its page", || place.read(0))?;
    place.unmap()?;
    Ok((place, [before, after]))
}

/// H6.
pub(super) fn hook_on_current(scene: &mut Scene) -> Result<(), Failure> {
    scene.right("the switch touches nobody's state", |scene| {
        let states = two_sections(scene, |_| {})?;
        unchanged(states)
    })?;
    scene.broken(
        "a hook is given the other task, and pauses `current`",
        &[],
        |scene| {
            let states = two_sections(scene, |_given| {
                mode::lazy_mmu_mode_pause();
            })?;
            let seen = unchanged(states).err();
            let what = seen
                .as_ref()
                .map_or_else(String::new, |failure| alloc::format!("{failure}"));
            scene.must_see("the mode's state", seen.is_some(), &what)
        },
    )
}

fn unchanged([before, after]: [State; 2]) -> Result<(), Failure> {
    if before == after {
        Ok(())
    } else {
        Err(failure!(
            "a task left its core with {before}, and came back to {after}"
        ))
    }
}

/// Two tasks, each in a section of its own with a debt, let each other run. `hook` is called where this task goes on,
/// and is given the other. Returns this task's state before and behind that; the other's is checked.
fn two_sections(scene: &Scene, hook: impl FnOnce(u16)) -> Result<[State; 2], Failure> {
    let mmu = &task::current().mmu;
    let (mine, theirs) = (Place::new(1)?, Place::new(1)?);
    let has_yielded = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&has_yielded);
    let other = sched::spawn_held(scene.policy, move || section_with_a_yield(theirs, &flag));
    let other = other.map_err(|error| failure!("the other task: {error}"))?;
    step("enable: this task's section", mode::lazy_mmu_mode_enable);
    step("map a page: its debt", || mine.map(0))?;
    let before = mmu.state();
    other.start();
    step("yield to the other, which is in its section then", || {
        while !has_yielded.load(Relaxed) {
            sched::yield_now();
        }
    });
    step("here a switch hook would run", || hook(other.id()));
    let after = mmu.state();
    if mmu.state().enabled != before.enabled {
        mode::lazy_mmu_mode_resume();
    }
    yield_until_end(&other);
    step("disable", mode::lazy_mmu_mode_disable);
    step("use its page", || mine.read(0))?;
    mine.unmap()?;
    mine.give_back();
    let (theirs, states) = other.join().value?;
    theirs.give_back();
    unchanged(states)?;
    Ok([before, after])
}

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

/// The mode as one flag of the core, for whoever runs there: who enters while it is on is ignored, and so is its exit.
static ON: AtomicBool = AtomicBool::new(false);

fn enter_if_first() -> bool {
    !ON.swap(true, Relaxed)
}

/// H19.
pub(super) fn second_enter_ignored(scene: &mut Scene) -> Result<(), Failure> {
    let policy = scene.policy;
    let run = |pays: fn(bool) -> bool| {
        let (mine, theirs) = (Place::new(1)?, Place::new(1)?);
        let other = sched::spawn_held(policy, move || {
            let first = step("the other task enters: is it the first?", enter_if_first);
            mode::lazy_mmu_mode_enable();
            // A handler's barriers would stand in for those that are missing.
            let used = registers::without_interrupts(|| {
                step("it maps a page", || theirs.map(0))?;
                step("it leaves", || {
                    pays(first).then(mode::lazy_mmu_mode_disable)
                });
                step("it uses its page", || theirs.read(0))
            });
            if !pays(first) {
                mode::lazy_mmu_mode_disable();
            }
            theirs.unmap()?;
            used.map(|()| theirs)
        });
        let other = other.map_err(|error| failure!("the other task: {error}"))?;
        step("this task enters", enter_if_first);
        mode::lazy_mmu_mode_enable();
        step("it maps a page", || mine.map(0))?;
        other.start();
        yield_until_end(&other);
        ON.store(false, Relaxed);
        step("it leaves", mode::lazy_mmu_mode_disable);
        step("it uses its page", || mine.read(0))?;
        mine.unmap()?;
        mine.give_back();
        other.join().value?.give_back();
        Ok(())
    };
    scene.broken(
        "one flag for the core, and a second enter is ignored",
        &[Rule::Publish],
        |_| run(|first| first),
    )?;
    scene.right("each task has a mode of its own", |_| run(|_| true))
}
