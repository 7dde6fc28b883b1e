//! Lower halves of tasks: each task finds its own page at the address that all of them use, however often it is
//! preempted and moved; ASIDs run out as an error and are reused.
//!
//! @boot smp=1,2,4
//! @boot smp=4 cpu=cortex-a53 gic=3
//! @boot smp=2 args="check=on" expect="no violation" timeout=300
#![no_std]
#![no_main]

extern crate alloc;

mod common;

use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

use common::ensure;
use lazy_mmu::Policy;
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::mem::frames;
use lazy_mmu_kernel::mem::spaces::{SpaceError, TaskSpace};
use lazy_mmu_kernel::observe::access::{self, Expect};
use lazy_mmu_kernel::sched::{self, Join};
use lazy_mmu_kernel::{Boot, mode, task};
use stage1_paging::{Pages, Prot, Va};

lazy_mmu_kernel::entry!(main);

/// Where every task has its page.
const PAGE: u64 = 1 << 30;

/// Makes a space, maps a page, and finds its own word in it a thousand times. Says what went wrong.
fn work(word: u64) -> Result<(), &'static str> {
    let space = TaskSpace::new().map_err(|_| "no space")?;
    space.enter();
    let frame = frames::alloc().ok_or("no frame")?;
    frame.words()[0].store(word, Relaxed);
    let va = Va::new(PAGE);
    mode::section(|| space.range().map_page(va, frame.frame(), Prot::RW))
        .map_err(|_| "not mapped")?;
    let mut result = Ok(());
    for turn in 0..1000_u64 {
        if access::read(va, Expect::Works) != Ok(word) {
            result = Err("another task's page, or none");
        }
        if turn % 10 == 0 {
            sched::yield_now();
        }
    }
    let page = Pages::one(va).map_err(|_| "not a page")?;
    let mut gather = space.range().gather(());
    space
        .range()
        .unmap(page, &mut gather)
        .map_err(|_| "not mapped any more")?;
    let _ = gather.finish();
    space.destroy();
    if access::read(va, Expect::Faults).is_ok() {
        result = Err("the space has ended, and its page is there");
    }
    frames::free(frame);
    result
}

fn main(boot: &Boot) -> Verdict {
    sched::set_slice(50);
    // Twelve at a time, so often that every ASID is used more than once.
    let mut figures = task::Figures::default();
    for round in 0..30_u64 {
        let joins: Vec<_> = (0..12)
            .map(|n| sched::spawn(Policy::Linux7, move || work(round << 8 | n)))
            .collect();
        for join in joins {
            let Ok(ended) = join.map(Join::join) else {
                ensure!(false, "no task");
                return Verdict::Failed;
            };
            ensure!(ended.value.is_ok(), "{:?}", ended.value);
            figures = figures + ended.figures;
        }
    }
    sched::set_slice(0);
    ensure!(figures.preemptions > 0, "{figures:?}");
    ensure!(figures.migrations > 0 || boot.cores == 1, "{figures:?}");

    let mut spaces: Vec<_> = core::iter::from_fn(|| TaskSpace::new().ok()).collect();
    ensure!(spaces.len() == 255, "{} spaces", spaces.len());
    ensure!(
        TaskSpace::new().err() == Some(SpaceError::NoAsid),
        "a space without an ASID"
    );
    // A task that finds none fails by itself, and one that finds one gets the one that was given back.
    let without = sched::spawn(Policy::V3, || work(1)).map(|join| join.join().value);
    ensure!(without == Ok(Err("no space")), "{without:?}");
    spaces.pop().into_iter().for_each(TaskSpace::destroy);
    let with = sched::spawn(Policy::V3, || work(2)).map(|join| join.join().value);
    ensure!(with == Ok(Ok(())), "{with:?}");
    spaces.into_iter().for_each(TaskSpace::destroy);
    // Who ends in a space, and leaves it so, leaves none to the next task with the number.
    let lower = || sched::spawn(Policy::V3, stage1_hw::read_ttbr0).map(|join| join.join().value);
    let empty = lower();
    let left = sched::spawn(Policy::V3, || {
        TaskSpace::new().is_ok_and(|space| {
            space.enter();
            true
        })
    });
    ensure!(left.is_ok_and(|join| join.join().value), "no space");
    let next = lower();
    ensure!(next.is_ok() && next == empty, "{next:x?}, not {empty:x?}");
    Verdict::Good
}
