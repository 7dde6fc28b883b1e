//! Bulk operations cost little more than their stores: instructions for 512 pages, by the clock, which under `icount` is exact.
//!
//! The bare loop is the least that mapping a list of frames can be: a load of the frame, a descriptor made of it, a store.
//!
//! @boot icount=on expect="instructions for 512 pages"
//! @boot icount=on cpu=cortex-a72 expect="instructions for 512 pages"
#![no_std]
#![no_main]

extern crate alloc;
mod common;

use alloc::vec::Vec;
use core::hint::black_box;
use core::sync::atomic::Ordering::Relaxed;

use common::ensure;
use lazy_mmu_kernel::arch::time;
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::base::layout;
use lazy_mmu_kernel::mem::areas::Area;
use lazy_mmu_kernel::mem::frames;
use lazy_mmu_kernel::{Boot, println};
use stage1_paging::{Access, Desc, Fit, Frame, Level, Prot};

lazy_mmu_kernel::entry!(main);

const PAGES: u64 = 512;
/// The compiler that the limits are for.
const MEASURED_WITH: &str = "rustc 1.95.";

/// Nanoseconds, and under `icount shift=0` instructions.
fn cost(work: impl FnOnce()) -> u64 {
    let before = time::now();
    work();
    time::to_nanos(time::now() - before)
}

fn main(_: &Boot) -> Verdict {
    let Some(area) = Area::take(2 * PAGES) else {
        return Verdict::Failed;
    };
    let (from, to) = (area.pages().take(PAGES), area.pages().skip(PAGES));
    let owned: Vec<_> = (0..=PAGES).filter_map(|_| frames::alloc()).collect();
    ensure!(owned.len() as u64 == PAGES + 1, "{} frames", owned.len());
    let frames: Vec<Frame> = owned[1..].iter().map(frames::Owned::frame).collect();
    let range = area.range();
    ensure!(range.reserve(area.pages()).is_ok(), "no tables");

    let words = owned[0].words();
    let bits = Desc::leaf(Level::L3, frames[0], Prot::RW, true).bits() & 0xFFFF_0000_0000_0FFF;
    let bare = cost(|| {
        for (word, frame) in words.iter().zip(black_box(&frames)) {
            word.store(bits | frame.pa().raw(), Relaxed);
        }
    });
    let mut failed = 0;
    let mut note = |ok: bool| failed += u32::from(!ok);
    let map = cost(|| {
        note(
            range
                .map_frames(from, frames.iter().copied(), Prot::RW)
                .is_ok(),
        )
    });
    let unmapped = |pages| {
        let mut gather = range.gather(());
        let unmapped = range.unmap(pages, &mut gather) == Ok(PAGES);
        let _ = gather.finish();
        unmapped
    };
    // A run of frames needs no load: RAM from the image on, to look at.
    let image = Frame::containing(layout::image_to_physical(layout::image().start));
    let run = cost(|| note(range.map(to, image, Prot::RO, Fit::Pages).is_ok()));
    note(unmapped(to));
    let [protect, back] = [Access::ReadOnly, Access::ReadWrite].map(|access| {
        cost(|| {
            let mut gather = range.gather(());
            note(range.protect(from, access, &mut gather) == Ok(PAGES));
            let _ = gather.finish();
        })
    });
    let shift = cost(|| {
        let mut gather = range.gather(());
        note(range.move_pages(from, &range, to.start(), &mut gather) == Ok(PAGES));
        let _ = gather.finish();
    });
    let unmap = cost(|| note(unmapped(to)));
    ensure!(failed == 0, "{failed} operations failed");
    println!(
        "instructions for {PAGES} pages: bare stores {bare}, map a run {run}, map a list {map}, protect {protect} and back {back}, move {shift}, unmap {unmap}"
    );
    // Without range operations every page has its TLBI.
    let range = stage1_hw::CoreRegisters::read().tlb().range;
    let tlbis = if range { 0 } else { 4 * PAGES };
    // Held where they are, a page: 10.4 with the load and the end of the list; 11, 13, 16 and 8 with the call and what it owes.
    let held = [
        ("map a run", run, 2 * bare),
        ("map a list", map, 5600),
        ("protect", protect, 5900 + tlbis),
        ("and back", back, 7000 + tlbis),
        ("move", shift, 8600 + tlbis),
        ("unmap", unmap, 4200 + tlbis),
    ];
    for (what, cost, limit) in held {
        if !env!("LAZY_MMU_RUSTC").starts_with(MEASURED_WITH) {
            println!("{what}: {cost}, not held to {limit}: another compiler than {MEASURED_WITH}");
            continue;
        }
        ensure!(cost <= limit, "{what} costs {cost}, the limit is {limit}");
    }
    frames::free_all(owned);
    Verdict::Good
}
