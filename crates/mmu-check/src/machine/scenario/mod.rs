//! Programs for the kernel on the machine. Each states what it relies on by using it: a wrong
//! answer ends it.

mod owners;
mod pages;
mod sections;

use alloc::format;
use alloc::vec::Vec;

use lazy_mmu::Policy;
use stage1_paging::{Error, Frame, Pages, Prot, Va};

use super::frames::{frame_at, linear};
use super::kernel::{Kernel, Wrong};
use crate::event::AccessKind;

/// What a program returns.
pub(super) type Outcome = Result<(), Wrong>;

/// A program.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    run: fn(&Kernel) -> Outcome,
}

/// All programs.
pub const ALL: [Scenario; 15] = [
    scenario("vmap", pages::vmap),
    scenario("zap", pages::zap),
    scenario("protect", pages::protect),
    scenario("replace", pages::replace),
    scenario("move", pages::moves),
    scenario("shared", pages::shared),
    scenario("tables", owners::tables),
    scenario("split", owners::split),
    scenario("spaces", owners::spaces),
    scenario("nest", sections::nest),
    scenario("tasks", sections::tasks),
    scenario("migrate", sections::migrate),
    scenario("pause", sections::pause),
    scenario("irq", sections::irq),
    scenario("immediate", sections::immediate),
];

const fn scenario(name: &'static str, run: fn(&Kernel) -> Outcome) -> Scenario {
    Scenario { name, run }
}

impl Scenario {
    /// Boots a kernel and runs the program on it.
    pub(super) fn run(&self, kernel: &Kernel) {
        kernel.boot();
        let prepared = prepare(kernel);
        for page in 0..12 {
            kernel.machine.watch(VMAP + page * PAGE);
        }
        kernel.booted();
        if let Err(wrong) = prepared.and_then(|()| (self.run)(kernel)) {
            kernel.note(wrong);
        }
    }
}

const PAGE: u64 = 4096;
/// Where programs map. Its last-level table is linked by whoever comes first.
pub(super) const VMAP: u64 = 0xffff_8000_0000_0000;
/// In the same table, core 2's.
const BESIDE: u64 = VMAP + 0x10_0000;
/// The interrupt handler's, with a table of its own.
const HANDLER: u64 = VMAP + 0x4000_0000;
/// A page that everybody may read.
const SHARED: u64 = VMAP + 0x4020_0000;
/// Where tables come and go, so that nobody else may be.
const OWN: u64 = VMAP + 0x8000_0000;
/// What the shared page holds.
const SHARED_VALUE: u64 = 0x5a5a;

/// The `n`th page of the programs' range.
fn page(n: u64) -> Va {
    Va::new(VMAP + n * PAGE)
}

fn range(start: Va, count: u64) -> Result<Pages, Wrong> {
    Pages::new(start, count).map_err(text)
}

fn text(error: Error) -> Wrong {
    format!("tables: {error}")
}

/// What page `n` holds.
fn value(n: u64) -> u64 {
    0x1000_0000 + n
}

fn take(kernel: &Kernel, count: usize) -> Result<Vec<u64>, Wrong> {
    let frames: Option<Vec<u64>> = (0..count).map(|_| kernel.alloc()).collect();
    frames.ok_or_else(|| "out of frames".into())
}

/// Links the tables that a page needs.
fn reserve(kernel: &Kernel, va: Va) -> Outcome {
    kernel.space().reserve(range(va, 1)?).map_err(text)
}

fn give(kernel: &Kernel, frames: Vec<u64>) {
    for frame in frames {
        kernel.free(frame);
    }
}

fn as_frames(frames: &[u64]) -> Vec<Frame> {
    frames.iter().copied().map(frame_at).collect()
}

fn map(kernel: &Kernel, va: Va, frame: u64) -> Outcome {
    let mapped = kernel.space().map_page(va, frame_at(frame), Prot::RW);
    mapped.map_err(text)
}

/// Unmaps and completes.
fn unmap(kernel: &Kernel, pages: Pages) -> Outcome {
    let space = kernel.space();
    let mut gather = space.gather(());
    space.unmap(pages, &mut gather).map_err(text)?;
    let _ = gather.finish();
    Ok(())
}

/// Writes to a page and reads it back.
fn write_and_read(kernel: &Kernel, n: u64) -> Outcome {
    kernel.put(page(n), value(n))?;
    kernel.holds(page(n), value(n))
}

/// Runs `work` as another core's task that was sent a message.
fn on<R>(kernel: &Kernel, core: usize, work: impl FnOnce() -> R) -> R {
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
fn gone(kernel: &Kernel, va: Va) -> Outcome {
    for core in [kernel.core.get(), 1, 2] {
        on(kernel, core, || kernel.probe(va, AccessKind::Read))?;
    }
    Ok(())
}

/// A store of another core that may land or fault: nobody has told it what happens to the page.
fn unaware_store(kernel: &Kernel, va: Va) {
    let _ = kernel.machine.write(1, va.raw(), 0xbad);
}

/// What is there before a program begins: the shared page, and the handler's table.
fn prepare(kernel: &Kernel) -> Outcome {
    let frame = take(kernel, 1)?[0];
    map(kernel, Va::new(SHARED), frame)?;
    kernel.put(Va::new(SHARED), SHARED_VALUE)?;
    reserve(kernel, Va::new(HANDLER))?;
    for va in [BESIDE, HANDLER, SHARED, OWN, OWN + PAGE] {
        kernel.machine.watch(va);
    }
    Ok(())
}

/// The program of core 2.
pub(super) fn neighbour(kernel: &Kernel) -> Outcome {
    kernel.holds_shared(Va::new(SHARED), SHARED_VALUE)?;
    map_use_unmap(kernel, Va::new(BESIDE))
}

/// An interrupt handler: it may call the allocator, and what it maps it uses at once.
pub(super) fn handler(kernel: &Kernel) -> Outcome {
    if kernel.setup.policy == Policy::Linux7 {
        return kernel.section(|| map_use_unmap(kernel, Va::new(HANDLER)));
    }
    map_use_unmap(kernel, Va::new(HANDLER))
}

fn map_use_unmap(kernel: &Kernel, va: Va) -> Outcome {
    let frames = take(kernel, 1)?;
    map(kernel, va, frames[0])?;
    // An interrupt handler's sections defer nothing; a task's outside of any do not either.
    kernel.put(va, 0x77)?;
    kernel.holds(va, 0x77)?;
    unmap(kernel, range(va, 1)?)?;
    kernel.probe(va, AccessKind::Write)?;
    give(kernel, frames);
    Ok(())
}

/// Fills a frame through the linear map.
fn fill(kernel: &Kernel, frame: u64, value: u64) -> Outcome {
    kernel.put(linear(frame), value)
}
