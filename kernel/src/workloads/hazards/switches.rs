//! Tasks that let each other run inside sections: H5, H6.

use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use lazy_mmu::State;

use super::place::Place;
use super::scene::Scene;
use super::steps::step;
use crate::sched::{self, Join};
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

/// That a task comes back to the state that it has left.
pub(super) fn unchanged([before, after]: [State; 2]) -> Result<(), Failure> {
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
