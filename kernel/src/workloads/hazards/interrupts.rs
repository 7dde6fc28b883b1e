//! Handlers on top of a section: H4, H9.

use mmu_check::What;

use super::place::Place;
use super::scene::Scene;
use super::steps::step;
use crate::arch::registers;
use crate::workloads::forced::{self, Visits};
use crate::workloads::{Failure, failure, handler};
use crate::{mode, observe, task};

/// Runs `work` as an interrupt's handler on top of this task.
pub(super) fn interrupt<R>(work: impl FnOnce() -> R) -> R {
    registers::without_interrupts(|| {
        task::current().interrupted(|| {
            observe::report(|| What::IrqEnter);
            let result = work();
            observe::report(|| What::IrqExit);
            result
        })
    })
}

/// A section with a debt, in which a handler allocates, maps, uses, unmaps and frees a page.
fn handler_in_a_section(place: &Place) -> Result<(), Failure> {
    let mmu = &task::current().mmu;
    handler::prepare()?;
    step("lazy_mmu_mode_enable()", mode::lazy_mmu_mode_enable);
    step("map page 0: deferred", || place.map(0))?;
    let before = mmu.state();
    step("interrupt: a page is mapped, used, unmapped", || {
        interrupt(handler::work)
    });
    let after = mmu.state();
    step("lazy_mmu_mode_disable()", mode::lazy_mmu_mode_disable);
    step("use page 0", || place.read(0))?;
    place.unmap()?;
    let pages = handler::done()?.pages;
    if before != after || !before.pending || pages != 1 {
        return Err(failure!(
            "{before} before the handler, {after} behind it, {pages} pages"
        ));
    }
    Ok(())
}

/// H4.
pub(super) fn handler_in_section(scene: &mut Scene) -> Result<(), Failure> {
    let place = Place::new(1)?;
    scene.right("a handler works on page tables inside a section", |_| {
        handler_in_a_section(&place)
    })?;
    place.give_back();
    let visited = forced::visit_calls(scene.policy, Visits::Interrupted)?;
    scene.must_see("the traces", true, &visited)
}

/// H9.
pub(super) fn lock_in_interrupt(scene: &mut Scene) -> Result<(), Failure> {
    let place = Place::new(1)?;
    let stats = &task::current().stats;
    scene.right("a handler allocates and frees inside a section", |_| {
        let before = (mode::warnings(), stats.switches.get());
        handler_in_a_section(&place)?;
        let after = (mode::warnings(), stats.switches.get());
        if before != after {
            return Err(failure!(
                "warnings and switches were {before:?}, and are {after:?}: something in the allocator sleeps"
            ));
        }
        Ok(())
    })?;
    scene.broken("a handler takes a lock that may sleep", &[], |scene| {
        let before = mode::warnings();
        step("interrupt: what a mutex does first", || {
            interrupt(mode::may_sleep)
        });
        let reported = mode::warnings() - before;
        scene.must_see(
            "the kernel's warnings",
            reported == 1,
            "a warning, for a call that may sleep in an interrupt",
        )
    })?;
    place.give_back();
    Ok(())
}
