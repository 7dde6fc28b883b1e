//! The lists of free frames, by number.

use core::ops::Range;

use alloc::vec::Vec;
use buddy_system_allocator::FrameAllocator;

/// Single frames come out of the blocks this many at a time, and go back twice as many at a time.
const BATCH: usize = 32;

/// The free frames: `buddy_system_allocator`'s blocks, and in front of them single frames.
///
/// A set of blocks is a tree, and a frame that is split off or joined with its buddies costs several
/// changes of several trees. So one that is freed alone waits on a stack, where the next allocation finds it, as in Linux's
/// per-CPU lists. It is free in every respect: unmapped, poisoned, counted, reported.
///
/// The stack is not a core's own but under the lock of the blocks, which is taken anyway: no frame is hidden from a core
/// whose memory runs out. Blocks are taken for the stack alone, and only when it is empty: none is missed for what waits there.
pub(super) struct Lists {
    /// A set per order.
    blocks: FrameAllocator,
    /// The last one freed on top; fewer than two batches.
    singles: Vec<usize>,
    /// How many frames there are in both.
    pub count: u64,
}

impl Lists {
    /// None.
    pub const fn new() -> Self {
        Self {
            blocks: FrameAllocator::new(),
            singles: Vec::new(),
            count: 0,
        }
    }

    /// A frame: the one that was freed last, or the lowest of a batch.
    pub fn take(&mut self) -> Option<usize> {
        if self.singles.is_empty() {
            let mut sizes = (0..=BATCH.ilog2()).rev().map(|order| 1 << order);
            let (first, size) = sizes.find_map(|size| Some((self.blocks.alloc(size)?, size)))?;
            self.singles.extend((first..first + size).rev());
        }
        self.count -= 1;
        self.singles.pop()
    }

    /// Takes a run of frames, back or as new ones. Two or more go to the blocks at once, and a full stack does.
    pub fn give(&mut self, run: Range<usize>) {
        self.count += run.len() as u64;
        if run.len() > 1 {
            return give_blocks(&mut self.blocks, run);
        }
        self.singles.push(run.start);
        if self.singles.len() == 2 * BATCH {
            self.singles.sort_unstable();
            let runs = self.singles.chunk_by(|low, high| low + 1 == *high);
            runs.for_each(|run| give_blocks(&mut self.blocks, run[0]..run[0] + run.len()));
            self.singles.clear();
        }
    }
}

/// Adds a run as the largest blocks that it consists of: one look for a buddy each.
fn give_blocks(blocks: &mut FrameAllocator, mut run: Range<usize>) {
    while !run.is_empty() {
        let size = 1 << run.start.trailing_zeros().min(run.len().ilog2());
        blocks.dealloc(run.start, size);
        run.start += size;
    }
}
