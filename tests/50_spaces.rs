//! Lower-half spaces: apart by ASID, empty when new, gone when destroyed, and an error when there are no more. Their owner splits
//! blocks and frees tables.
//!
//! @boot cpu=max,cortex-a72
//! @boot args="check=on" expect="no violation"
#![no_std]
#![no_main]

extern crate alloc;
mod common;

use alloc::vec::Vec;

use common::ensure;
use lazy_mmu_kernel::Boot;
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::base::layout;
use lazy_mmu_kernel::mem::spaces::{SpaceError, TaskSpace};
use lazy_mmu_kernel::mem::{frames, services};
use lazy_mmu_kernel::observe::access::{self, Expect};
use stage1_paging::{Fit, Frame, Level, Pages, Prot, Va};

lazy_mmu_kernel::entry!(main);

const HERE: Va = Va::new(0x40_0000);

/// Two megabytes of RAM, the image in it, by one block; split around one page; and the tables given back.
fn split_and_free_tables() -> Result<(), &'static str> {
    const PAGES: u64 = Level::L2.pages();
    let block = Pages::new(Va::new(3 * Level::L2.size()), PAGES).map_err(|_| "a range")?;
    let image = layout::image().start;
    let first = Frame::new(layout::image_to_physical(image)).ok_or("a frame")?;
    let mut space = TaskSpace::new().map_err(|_| "no space")?;
    let tables = services::table_count();
    space.enter();
    let mapped = space.range().map(block, first, Prot::RO, Fit::Largest);
    mapped.map_err(|_| "map")?;
    (services::table_count() == tables + 2)
        .then_some(())
        .ok_or("two tables lead to a block")?;
    // Every page is touched before a change and probed after it; text, so nobody stores there.
    let text = (layout::image().text_end.raw() - image.raw()) / layout::PAGE_SIZE;
    let looks = |gone: Option<u64>| {
        let right = |page: &u64| {
            let va = block.skip(*page).start();
            if gone == Some(*page) {
                return access::read(va, Expect::Faults).is_err();
            }
            let image = Va::new(image.raw() + page * layout::PAGE_SIZE);
            let here = access::read(va, Expect::Works);
            here.is_ok() && here == access::read(image, Expect::Works)
        };
        (0..text).all(|page| right(&page))
    };
    looks(None)
        .then_some(())
        .ok_or("the block does not show the image")?;

    let hole = text / 2;
    for at in [hole, hole + 1] {
        let at = block.skip(at).start();
        space.split(at).map_err(|_| "split")?;
    }
    let list = space.range().mappings(block).map_err(|_| "a range")?;
    (list.count() as u64 == PAGES)
        .then_some(())
        .ok_or("not split into pages")?;
    looks(None)
        .then_some(())
        .ok_or("the pages show something else")?;
    let mut gather = space.range().gather(());
    let one = space.range().unmap(block.skip(hole).take(1), &mut gather);
    let _ = gather.finish();
    (one == Ok(1) && looks(Some(hole)))
        .then_some(())
        .ok_or("not the one page is gone")?;

    // A table with something in it stays; all three go when all is unmapped, and can be had again.
    space.free_tables(block).map_err(|_| "free")?;
    (services::table_count() == tables + 3 && looks(Some(hole)))
        .then_some(())
        .ok_or("a table in use is gone")?;
    let mut gather = space.range().gather(());
    let rest = space.range().unmap(block, &mut gather);
    let _ = gather.finish();
    (rest == Ok(PAGES - 1)).then_some(()).ok_or("unmap")?;
    space.free_tables(block).map_err(|_| "free")?;
    (services::table_count() == tables)
        .then_some(())
        .ok_or("an empty table is left")?;
    (0..text)
        .all(|page| access::read(block.skip(page).start(), Expect::Faults).is_err())
        .then_some(())
        .ok_or("a page is left")?;
    let mapped = space.range().map(block, first, Prot::RO, Fit::Pages);
    (mapped.is_ok() && looks(None))
        .then_some(())
        .ok_or("mapped again, it shows something else")?;
    space.destroy();
    Ok(())
}

/// A space that gets no frame for its root gives its ASID back: more often than there are ASIDs. Without the rules, which
/// remember more of each frame than the heap has room for.
fn no_frames() -> Result<(), &'static str> {
    let all: Vec<frames::Owned> = core::iter::from_fn(frames::alloc).collect();
    let refused = (0..300).all(|_| TaskSpace::new().err() == Some(SpaceError::NoFrame));
    frames::free_all(all);
    refused.then_some(()).ok_or("not NoFrame each time")
}

fn main(boot: &Boot) -> Verdict {
    if !boot.arguments.check {
        let refused = no_frames();
        ensure!(refused.is_ok(), "{refused:?}");
    }
    let parts = split_and_free_tables();
    ensure!(parts.is_ok(), "{parts:?}");
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
        let mapped = space.range().map_page(HERE, frame.frame(), Prot::RW);
        ensure!(mapped.is_ok(), "{mapped:?}");
        let walk = space
            .range()
            .walk(HERE)
            .ok()
            .and_then(|walk| walk.mapping());
        ensure!(
            walk.is_some_and(|mapping| !mapping.desc.is_global()),
            "nG in the lower half: {walk:?}"
        );
    }
    ensure!(
        access::read(HERE, Expect::Faults).is_err(),
        "no space is entered"
    );
    for (space, word) in [(&one, 0xA), (&two, 0xB), (&one, 0xA)] {
        space.enter();
        let found = access::read(HERE, Expect::Works);
        ensure!(found == Ok(word), "{found:x?}, expected {word:x}");
    }
    one.destroy();
    ensure!(
        access::read(HERE, Expect::Faults).is_err(),
        "the space is gone"
    );
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
    ensure!(
        access::read(HERE, Expect::Faults).is_err(),
        "a new space is empty"
    );
    again.destroy();
    ensure!(
        frames::free_count() == free,
        "{} of {free}",
        frames::free_count()
    );
    Verdict::Good
}
