//! The right to change page tables: pages of one space, and every operation on them.
//!
//! A [`PageRange`] is lent out by who has the right: an [`Area`](super::areas::Area) of the kernel's half, a
//! [`TaskSpace`](super::spaces::TaskSpace) of a lower half. No safe function changes a descriptor outside of the range, so
//! none takes away, moves or exchanges the memory that a live Rust object occupies: none lies in the vmap area or in a
//! lower half.
//!
//! What may be mapped is *any* frame, also one that is somebody else's. A mapping reads and writes nothing: who stores
//! through one does so in `unsafe` code ([`probe::write_u64`](crate::arch::probe::write_u64)), and answers there for whose
//! memory it is.

use core::fmt;
use core::marker::PhantomData;

use stage1_paging::{Access, Error, Fit, Frame, Mapping, Pages, Prot, Sink, Space, Va, Walk};

use super::Hardware;
use crate::base::layout::PAGE_SIZE;

/// What operations on a range owe to the TLBs.
///
/// It borrows what the range is lent from. So the pages go back, and can be somebody else's, only after the gather has paid or
/// was dropped, which pays too.
pub type Gather<'s, S> = stage1_paging::Gather<'s, Hardware, S>;

/// Why an operation on a range failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RangeError {
    /// Pages outside of the range were asked for. Nothing was done.
    Outside {
        /// The first page asked for.
        at: Va,
        /// What there is a right to.
        range: Pages,
    },
    /// The tables refused.
    Tables(Error),
}

impl From<Error> for RangeError {
    fn from(error: Error) -> Self {
        RangeError::Tables(error)
    }
}

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RangeError::Outside { at, range } => {
                write!(
                    f,
                    "pages from {at} on are not inside {range:?}: take an area that has them"
                )
            }
            RangeError::Tables(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for RangeError {}

/// Pages of one space, and the right to store descriptors for them.
///
/// Neither `Send` nor `Sync`: one task at a time works on its pages.
#[derive(Clone, Copy)]
pub struct PageRange<'s> {
    space: &'s Space<'static, Hardware>,
    pages: Pages,
    of_task: PhantomData<*const ()>,
}

impl<'s> PageRange<'s> {
    /// The right to `pages`, which are the caller's to give.
    pub(super) const fn new(space: &'s Space<'static, Hardware>, pages: Pages) -> Self {
        Self {
            space,
            pages,
            of_task: PhantomData,
        }
    }

    /// The pages.
    pub const fn pages(&self) -> Pages {
        self.pages
    }

    /// That there is a right to all of `pages`.
    #[inline]
    fn check(&self, pages: Pages) -> Result<(), RangeError> {
        let offset = pages.start().raw().wrapping_sub(self.pages.start().raw()) / PAGE_SIZE;
        let room = self.pages.count().checked_sub(offset);
        if room.is_some_and(|room| pages.count() <= room) {
            Ok(())
        } else {
            Err(RangeError::Outside {
                at: pages.start(),
                range: self.pages,
            })
        }
    }

    /// A gather for this space, whose removed frames go to `sink`.
    pub fn gather<S: Sink>(&self, sink: S) -> Gather<'s, S> {
        self.space.gather(sink)
    }

    /// [`Space::map`].
    ///
    /// # Errors
    /// [`RangeError`], here and below.
    #[inline]
    pub fn map(&self, pages: Pages, frame: Frame, prot: Prot, fit: Fit) -> Result<(), RangeError> {
        self.check(pages)?;
        Ok(self.space.map(pages, frame, prot, fit)?)
    }

    /// [`Space::map_page`].
    ///
    /// # Errors
    /// [`RangeError`].
    #[inline]
    pub fn map_page(&self, va: Va, frame: Frame, prot: Prot) -> Result<(), RangeError> {
        self.map(Pages::one(va)?, frame, prot, Fit::Pages)
    }

    /// [`Space::map_frames`].
    ///
    /// # Errors
    /// [`RangeError`].
    #[inline]
    pub fn map_frames(
        &self,
        pages: Pages,
        frames: impl IntoIterator<Item = Frame>,
        prot: Prot,
    ) -> Result<(), RangeError> {
        self.check(pages)?;
        Ok(self.space.map_frames(pages, frames, prot)?)
    }

    /// [`Space::reserve`].
    ///
    /// # Errors
    /// [`RangeError`].
    pub fn reserve(&self, pages: Pages) -> Result<(), RangeError> {
        self.check(pages)?;
        Ok(self.space.reserve(pages)?)
    }

    /// [`Space::unmap`].
    ///
    /// # Errors
    /// [`RangeError`].
    #[inline]
    pub fn unmap<S: Sink>(
        &self,
        pages: Pages,
        gather: &mut Gather<'s, S>,
    ) -> Result<u64, RangeError> {
        self.check(pages)?;
        Ok(self.space.unmap(pages, gather)?)
    }

    /// [`Space::protect`].
    ///
    /// # Errors
    /// [`RangeError`].
    #[inline]
    pub fn protect<S: Sink>(
        &self,
        pages: Pages,
        access: Access,
        gather: &mut Gather<'s, S>,
    ) -> Result<u64, RangeError> {
        self.check(pages)?;
        Ok(self.space.protect(pages, access, gather)?)
    }

    /// [`Space::replace`].
    ///
    /// # Errors
    /// [`RangeError`].
    #[inline]
    pub fn replace<S: Sink>(
        &self,
        start: Va,
        frames: &[Frame],
        prot: Prot,
        gather: &mut Gather<'s, S>,
    ) -> Result<(), RangeError> {
        self.check(Pages::new(start, frames.len() as u64)?)?;
        Ok(self.space.replace(start, frames, prot, gather)?)
    }

    /// [`Space::move_pages`], of pages of this range to `start` in `to`, which may be the same range.
    ///
    /// # Errors
    /// [`RangeError`]; [`What::OtherHalf`](stage1_paging::What::OtherHalf) where `to` belongs to another space.
    #[inline]
    pub fn move_pages<S: Sink>(
        &self,
        from: Pages,
        to: &PageRange<'s>,
        start: Va,
        gather: &mut Gather<'s, S>,
    ) -> Result<u64, RangeError> {
        self.check(from)?;
        let dest = Pages::new(start, from.count())?;
        to.check(dest)?;
        // The addresses of two lower halves are the same: what tells them apart is the ASID.
        if self.space.half() != to.space.half() {
            let error = Error {
                what: stage1_paging::What::OtherHalf,
                at: start,
                done: 0,
            };
            return Err(error.into());
        }
        Ok(self.space.move_pages(from, start, gather)?)
    }

    /// [`Space::walk`]. A firm answer: nobody else stores descriptors for these pages.
    ///
    /// # Errors
    /// [`RangeError`].
    pub fn walk(&self, va: Va) -> Result<Walk, RangeError> {
        let page = Va::new(va.raw() & !(PAGE_SIZE - 1));
        self.check(Pages::one(page)?)?;
        Ok(self.space.walk(va)?)
    }

    /// [`Space::mappings`]. A firm answer, as [`PageRange::walk`]'s.
    ///
    /// # Errors
    /// [`RangeError`].
    pub fn mappings(
        &self,
        pages: Pages,
    ) -> Result<impl Iterator<Item = Mapping> + use<'s>, RangeError> {
        self.check(pages)?;
        Ok(self.space.mappings(pages)?)
    }
}
