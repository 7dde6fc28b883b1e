//! Address ranges of the upper half that somebody owns.
//!
//! Owning an [`Area`] is the right to store last-level descriptors for it, without a lock: nobody
//! else can. It is lent out as a [`PageRange`].

use alloc::collections::{BTreeMap, BTreeSet};
use core::cell::Cell;
use core::marker::PhantomData;
use core::ops::Range;

use stage1_paging::{Done, Pages, Va};

use super::{PageRange, kernel_space};
use crate::base::{Lock, layout};

/// The addresses that are nobody's.
///
/// Neighbours are joined. What lies behind the last area is apart: with few holes most areas come from there. The holes are in
/// two trees of `alloc`'s, so that an area costs a few ways down a tree, however many there are; bins of sizes would cost as
/// little, and miss a hole that just fits.
struct Free {
    /// Each hole between areas: its start, and its end.
    holes: BTreeMap<u64, u64>,
    /// The same by size: the bytes, and the start.
    by_size: BTreeSet<(u64, u64)>,
    /// Nothing is taken from here on.
    behind: u64,
}

static FREE: Lock<Free> = Lock::new(Free {
    holes: BTreeMap::new(),
    by_size: BTreeSet::new(),
    behind: layout::VMAP_BASE,
});

impl Free {
    /// Takes that many bytes out of the smallest hole that has them: where they start.
    fn take(&mut self, bytes: u64) -> Option<u64> {
        let Some(&(size, start)) = self.by_size.range((bytes, 0)..).next() else {
            let (start, end) = (self.behind, self.behind.checked_add(bytes)?);
            self.behind = Some(end).filter(|end| *end <= layout::VMAP_BASE + layout::VMAP_SIZE)?;
            return Some(start);
        };
        self.remove(start..start + size);
        self.insert(start + bytes..start + size);
        Some(start)
    }

    /// Takes back what was taken, with the proof that no TLB has any of it, and joins it with the holes beside it.
    fn give(&mut self, mut bytes: Range<u64>, _: Done) {
        let below = self.holes.range(..bytes.start).next_back();
        if let Some((&start, _)) = below.filter(|(_, end)| **end == bytes.start) {
            self.remove(start..bytes.start);
            bytes.start = start;
        }
        if let Some(&end) = self.holes.get(&bytes.end) {
            self.remove(bytes.end..end);
            bytes.end = end;
        }
        if bytes.end == self.behind {
            self.behind = bytes.start;
        } else {
            self.insert(bytes);
        }
    }

    fn insert(&mut self, hole: Range<u64>) {
        if !hole.is_empty() {
            self.by_size.insert((hole.end - hole.start, hole.start));
            self.holes.insert(hole.start, hole.end);
        }
    }

    fn remove(&mut self, hole: Range<u64>) {
        self.by_size.remove(&(hole.end - hole.start, hole.start));
        self.holes.remove(&hole.start);
    }
}

/// Pages of the vmap area that belong to the holder.
///
/// They go back when it is dropped. What is still mapped there then is unmapped first, and invalidated: the next owner
/// finds nothing of this one's, neither a descriptor nor a translation. Frames stay whose they are.
///
/// It may be sent to another task, and not be shared with one: one at a time stores descriptors.
#[derive(PartialEq, Eq, Debug)]
pub struct Area(Pages, PhantomData<Cell<()>>);

impl Area {
    /// Takes a free range of that many pages. An unmapped page stays behind it, so that running over the end faults.
    ///
    /// Which range is not part of the promise. `None` when none is large enough.
    pub fn take(pages: u64) -> Option<Self> {
        let bytes = pages.checked_add(1)?.checked_mul(layout::PAGE_SIZE)?;
        let start = FREE.lock().take(bytes)?;
        Some(Self(Pages::new(Va::new(start), pages).ok()?, PhantomData))
    }

    /// The pages.
    pub fn pages(&self) -> Pages {
        self.0
    }

    /// The right to them. A gather for it borrows the area, and so has paid before the pages go back. (One that is
    /// [forgotten](core::mem::forget) has not: as with everything that is forgotten, what it would have done stays
    /// undone.)
    ///
    /// # Panics
    /// Before the kernel's tables are there.
    #[inline]
    pub fn range(&self) -> PageRange<'_> {
        kernel_space().part(self.0)
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        let mut gather = self.range().gather(());
        let emptied = self.range().unmap(self.0, &mut gather);
        let ((), done) = gather.finish();
        // It fails at a block that is not wholly inside, which no operation of a range makes. Then nobody gets these pages.
        if emptied.is_ok() {
            let (start, pages) = (self.0.start().raw(), self.0.count() + 1);
            FREE.lock()
                .give(start..start + pages * layout::PAGE_SIZE, done);
        }
    }
}
