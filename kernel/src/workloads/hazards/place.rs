//! Pages to work on: some addresses, with their tables, and a frame for each.

use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

use stage1_paging::{Pages, Prot, Va};

use crate::mem::areas::Area;
use crate::mem::{PageRange, frames};
use crate::observe::access::{self, Expect};
use crate::workloads::pages::{signature, take_area};
use crate::workloads::{Failure, check, failure};

/// Pages of the vmap area, none of them mapped at first. It can be sent to another task.
pub(super) struct Place {
    area: Area,
    frames: Vec<frames::Owned>,
}

impl Place {
    /// Takes the pages and the frames, and links the tables: a hazard is about last-level stores alone.
    pub(super) fn new(pages: u64) -> Result<Self, Failure> {
        let area = take_area(pages)?;
        area.range().reserve(area.pages())?;
        let frames: Vec<_> = (0..pages).map_while(|_| frames::alloc()).collect();
        for (index, frame) in frames.iter().enumerate() {
            access::fill(frame.frame());
            frame.words()[0].store(signature(index, 1), Relaxed);
        }
        let place = Self { area, frames };
        if place.frames.len() as u64 == pages {
            return Ok(place);
        }
        place.give_back();
        Err(failure!("no frames for a hazard's {pages} pages"))
    }

    pub(super) fn range(&self) -> PageRange<'_> {
        self.area.range()
    }

    pub(super) fn pages(&self) -> Pages {
        self.area.pages()
    }

    pub(super) fn page(&self, index: usize) -> Pages {
        self.area.pages().skip(index as u64).take(1)
    }

    pub(super) fn va(&self, index: usize) -> Va {
        self.page(index).start()
    }

    pub(super) fn frame(&self, index: usize) -> &frames::Owned {
        &self.frames[index]
    }

    /// Maps a page to its frame.
    pub(super) fn map(&self, index: usize) -> Result<(), Failure> {
        let frame = self.frames[index].frame();
        Ok(self.range().map_page(self.va(index), frame, Prot::RW)?)
    }

    /// Loads the word that the page must have.
    pub(super) fn read(&self, index: usize) -> Result<(), Failure> {
        check::touch(self.va(index), signature(index, 1))
    }

    /// Loads a word where the page must be gone: whether it is still there.
    pub(super) fn is_stale(&self, index: usize) -> bool {
        access::read(self.va(index), Expect::Faults).is_ok()
    }

    /// Unmaps all that is mapped, and checks that it is gone.
    pub(super) fn unmap(&self) -> Result<(), Failure> {
        let mut gather = self.range().gather(());
        self.range().unmap(self.pages(), &mut gather)?;
        let _ = gather.finish();
        for page in self.pages().chunks(1) {
            check::unreachable(page.start())?;
        }
        Ok(())
    }

    /// Gives the frames back. The addresses go back with the value.
    pub(super) fn give_back(self) {
        let Self { area, frames } = self;
        drop(area);
        frames::free_all(frames);
    }
}
