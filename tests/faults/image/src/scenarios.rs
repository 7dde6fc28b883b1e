//! What no workload does for certain, and some fault shows in.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use lazy_mmu::Policy;
use lazy_mmu_kernel::arch::time;
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::mem::areas::Area;
use lazy_mmu_kernel::mem::frames::{self, Owned};
use lazy_mmu_kernel::mem::spaces::TaskSpace;
use lazy_mmu_kernel::mem::{self, PageRange};
use lazy_mmu_kernel::observe::access::{self, Expect};
use lazy_mmu_kernel::{mode, println, sched, task};
use stage1_paging::{Frame, Pa, Pages, Prot, Va};

/// What is wrong.
type Checked = Result<(), &'static str>;

/// Runs them, on a machine with that many cores.
pub fn main(cores: usize) -> Verdict {
    let on_one: &[fn() -> Checked] = &[enter_and_use, leave_in_a_section, settle];
    let on_two: &[fn() -> Checked] = &[use_here_unmap_there, publish_here_use_there];
    let on_two = if cores > 1 { on_two } else { &[] };
    match on_one.iter().chain(on_two).try_for_each(|run| run()) {
        Ok(()) => Verdict::Good,
        Err(why) => {
            println!("FAILED {why}");
            Verdict::Failed
        }
    }
}

const WORD: u64 = 0x454E_5445_5245_4421;

fn frame() -> Result<Owned, &'static str> {
    let frame = frames::alloc().ok_or("no frame for a scenario")?;
    access::fill(frame.frame());
    frame.words()[0].store(WORD, Relaxed);
    Ok(frame)
}

fn unmap(range: PageRange<'_>, page: Pages) -> Checked {
    let mut gather = range.gather(());
    let unmapped = range.unmap(page, &mut gather);
    let _ = gather.finish();
    unmapped.map(drop).map_err(|_| "a page was not unmapped")
}

fn is_there(va: Va) -> bool {
    access::read(va, Expect::Works) == Ok(WORD)
}

/// A lower half that is complete when it is entered, and used at once. Where a workload maps something
/// first, the ISB of that pair hides that the write of TTBR0 had none.
fn enter_and_use() -> Checked {
    let frame = frame()?;
    let lower = TaskSpace::new().map_err(|_| "no address space")?;
    let page = Pages::one(Va::new(1 << 30)).map_err(|_| "no page")?;
    let mapped = lower
        .range()
        .map_page(page.start(), frame.frame(), Prot::RO);
    mapped.map_err(|_| "a page was not mapped")?;
    lower.enter();
    let found = is_there(page.start());
    unmap(lower.range(), page)?;
    lower.destroy();
    frames::free(frame);
    found
        .then_some(())
        .ok_or("a lower half that is entered is not there")
}

/// A page of the vmap area, with its tables, and a frame to map there.
fn place() -> Result<(Area, Owned), &'static str> {
    let frame = frame()?;
    let area = Area::take(1).ok_or("the vmap area is full")?;
    let linked = area.range().reserve(area.pages());
    linked.map_err(|_| "no tables for a page")?;
    Ok((area, frame))
}

/// Maps the page, which is published when this returns: no section is open.
fn map(area: &Area, frame: Frame) -> Checked {
    let mapped = area.range().map_page(area.pages().start(), frame, Prot::RO);
    mapped.map_err(|_| "a page was not mapped")
}

/// A task that is in a section, with the mode on, leaves its core to one that is in none, and that maps
/// a page and uses it.
fn leave_in_a_section() -> Checked {
    let (area, owned) = place()?;
    let (page, frame) = (area.pages(), owned.frame());
    let other = sched::spawn_held(Policy::V3, move || {
        map(&area, frame)?;
        let found = is_there(page.start());
        unmap(area.range(), page)?;
        found
            .then_some(())
            .ok_or("a page that was mapped is not there")
    });
    let other = other.map_err(|_| "no task")?;
    mode::section(|| {
        other.start();
        sched::yield_now();
    });
    other.join().value?;
    frames::free(owned);
    Ok(())
}

