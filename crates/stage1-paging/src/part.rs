//! The right to some pages of a space, and every operation on them.

use core::marker::PhantomData;

use crate::addr::{Frame, Level, Pages, Va};
use crate::cursor::Cursor;
use crate::desc::{Access, Mapping, Prot};
use crate::error::{Error, What};
use crate::gather::{Gather, Sink};
use crate::map::Fit;
use crate::mmu::Mmu;
use crate::space::{Space, Walk};

/// Pages of a space, lent to who may store descriptors for them: the *area* of [`Space`]'s table, as a
/// type. See [`Space::part`].
///
/// Its operations are those of the space that need an area, and refuse pages outside of it with
/// [`What::Outside`], before anything is done. What needs the space itself (to split a block, to free
/// tables) it does not have. A gather that it opens borrows what it was lent from: the pages go back,
/// and can be somebody else's, only after the gather has paid or was dropped, which pays too.
///
/// ```compile_fail,E0505
/// # use stage1_paging::{Error, Mmu, Pages, Space};
/// fn late<M: Mmu>(space: Space<'_, M>, pages: Pages) -> Result<(), Error> {
///     let part = space.part(pages);
///     let mut gather = part.gather(());
///     part.unmap(pages, &mut gather)?;
///     drop(space);
///     gather.finish(); // the pages would be the next owner's by now
///     Ok(())
/// }
/// ```
/// ```
/// # use stage1_paging::{Error, Mmu, Pages, Space};
/// fn in_time<M: Mmu>(space: Space<'_, M>, pages: Pages) -> Result<(), Error> {
///     let part = space.part(pages);
///     let mut gather = part.gather(());
///     part.unmap(pages, &mut gather)?;
///     gather.finish();
///     drop(space);
///     Ok(())
/// }
/// ```
///
/// Neither `Send` nor `Sync`, for one task at a time works on its pages:
///
/// ```compile_fail,E0277
/// # use stage1_paging::{Mmu, Part};
/// fn give<T: Send>(_: T) {}
/// fn to_another_task<M: Mmu<Table: Send + Sync> + Sync>(part: Part<'_, M>) {
///     give(part);
/// }
/// ```
pub struct Part<'s, M: Mmu> {
    space: &'s Space<'s, M>,
    pages: Pages,
    of_task: PhantomData<*const ()>,
}

impl<M: Mmu> Clone for Part<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: Mmu> Copy for Part<'_, M> {}

impl<M: Mmu> Space<'_, M> {
    /// The right to `pages`, which are the caller's to give: that nobody else has them is not checked. Where they are of the other half,
    /// to none.
    pub const fn part(&self, pages: Pages) -> Part<'_, M> {
        let held = if self.half.holds(pages) {
            pages
        } else {
            pages.take(0)
        };
        Part {
            space: self,
            pages: held,
            of_task: PhantomData,
        }
    }
}

impl<'s, M: Mmu> Part<'s, M> {
    /// The pages.
    pub const fn pages(&self) -> Pages {
        self.pages
    }

    /// The space, for work on `pages`: there is no other way to it.
    #[inline]
    fn on(&self, pages: Pages) -> Result<&'s Space<'s, M>, Error> {
        if self.pages.covers(pages) {
            Ok(self.space)
        } else {
            Err(Error::new(What::Outside, pages.start()))
        }
    }

    /// [`Space::gather`].
    pub fn gather<S: Sink>(&self, sink: S) -> Gather<'s, M, S> {
        self.space.gather(sink)
    }

    /// [`Space::cursor`], for these pages.
    pub const fn cursor(&self) -> Cursor<'s, M> {
        self.space.cursor(self.pages)
    }

    /// [`Space::map`].
    ///
    /// # Errors
    /// As there and [`What::Outside`]; so it is for all that follow.
    #[inline]
    pub fn map(&self, pages: Pages, frame: Frame, prot: Prot, fit: Fit) -> Result<(), Error> {
        self.on(pages)?.map_here(pages, frame, prot, fit)
    }

    /// [`Space::map_page`].
    ///
    /// # Errors
    /// As for [`Part::map`].
    #[inline]
    pub fn map_page(&self, va: Va, frame: Frame, prot: Prot) -> Result<(), Error> {
        if self.pages.number(va) < self.pages.count() {
            return self.space.map_page_here(va, frame, prot);
        }
        self.on(Pages::one(va)?)?.map_page(va, frame, prot)
    }

    /// [`Space::map_frames`].
    ///
    /// # Errors
    /// As for [`Part::map`].
    #[inline]
    pub fn map_frames(
        &self,
        pages: Pages,
        frames: impl IntoIterator<Item = Frame>,
        prot: Prot,
    ) -> Result<(), Error> {
        self.on(pages)?.map_frames(pages, frames, prot)
    }

    /// [`Space::reserve`].
    ///
    /// # Errors
    /// As for [`Part::map`].
    pub fn reserve(&self, pages: Pages) -> Result<(), Error> {
        self.on(pages)?.reserve(pages)
    }

    /// [`Space::unmap`].
    ///
    /// # Errors
    /// As for [`Part::map`].
    #[inline]
    pub fn unmap<S: Sink>(
        &self,
        pages: Pages,
        gather: &mut Gather<'_, M, S>,
    ) -> Result<u64, Error> {
        self.on(pages)?.unmap(pages, gather)
    }

    /// [`Space::protect`].
    ///
    /// # Errors
    /// As for [`Part::map`].
    #[inline]
    pub fn protect<S: Sink>(
        &self,
        pages: Pages,
        access: Access,
        gather: &mut Gather<'_, M, S>,
    ) -> Result<u64, Error> {
        self.on(pages)?.protect(pages, access, gather)
    }

    /// [`Space::replace`].
    ///
    /// # Errors
    /// As for [`Part::map`].
    #[inline]
    pub fn replace<S: Sink>(
        &self,
        start: Va,
        frames: &[Frame],
        prot: Prot,
        gather: &mut Gather<'_, M, S>,
    ) -> Result<(), Error> {
        let pages = Pages::new(start, frames.len() as u64)?;
        self.on(pages)?.replace(start, frames, prot, gather)
    }

    /// [`Space::move_pages`], of pages of this part to `start` in `to`, which may be the same part.
    ///
    /// # Errors
    /// As for [`Part::map`]; [`What::OtherGather`] where `to` is of another space.
    #[inline]
    pub fn move_pages<S: Sink>(
        &self,
        from: Pages,
        to: &Part<'_, M>,
        start: Va,
        gather: &mut Gather<'_, M, S>,
    ) -> Result<u64, Error> {
        let dest = Pages::new(start, from.count())?;
        let space = self.on(from)?;
        // The addresses of two lower halves are the same.
        to.on(dest)?.check_with(dest, gather)?;
        space.move_pages(from, start, gather)
    }

    /// [`Space::walk`]. A firm answer: nobody else stores descriptors for these pages.
    ///
    /// # Errors
    /// As for [`Part::map`].
    pub fn walk(&self, va: Va) -> Result<Walk, Error> {
        self.on(Pages::one(Level::L3.floor(va))?)?.walk(va)
    }

    /// [`Space::mappings`]. A firm answer, as [`Part::walk`]'s.
    ///
    /// # Errors
    /// As for [`Part::map`].
    pub fn mappings(
        &self,
        pages: Pages,
    ) -> Result<impl Iterator<Item = Mapping> + use<'s, M>, Error> {
        self.on(pages)?.mappings(pages)
    }
}
