//! Address ranges of the upper half that somebody owns.
//!
//! Owning an [`Area`] is the right to store last-level descriptors for it, without a lock: nobody
//! else can. It is lent out as a [`PageRange`].

use alloc::vec::Vec;
use core::cell::Cell;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use stage1_paging::{Pages, Va};

use super::{PageRange, kernel_space};
use crate::base::{Lock, layout};

/// Free ranges, in ascending order, no two adjacent.
static FREE: Lock<Vec<Pages>> = Lock::new(Vec::new());
static READY: AtomicBool = AtomicBool::new(false);

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
        let mut free = FREE.lock();
        if !READY.swap(true, Relaxed) {
            let all = Pages::new(
                Va::new(layout::VMAP_BASE),
                layout::VMAP_SIZE / layout::PAGE_SIZE,
            );
            free.extend(all);
        }
        let with_guard = pages.checked_add(1)?;
        let index = free.iter().position(|range| range.count() >= with_guard)?;
        let range = free[index];
        if range.count() == with_guard {
            free.remove(index);
        } else {
            free[index] = range.skip(with_guard);
        }
        Some(Self(range.take(pages), PhantomData))
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
        PageRange::new(kernel_space(), self.0)
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
        let count = self.0.count() + 1;
        let Ok(mut range) = Pages::new(self.0.start(), count) else {
            return;
        };
        let mut free = FREE.lock();
        let index = free.partition_point(|other| other.start() < range.start());
        if let Some(&next) = free.get(index)
            && range.skip(range.count()).start() == next.start()
        {
            range = joined(range, next);
            free.remove(index);
        }
        match index.checked_sub(1).map(|before| (before, free[before])) {
            Some((before, previous))
                if previous.skip(previous.count()).start() == range.start() =>
            {
                free[before] = joined(previous, range);
            }
            _ => free.insert(index, range),
        }
    }
}

fn joined(low: Pages, high: Pages) -> Pages {
    // Both lie in the vmap area, so their union does.
    Pages::new(low.start(), low.count() + high.count()).unwrap_or(low)
}
