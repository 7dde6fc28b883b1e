//! An interrupt handler that maps a page, uses it and unmaps it, on top of whatever the task is doing.
//!
//! Each core has a page of the vmap area for it. Its tables are linked beforehand, because the handler may interrupt code
//! that links one. The handler opens a section of its own, as code called from a handler in Linux may. Afterwards the task's
//! state must be what it was before, as the contract says.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use lazy_mmu::{Policy, State};
use stage1_paging::Prot;

use super::pages::take_area;
use super::{Failure, check, failure};
use crate::base::{Lock, MAX_CORES};
use crate::mem::PageRange;
use crate::mem::areas::Area;
use crate::mem::frames::{self, Owned};
use crate::observe::access;
use crate::{irq, mode, task};

static AREAS: [Lock<Option<Area>>; MAX_CORES] = [const { Lock::new(None) }; MAX_CORES];
/// Pages used so far, and handlers' sections that fell into the task's first `enable`: see [`Done`].
static DONE: AtomicU64 = AtomicU64::new(0);
static IN_ENABLE: AtomicU64 = AtomicU64::new(0);
/// Timer ticks so far.
static TICKS: AtomicU64 = AtomicU64::new(0);
/// The first check that failed in a handler.
static FAILED: Lock<Option<Failure>> = Lock::new(None);

/// What the handlers have done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    /// Pages mapped, used and unmapped.
    pub pages: u64,
    /// Handlers' sections that fell into a task's first `enable`, between its stores to `enabled` and to `count`. Under
    /// `v3` the end of such a section leaves the task's section not enabled: see [`lazy_mmu`], "Two contracts".
    pub in_enable: u64,
}

/// Takes the pages of all cores, if that has not been done, and sets the counts to zero.
pub(super) fn prepare() -> Result<(), Failure> {
    for slot in &AREAS {
        if slot.lock().is_some() {
            continue;
        }
        let area = take_area(1)?;
        area.range().reserve(area.pages())?;
        *slot.lock() = Some(area);
    }
    DONE.store(0, Relaxed);
    IN_ENABLE.store(0, Relaxed);
    *FAILED.lock() = None;
    Ok(())
}

/// Has every other tick of the timer do the work, or none.
///
/// It is not every tick, because a handler's barriers are its core's, and could stand in for missing ones of the
/// switch that follows.
pub(super) fn at_ticks(on: bool) {
    irq::set_tick_work(on.then_some(|| {
        if TICKS.fetch_add(1, Relaxed) % 2 == 1 {
            work();
        }
    }));
}

/// What was done since [`prepare`].
///
/// # Errors
/// The first check that failed.
pub(super) fn done() -> Result<Done, Failure> {
    match FAILED.lock().clone() {
        Some(failure) => Err(failure),
        None => Ok(Done {
            pages: DONE.load(Relaxed),
            in_enable: IN_ENABLE.load(Relaxed),
        }),
    }
}

/// Does the work once. To be called in a handler: interrupts are masked, and the mode knows that it is in one.
pub(super) fn work() {
    let core = task::core().index;
    let slot = &AREAS[usize::from(core)];
    // The area is taken out of its slot, so that no lock is held meanwhile. Only this core uses the slot, in one handler at a time.
    let Some(area) = slot.lock().take() else {
        return;
    };
    let before = task::current().mmu.state();
    let result = use_page(area.range(), DONE.load(Relaxed));
    let after = task::current().mmu.state();
    *slot.lock() = Some(area);
    match result.and_then(|()| check_unchanged(before, after)) {
        Ok(()) => {
            DONE.fetch_add(1, Relaxed);
        }
        Err(failure) => {
            let failure = failure!("in a handler: {failure}");
            FAILED.lock().get_or_insert(failure);
        }
    }
}

/// Maps the page to a new frame, stores through the mapping, unmaps it, and checks each step.
fn use_page(range: PageRange<'_>, number: u64) -> Result<(), Failure> {
    let page = range.pages();
    let frame = frames::alloc().ok_or_else(|| failure!("no frame left"))?;
    let used = map_and_use(range, &frame, number);
    let mut gather = range.gather(());
    let unmapped = range.unmap(page, &mut gather);
    let _ = gather.finish();
    let gone = check::unreachable(page.start());
    frames::free(frame);
    used?;
    unmapped?;
    gone
}

fn map_and_use(range: PageRange<'_>, frame: &Owned, number: u64) -> Result<(), Failure> {
    let page = range.pages();
    let word = number ^ 0x4841_4E44_4C45_5200;
    access::fill(frame.frame());
    frame.words()[0].store(word, Relaxed);
    // The store pays at once, section or not: this is a handler.
    mode::section(|| range.map_page(page.start(), frame.frame(), Prot::RW))?;
    check::touch(page.start(), word)?;
    check::store(page.start(), !word)?;
    if frame.words()[0].load(Relaxed) != !word {
        return Err(failure!("the store did not reach {:?}", frame.frame()));
    }
    Ok(())
}

/// Checks that the task's state is what it was, its pending flag too. There is one exception, under `v3`: a handler's section may
/// disable the section that the task is just opening.
fn check_unchanged(before: State, after: State) -> Result<(), Failure> {
    if before == after {
        return Ok(());
    }
    let ended = State {
        enabled: false,
        ..before
    };
    if before.policy == Policy::V3 && before.count == 0 && before.enabled && after == ended {
        IN_ENABLE.fetch_add(1, Relaxed);
        return Ok(());
    }
    Err(failure!(
        "the task's state was {before:?}, and is {after:?}"
    ))
}
