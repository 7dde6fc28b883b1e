//! What programs are made of.

use alloc::format;
use alloc::vec::Vec;

use stage1_paging::{Error, Frame, Pages, Prot, Va};

use crate::event::AccessKind;
use crate::machine::frames::{frame_at, linear};
use crate::machine::kernel::{Kernel, Wrong};

/// What a program returns.
pub(super) type Outcome = Result<(), Wrong>;

pub(super) const PAGE: u64 = 4096;
/// Where programs map. Its last-level table is linked by whoever comes first.
pub(super) const VMAP: u64 = 0xffff_8000_0000_0000;
/// In the same table, core 2's.
pub(super) const BESIDE: u64 = VMAP + 0x10_0000;
/// The interrupt handler's, with a table of its own.
pub(super) const HANDLER: u64 = VMAP + 0x4000_0000;
/// A page that everybody may read.
pub(super) const SHARED: u64 = VMAP + 0x4020_0000;
/// Where tables come and go, so that nobody else may be.
pub(super) const OWN: u64 = VMAP + 0x8000_0000;
/// What the shared page holds.
pub(super) const SHARED_VALUE: u64 = 0x5a5a;

/// The `n`th page of the programs' range.
pub(super) fn page(n: u64) -> Va {
    Va::new(VMAP + n * PAGE)
}

pub(super) fn range(start: Va, count: u64) -> Result<Pages, Wrong> {
    Pages::new(start, count).map_err(text)
}

pub(super) fn text(error: Error) -> Wrong {
    format!("tables: {error}")
}

/// What page `n` holds.
pub(super) fn value(n: u64) -> u64 {
    0x1000_0000 + n
}

pub(super) fn take(kernel: &Kernel, count: usize) -> Result<Vec<u64>, Wrong> {
    let frames: Option<Vec<u64>> = (0..count).map(|_| kernel.alloc()).collect();
    frames.ok_or_else(|| "out of frames".into())
}

/// Links the tables that a page needs.
pub(super) fn reserve(kernel: &Kernel, va: Va) -> Outcome {
    kernel.space().reserve(range(va, 1)?).map_err(text)
}

pub(super) fn give(kernel: &Kernel, frames: Vec<u64>) {
    for frame in frames {
        kernel.free(frame);
    }
}

pub(super) fn as_frames(frames: &[u64]) -> Vec<Frame> {
    frames.iter().copied().map(frame_at).collect()
}

pub(super) fn map(kernel: &Kernel, va: Va, frame: u64) -> Outcome {
    let mapped = kernel.space().map_page(va, frame_at(frame), Prot::RW);
    mapped.map_err(text)
}

/// Unmaps and completes.
pub(super) fn unmap(kernel: &Kernel, pages: Pages) -> Outcome {
    let space = kernel.space();
    let mut gather = space.gather(());
    space.unmap(pages, &mut gather).map_err(text)?;
    let _ = gather.finish();
    Ok(())
}

/// Writes to a page and reads it back.
pub(super) fn write_and_read(kernel: &Kernel, n: u64) -> Outcome {
    kernel.put(page(n), value(n))?;
    kernel.holds(page(n), value(n))
}

/// Runs `work` as another core's task that was sent a message.
pub(super) fn on<R>(kernel: &Kernel, core: usize, work: impl FnOnce() -> R) -> R {
    let here = kernel.core.replace(core);
    if here != core {
        // Who has read the message has seen what was stored before it.
        kernel.machine.released(here);
    }
    kernel.masked.set(kernel.masked.get() + 1);
    let result = work();
    kernel.masked.set(kernel.masked.get() - 1);
    kernel.core.set(here);
    result
}

/// That nobody reaches the page any more, on any core.
pub(super) fn gone(kernel: &Kernel, va: Va) -> Outcome {
    for core in [kernel.core.get(), 1, 2] {
        on(kernel, core, || kernel.probe(va, AccessKind::Read))?;
    }
    Ok(())
}

/// A store of another core that may land or fault: it does not know what happens to the page.
pub(super) fn unaware_store(kernel: &Kernel, va: Va) {
    let _ = kernel.machine.write(1, va.raw(), 0xbad);
}

/// Fills a frame through the linear map.
pub(super) fn fill(kernel: &Kernel, frame: u64, value: u64) -> Outcome {
    kernel.put(linear(frame), value)
}
