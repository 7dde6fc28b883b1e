//! H4: an interrupt handler that maps, uses and unmaps a page at once, inside whatever the task
//! beneath it is doing.
//!
//! Each core has a page of the vmap area for it, whose tables are there: the handler may be on top
//! of code that links one. It opens a section of its own, as a handler in Linux may without knowing,
//! and what the contract says of that is checked on the task's state before and after.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use lazy_mmu::{Policy, State};
use stage1_paging::Prot;

use super::{Failure, check, failure};
use crate::base::Lock;
use crate::base::MAX_CORES;
use crate::mem::areas::Area;
use crate::mem::{PageRange, frames};
use crate::task;
use crate::{irq, mode, observe};

static AREAS: [Lock<Option<Area>>; MAX_CORES] = [const { Lock::new(None) }; MAX_CORES];
/// How often it was done, and how often it closed a section that `enable` was about to count.
static DONE: AtomicU64 = AtomicU64::new(0);
static IN_ENABLE: AtomicU64 = AtomicU64::new(0);
/// Ticks so far.
static TICKS: AtomicU64 = AtomicU64::new(0);
/// The first check that failed in a handler.
static FAILED: Lock<Option<Failure>> = Lock::new(None);

/// What the handlers have done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    /// Pages mapped, used and unmapped.
    pub pages: u64,
    /// Handlers' sections that ended between `enabled = true` and the count of the task's own: the
    /// window that the contract `v3` has ([`lazy_mmu`]'s page on it).
    pub in_enable: u64,
}

/// Prepares the pages of all cores.
pub(super) fn prepare() -> Result<(), Failure> {
    for slot in &AREAS {
        if slot.lock().is_some() {
            continue;
        }
        let area = Area::take(1).ok_or_else(|| failure!("the vmap area is full"))?;
        area.range()
            .reserve(area.pages())
            .map_err(|error| failure!("{error}"))?;
        *slot.lock() = Some(area);
    }
    DONE.store(0, Relaxed);
    IN_ENABLE.store(0, Relaxed);
    *FAILED.lock() = None;
    Ok(())
}

/// Lets every other tick of the timer do it, or none.
///
/// Not every tick: a handler's barriers are barriers of its core, and would hide that the switch
/// after it had none.
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

/// Does it once, in a handler: the mode knows that it is in one, and interrupts are masked.
pub(super) fn work() {
    let core = task::core().index;
    let slot = &AREAS[usize::from(core)];
    // Taken out, so that no lock is held meanwhile: nobody else on this core looks for it, and no other core does.
    let Some(area) = slot.lock().take() else {
        return;
    };
    let before = task::current().mmu.state();
    let result = use_page(area.range(), DONE.load(Relaxed));
    let after = task::current().mmu.state();
    *slot.lock() = Some(area);
    match result.and_then(|()| unchanged(before, after)) {
        Ok(()) => {
            DONE.fetch_add(1, Relaxed);
        }
        Err(failure) => {
            FAILED.lock().get_or_insert(failure);
        }
    }
}

fn use_page(range: PageRange<'_>, number: u64) -> Result<(), Failure> {
    let page = range.pages();
    let frame = frames::alloc().ok_or_else(|| failure!("no frame left in a handler"))?;
    let word = number ^ 0x4841_4E44_4C45_5200;
    observe::fill(frame.frame());
    frame.words()[0].store(word, Relaxed);
    // The store pays at once, section or not: this is a handler.
    mode::section(|| range.map_page(page.start(), frame.frame(), Prot::RW))
        .map_err(|error| failure!("in a handler: {error}"))?;
    check::touch(page.start(), word)?;
    check::store(page.start(), !word).map_err(|fault| failure!("in a handler: {fault}"))?;
    if frame.words()[0].load(Relaxed) != !word {
        return Err(failure!(
            "a handler's store did not reach {:?}",
            frame.frame()
        ));
    }
    let mut gather = range.gather(());
    range
        .unmap(page, &mut gather)
        .map_err(|error| failure!("in a handler: {error}"))?;
    let _ = gather.finish();
    check::unreachable(page.start())?;
    frames::free(frame);
    Ok(())
}

/// The task's state is what it was, its debt first of all. The one exception is under `v3`: there a
/// handler's section may end the section that the task is just opening.
fn unchanged(before: State, after: State) -> Result<(), Failure> {
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
        "H4: a handler found the task's state {before:?} and left {after:?}"
    ))
}
