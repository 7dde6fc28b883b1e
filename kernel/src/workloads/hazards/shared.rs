//! A mode that belongs to a core: H19.

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use mmu_check::Rule;

use super::place::Place;
use super::scene::Scene;
use super::steps::step;
use super::switches::yield_until_end;
use crate::arch::registers;
use crate::mode;
use crate::sched::{self};
use crate::workloads::{Failure, failure};

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
