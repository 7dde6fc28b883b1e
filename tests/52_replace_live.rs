//! Break-before-make under fire: pages are replaced while every other core loads from them without pause.
//!
//! A load sees the old page or the new one, never a fault and never anything else: an access that meets the break waits for
//! the make. A page that really is not there still faults.
//!
//! @boot smp=2,4 cpu=max,cortex-a72
#![no_std]
#![no_main]

extern crate alloc;

mod common;

use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use common::ensure;
use lazy_mmu::Policy;
use lazy_mmu_kernel::arch::{probe, time};
use lazy_mmu_kernel::exit::Verdict;
use lazy_mmu_kernel::mem::areas::Area;
use lazy_mmu_kernel::mem::{frames, kernel_space};
use lazy_mmu_kernel::{Boot, mode, println, sched};
use stage1_paging::{Frame, Pages, Prot};

lazy_mmu_kernel::entry!(main);

const PAGES: u64 = 16;
const ROUNDS: u64 = 300;
static STOP: AtomicBool = AtomicBool::new(false);

/// Loads until it is told to stop; how often it saw either page.
fn load(pages: Pages) -> Result<(u64, u64), String> {
    let (mut old, mut new) = (0, 0);
    while !STOP.load(SeqCst) {
        for page in pages.chunks(1) {
            match probe::read_u64(page.start()) {
                Ok(1) => old += 1,
                Ok(2) => new += 1,
                other => return Err(alloc::format!("{}: {other:x?}", page.start())),
            }
        }
    }
    Ok((old, new))
}

fn main(boot: &Boot) -> Verdict {
    let Some(area) = Area::take(PAGES) else {
        return Verdict::Failed;
    };
    let pages = area.pages();
    let owned: Vec<_> = (0..2 * PAGES).filter_map(|_| frames::alloc()).collect();
    ensure!(owned.len() as u64 == 2 * PAGES, "{} frames", owned.len());
    let frames: Vec<Frame> = owned.iter().map(frames::Owned::frame).collect();
    let (old, new) = frames.split_at(PAGES as usize);
    for (index, frame) in owned.iter().enumerate() {
        frame.words()[0].store(1 + index as u64 / PAGES, SeqCst);
    }
    let space = kernel_space();
    ensure!(
        space
            .map_frames(pages, old.iter().copied(), Prot::RW)
            .is_ok(),
        "map"
    );
    let readers: Result<Vec<_>, _> = (1..boot.cores)
        .map(|_| sched::spawn(Policy::Seed, move || load(pages)))
        .collect();
    let Ok(readers) = readers else {
        return Verdict::Failed;
    };

    for round in 0..ROUNDS {
        let frames = if round % 2 == 0 { new } else { old };
        let replaced = mode::section(|| {
            let mut gather = space.gather(());
            let replaced = space.replace(pages.start(), frames, Prot::RW, &mut gather);
            let _ = gather.finish();
            replaced
        });
        ensure!(replaced.is_ok(), "{replaced:?}");
        // A different pause each time, so that loads fall before, into and after the break.
        time::wait_until(100 + round % 7 * 20, || false);
    }
    STOP.store(true, SeqCst);
    let (mut ones, mut twos) = (0, 0);
    for reader in readers {
        match reader.join().value {
            Ok((one, two)) => (ones, twos) = (ones + one, twos + two),
            Err(seen) => ensure!(false, "a reader saw {seen}"),
        }
    }
    println!("{ones} loads of the old pages, {twos} of the new ones");
    ensure!(ones > 0 && twos > 0, "{ones} and {twos} loads");

    let mut gather = space.gather(());
    ensure!(space.unmap(pages, &mut gather) == Ok(PAGES), "unmap");
    let _ = gather.finish();
    ensure!(
        probe::read_u64(pages.start()).is_err(),
        "what is not there faults"
    );
    frames::free_all(owned);
    Verdict::Good
}