/// The page that faults behind the last DSB of the next invalidation, and its frame; 0 for none.
static FAULTS: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// What a page-fault handler does there, which is the task's own code: maps the page. From within the fault image's moments, with
/// interrupts masked.
pub fn page_fault() {
    let va = FAULTS[0].swap(0, Relaxed);
    let frame = Pa::new(FAULTS[1].load(Relaxed)).and_then(Frame::new);
    if let (true, Some(frame)) = (va != 0, frame) {
        // SAFETY: the page is of an area of `settle`'s, where no Rust object lies.
        let mapped = unsafe { mem::upper_half() }.map_page(Va::new(va), frame, Prot::RO);
        mapped.expect("its table is there");
    }
}

/// An invalidation in a section, which settles what is pending, and a page fault in the middle of it: what its handler maps
/// behind the last DSB is paid at the section's end.
fn settle() -> Checked {
    let (mapped, unmapped, faults) = (place()?, place()?, place()?);
    map(&unmapped.0, unmapped.1.frame())?;
    mode::section(|| {
        map(&mapped.0, mapped.1.frame())?;
        FAULTS[1].store(faults.1.frame().pa().raw(), Relaxed);
        FAULTS[0].store(faults.0.pages().start().raw(), Relaxed);
        unmap(unmapped.0.range(), unmapped.0.pages())
    })?;
    let found = [&mapped, &faults].map(|(area, _)| is_there(area.pages().start()));
    for (area, frame) in [mapped, unmapped, faults] {
        drop(area);
        frames::free(frame);
    }
    if found == [true; 2] {
        Ok(())
    } else {
        Err("a page that was mapped in a section is not there")
    }
}

/// A page that this core has used, and a task on another core unmaps. This one does not leave its core
/// meanwhile, and executes no barrier.
fn use_here_unmap_there() -> Checked {
    let (area, owned) = place()?;
    let page = area.pages();
    map(&area, owned.frame())?;
    if !is_there(page.start()) {
        return Err("a page that was mapped is not there");
    }
    let other = sched::spawn(Policy::V3, move || unmap(area.range(), page));
    let other = other.map_err(|_| "no task")?;
    if !soon(|| other.has_ended()) {
        return Err("no other core runs a task that is ready");
    }
    let stale = access::read(page.start(), Expect::Faults).is_ok();
    other.join().value?;
    frames::free(owned);
    if stale {
        return Err(
            "a page that another core has unmapped is there: is the old translation still in the TLB?",
        );
    }
    Ok(())
}

/// A page that a task publishes on one core and uses on another, where it arrives without an exception
/// return: by the switch of one that was there and lets it run.
fn publish_here_use_there() -> Checked {
    /// How far it is: the task on the other core has begun, the one that comes here has, this one goes on.
    static STEP: AtomicUsize = AtomicUsize::new(0);
    let reached = |step| soon(move || STEP.load(Relaxed) >= step);
    let (area, owned) = place()?;
    let page = area.pages();
    let there = sched::spawn(Policy::V3, move || {
        STEP.store(1, Relaxed);
        let taken = reached(2);
        sched::yield_now();
        taken
    });
    let there = there.map_err(|_| "no task")?;
    let here = sched::spawn_held(Policy::V3, move || {
        STEP.store(2, Relaxed);
        // Until then this core is not free.
        reached(3)
    });
    let here = here.map_err(|_| "no task")?;
    if !reached(1) {
        return Err("no other core runs a task that is ready");
    }
    let core = task::core().index;
    map(&area, owned.frame())?;
    here.start();
    sched::yield_now();
    let moved = task::core().index != core;
    let found = is_there(page.start());
    STEP.store(3, Relaxed);
    let in_order = [here, there].map(|task| task.join().value);
    unmap(area.range(), page)?;
    frames::free(owned);
    if !moved || in_order != [true; 2] {
        return Err("a task that lets others run does not go on on the core that is free");
    }
    found
        .then_some(())
        .ok_or("a page that was mapped is not there")
}

/// Waits on this core, ten seconds at most. Says whether it is so.
fn soon(so: impl FnMut() -> bool) -> bool {
    time::wait_until(10_000_000, so)
}
