//! Lower-half spaces: apart by ASID, empty when new, gone when destroyed, and an error when there are no more.
//!
//! @boot cpu=max,cortex-a72
#![no_std]
#![no_main]

extern crate alloc;
mod common;

use alloc::vec::Vec;

use common::ensure;
use lazy_mmu_kernel::Boot;
use lazy_mmu_kernel::arch::probe;
use lazy_mmu_kernel::exit::Verdict;
use lazy_mmu_kernel::mem::frames;
use lazy_mmu_kernel::mem::spaces::{SpaceError, TaskSpace};
use stage1_paging::{Prot, Va};

lazy_mmu_kernel::entry!(main);

const HERE: Va = Va::new(0x40_0000);

fn main(_: &Boot) -> Verdict {
    let free = frames::free_count();
    let (Ok(one), Ok(two)) = (TaskSpace::new(), TaskSpace::new()) else {
        return Verdict::Failed;
    };
    let (Some(a), Some(b)) = (frames::alloc(), frames::alloc()) else {
        return Verdict::Failed;
    };
    a.words()[0].store(0xA, core::sync::atomic::Ordering::Relaxed);
    b.words()[0].store(0xB, core::sync::atomic::Ordering::Relaxed);
    for (space, frame) in [(&one, &a), (&two, &b)] {
        let mapped = space.space().map_page(HERE, frame.frame(), Prot::RW);
        ensure!(mapped.is_ok(), "{mapped:?}");
        let walk = space
            .space()
            .walk(HERE)
            .ok()
            .and_then(|walk| walk.mapping());
        ensure!(
            walk.is_some_and(|mapping| !mapping.desc.is_global()),
            "nG in the lower half: {walk:?}"
        );
    }
    ensure!(probe::read_u64(HERE).is_err(), "no space is entered");
    for (space, word) in [(&one, 0xA), (&two, 0xB), (&one, 0xA)] {
        space.enter();
        ensure!(
            probe::read_u64(HERE) == Ok(word),
            "{:x?}, expected {word:x}",
            probe::read_u64(HERE)
        );
    }
    one.destroy();
    ensure!(probe::read_u64(HERE).is_err(), "the space is gone");
    two.destroy();
    frames::free_all([a, b]);
    ensure!(
        frames::free_count() == free,
        "{} of {free}",
        frames::free_count()
    );

    // 255 ASIDs, and the first is reused, for a space that does not see what its last owner mapped.
    let all: Vec<TaskSpace> = (0..255).filter_map(|_| TaskSpace::new().ok()).collect();
    ensure!(all.len() == 255, "{}", all.len());
    ensure!(
        TaskSpace::new().err() == Some(SpaceError::NoAsid),
        "256 ASIDs in eight bits"
    );
    all.into_iter().for_each(TaskSpace::destroy);
    let Ok(again) = TaskSpace::new() else {
        return Verdict::Failed;
    };
    again.enter();
    ensure!(probe::read_u64(HERE).is_err(), "a new space is empty");
    again.destroy();
    ensure!(
        frames::free_count() == free,
        "{} of {free}",
        frames::free_count()
    );
    Verdict::Good
}
