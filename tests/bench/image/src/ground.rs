//! What everybody works on: the same pages, frames and orders.

use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

use lazy_mmu_kernel::base::layout;
use lazy_mmu_kernel::mem::areas::Area;
use lazy_mmu_kernel::mem::frames::{self, Owned};
use lazy_mmu_kernel::mem::{Gather, PageRange};
use stage1_paging::{Frame, Pages, Va};

use crate::measure::{Failure, ensure};

/// The most pages of a row.
pub const MOST: u64 = 32_768;
/// Where pages are moved to, in pages from the start of the area.
const APART: u64 = 2 * MOST;

/// Addresses of the kernel's half, from a 1 GiB boundary on: tables are full or empty, as for the peers.
pub struct Ground {
    /// The addresses.
    pub area: Area,
}

impl Ground {
    pub fn take() -> Result<Self, Failure> {
        let area = Area::take(APART + MOST);
        let area = area.ok_or_else(|| Failure("no addresses".into()))?;
        let start = area.pages().start();
        ensure!(
            start == Va::new(layout::VMAP_BASE),
            "{start:?} is not the first of the vmap area"
        );
        Ok(Self { area })
    }

    /// The first `n` pages.
    pub fn pages(&self, n: u64) -> Pages {
        self.area.pages().take(n)
    }

    /// `n` pages far behind them.
    pub fn target(&self, n: u64) -> Pages {
        self.area.pages().skip(APART).take(n)
    }
}

/// Frames of a 2 MiB block.
const BLOCK: u64 = 2 << 20;
/// More than the free parts of memory that are less than a block have: those at both ends of RAM, around image and heap.
const PARTS: usize = 2048;

/// Takes the frames of those parts, to be kept until the end. From here on the allocator splits whole blocks, and joins them again, so
/// that what its rows cost does not depend on how long the image is.
pub fn settle() -> Result<Vec<Owned>, Failure> {
    let mut kept = Vec::with_capacity(2 * PARTS);
    loop {
        let frame = frames::alloc().ok_or_else(|| Failure("no whole block of frames".into()))?;
        if kept.len() >= PARTS && frame.frame().pa().raw().is_multiple_of(BLOCK) {
            frames::free(frame);
            return Ok(kept);
        }
        kept.push(frame);
    }
}

/// The frames of one size of rows: allocated, and in an order as on a machine that has run for a while.
pub struct Frames {
    owned: Vec<Owned>,
    /// Frames for `n` places, shuffled.
    pub list: Vec<Frame>,
    /// Another frame for each place: the next one's, and one more for the last.
    pub other: Vec<Frame>,
}

impl Frames {
    /// Allocates `n + 1` of them.
    pub fn take(n: u64) -> Result<Self, Failure> {
        let mut owned = Vec::with_capacity(n as usize + 1);
        for number in 0..=n {
            let frame = frames::alloc().ok_or_else(|| Failure("no frame left".into()))?;
            frame.words()[0].store(number, Relaxed);
            owned.push(frame);
        }
        let mut list: Vec<Frame> = owned.iter().map(Owned::frame).collect();
        shuffle(&mut list);
        let other = list[1..].to_vec();
        list.pop();
        Ok(Self { owned, list, other })
    }

    /// Frees them. Nothing maps them any more.
    pub fn free(self) {
        frames::free_all(self.owned);
    }
}

/// Shuffles, always in the same way.
pub fn shuffle<T>(items: &mut [T]) {
    lazy_mmu_kernel::workloads::shuffle(items, 1);
}

/// Does `work` with a gather of `range`, and pays.
#[inline(always)]
pub fn gathered<'s, R>(range: PageRange<'s>, work: impl FnOnce(&mut Gather<'s, ()>) -> R) -> R {
    let mut gather = range.gather(());
    let result = work(&mut gather);
    gather.pay();
    result
}

/// The first of contiguous frames that everybody maps as a run, read-only: RAM from the image on.
pub fn run() -> Frame {
    Frame::containing(layout::image_to_physical(layout::image().start))
}

/// A frame of that run; RAM is at least twice as long.
pub fn of_run(index: u64) -> Frame {
    run().checked_add(index).unwrap_or(Frame::ZERO)
}
