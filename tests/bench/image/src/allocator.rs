//! The frame allocator: with `debug=on` each call is page-table work of its own.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

use lazy_mmu_kernel::base::layout::PAGE_SIZE;
use lazy_mmu_kernel::mem::frames::{self, Owned};

use crate::ground;
use crate::measure::{Bench, Failure, Who, ensure};

/// `n` frames taken and given back one by one, in one batch, and in one batch that is shuffled.
pub fn all(bench: &mut Bench, n: u64) -> Result<(), Failure> {
    let free = frames::free_count();
    let mut owned = Vec::with_capacity(n as usize);
    bench.row("alloc", Who::Ours, n, || {
        for _ in 0..n {
            owned.extend(frames::alloc());
        }
    })?;
    ensure!(owned.len() as u64 == n, "alloc: {} of {n}", owned.len());
    bench.row("free", Who::Ours, n, || {
        owned.into_iter().for_each(frames::free)
    })?;
    let owned = neighbours(n)?;
    bench.row("free-batch", Who::Ours, n, || frames::free_all(owned))?;
    let mut owned = neighbours(n)?;
    ground::shuffle(&mut owned);
    bench.row("free-shuffled", Who::Ours, n, || frames::free_all(owned))?;
    let left = frames::free_count();
    ensure!(
        left == free,
        "{left} frames are free, and {free} were before"
    );
    Ok(())
}

/// `n` neighbours, aligned to their number: into how many TLBIs a run divides depends on where it lies, and that on what was
/// allocated before, which differs with the number of cores.
fn neighbours(n: u64) -> Result<Vec<Owned>, Failure> {
    let mut blocks = BTreeMap::<u64, Vec<Owned>>::new();
    while let Some(frame) = frames::alloc() {
        let block = frame.frame().pa().raw() / (PAGE_SIZE * n);
        let here = blocks.entry(block).or_default();
        here.push(frame);
        if here.len() as u64 == n {
            let found = core::mem::take(here);
            frames::free_all(blocks.into_values().flatten());
            return Ok(found);
        }
    }
    Err(Failure(format!("no {n} frames beside each other")))
}

/// `n` frames, outside of a window.
pub fn taken(n: u64) -> Result<Vec<Owned>, Failure> {
    let owned: Vec<Owned> = (0..n).filter_map(|_| frames::alloc()).collect();
    ensure!(owned.len() as u64 == n, "{} of {n} frames", owned.len());
    Ok(owned)
}
