//! The debug page allocator, which unmaps what is free, and the boot that builds its linear map.
//!
//! A free frame is full of [`EVIL`], which is what a walker finds that should not be there, and
//! what the allocator's check wants to find again: another word is somebody's store after the free.

use stage1_paging::{Fit, Pages, Prot};

use super::bug::Bug;
use super::frames::{COUNT, FIRST, frame_at, linear, linear_page};
use super::kernel::Kernel;
use super::memory::EVIL;
use crate::event::What;

impl Kernel {
    /// Builds the upper half: the linear map in pages, and all of it unmapped that is free if the
    /// allocator debugs.
    pub(super) fn boot(&self) {
        let root = self.root.get();
        self.zero_table(root);
        self.record_contract();
        for task in [1, 2] {
            self.current[0].set(task);
            self.record_contract();
        }
        self.current[0].set(0);
        let pages = Pages::new(linear(FIRST), COUNT);
        let mapped = pages.and_then(|p| self.space().map(p, frame_at(FIRST), Prot::RW, Fit::Pages));
        if let Err(error) = mapped {
            return self.note(alloc::format!("boot: {error}"));
        }
        let free = self.frames.free.borrow().clone();
        for &frame in &free {
            self.machine.fill(frame, EVIL);
        }
        if self.setup.debug {
            let mut gather = self.space().gather(());
            for page in free.iter().filter_map(|&frame| linear_page(frame)) {
                let _ = self.space().unmap(page, &mut gather);
            }
            let _ = gather.finish();
            self.frames.debug.set(true);
        }
        for core in [1, 2, 0] {
            self.core.set(core);
            self.record(What::CoreStart);
            self.exception(What::ExceptionReturn);
        }
    }

    fn lock_list(&self) {
        if self.frames.lock.get() != self.core.get() {
            self.machine.released(self.frames.lock.get());
        }
        self.frames.lock.set(self.core.get());
    }

    /// A frame, mapped in the linear map whatever section its caller is in.
    pub fn alloc(&self) -> Option<u64> {
        self.lock_list();
        let frame = self.frames.free.borrow_mut().pop()?;
        self.machine.watch(linear(frame).raw());
        if self.frames.debug.get() {
            self.reenter(|| self.section(|| self.map_linear(frame)));
        }
        self.record(What::Alloc { frame });
        if self.frames.debug.get() {
            // Poison: nobody has written here since it was freed. And it is usable: this is a load
            // through the mapping just made.
            if let Err(wrong) = self.holds(linear(frame), EVIL) {
                self.note(wrong);
            }
        }
        Some(frame)
    }

    fn map_linear(&self, frame: u64) {
        let result = self
            .space()
            .map_page(linear(frame), frame_at(frame), Prot::RW);
        if let Err(error) = result {
            self.note(alloc::format!("allocated twice: {error}"));
        }
    }

    /// Gives a frame back.
    pub fn free(&self, frame: u64) {
        self.machine.fill(frame, EVIL);
        if self.frames.debug.get() {
            self.reenter(|| self.section(|| self.unmap_linear(frame)));
        }
        self.record(What::Free { frame });
        self.lock_list();
        self.frames.free.borrow_mut().push(frame);
    }

    fn unmap_linear(&self, frame: u64) {
        let mut gather = self.space().gather(());
        if let Some(page) = linear_page(frame)
            && let Err(error) = self.space().unmap(page, &mut gather)
        {
            self.note(alloc::format!("freed twice: {error}"));
        }
        let _ = gather.finish();
    }

    /// Fills a frame with zeroes, to be a table.
    pub(super) fn zero_table(&self, frame: u64) {
        self.tick();
        self.machine.zero(self.core.get(), frame);
        self.record(What::Zero { frame });
    }

    /// Whether frames are freed before the invalidation.
    pub(super) fn frees_early(&self) -> bool {
        self.is(Bug::FramesFreedEarly)
    }
}
