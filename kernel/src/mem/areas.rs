//! Address ranges of the upper half that somebody owns.
//!
//! Owning an [`Area`] is the right to store last-level descriptors for it, without a lock: nobody
//! else can. It is lent out as a [`PageRange`].

use alloc::vec::Vec;
use core::cell::Cell;
use core::marker::PhantomData;
use core::ops::Range;

use stage1_paging::{Pages, Va};

use super::{PageRange, kernel_space};
use crate::base::{Lock, layout};

/// The addresses of all areas, each with the guard behind it, in ascending order.
static TAKEN: Lock<Vec<Range<u64>>> = Lock::new(Vec::new());

/// Pages of the vmap area that belong to the holder.
///
/// They go back when it is dropped. What is still mapped there then is unmapped first, and invalidated: the next owner
/// finds nothing of this one's, neither a descriptor nor a translation. Frames stay whose they are.
///
/// It may be sent to another task, and not be shared with one: one at a time stores descriptors.
#[derive(PartialEq, Eq, Debug)]
pub struct Area(Pages, PhantomData<Cell<()>>);

impl Area {
    /// Takes the lowest free range of that many pages. An unmapped page stays behind it, so that
    /// running over the end faults.
    ///
    /// The order of ranges is not part of the promise. `None` when the area is full.
    pub fn take(pages: u64) -> Option<Self> {
        let bytes = pages.checked_add(1)?.checked_mul(layout::PAGE_SIZE)?;
        let mut taken = TAKEN.lock();
        let (mut start, mut index) = (layout::VMAP_BASE, 0);
        while let Some(next) = taken.get(index)
            && next.start - start < bytes
        {
            start = next.end;
            index += 1;
        }
        let end = start.checked_add(bytes)?;
        if end > layout::VMAP_BASE + layout::VMAP_SIZE {
            return None;
        }
        taken.insert(index, start..end);
        let pages = Pages::new(Va::new(start), pages).ok()?;
        Some(Self(pages, PhantomData))
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
        let _ = gather.finish();
        if emptied.is_err() {
            // A block that is not wholly inside, which no operation of a range makes. Then nobody gets these pages.
            return;
        }
        let start = self.0.start().raw();
        TAKEN.lock().retain(|other| other.start != start);
    }
}
