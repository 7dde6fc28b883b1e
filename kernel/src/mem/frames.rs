//! Frames: `buddy_system_allocator`'s lists, and the debug page allocator on top of them.
//!
//! The lists lie in the kernel heap, not in the frames, so a free frame need not be mapped. With
//! `debug=on` it is not: freeing a frame unmaps it from the linear map, allocating it maps it
//! again, as Linux's DEBUG_PAGEALLOC does, so that a use after free faults where it happens. Either
//! is page-table work of its own, and therefore a lazy-MMU section: *this* is where the mode nests
//! when the caller is in a section already. Nobody else in this kernel opens a section on a
//! caller's behalf.
//!
//! Either keeps who allocated and freed each frame last, and where: a frame that is freed twice, or is not the allocator's,
//! stops the kernel with both names, and so does the report of a use after free.
//!
//! With `poison=on` a freed frame is filled with a pattern first, and the pattern is checked when
//! it is allocated: what is caught is a store through another mapping than the linear one.

use core::ops::Range;
use core::panic::Location;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use alloc::format;
use alloc::vec::Vec;
use lazy_mmu_boot::LINEAR_BASE;
use spin::once::Once;
use stage1_hw::Page;
use stage1_paging::{Done, ENTRIES, Frame, Mapping, Pa, Pages, Prot, Sink, Va};

use mmu_check::What;
use mmu_check::owners::{Owner, Owners};

use super::kernel_space;
use super::lists::Lists;
use crate::base::layout::{self, PAGE_SIZE};
use crate::base::{Lock, Yield};
use crate::machine::Region;
use crate::observe::{access, rules, seam};
use crate::{mode, observe, task};

static LISTS: Lock<Lists> = Lock::new(Lists::new());
static DEBUG: AtomicBool = AtomicBool::new(false);
static POISON: AtomicBool = AtomicBool::new(false);
/// Who had each frame last, under `debug=on` or `poison=on`.
static OWNERS: Once<Lock<Owners>, Yield> = Once::new();

/// What a free frame holds under `poison=on`: Linux's PAGE_POISON.
const POISON_WORD: u64 = 0xAAAA_AAAA_AAAA_AAAA;

/// A frame that is allocated, mapped read-write in the linear map, and the holder's alone.
#[derive(PartialEq, Eq, Debug)]
#[must_use = "a frame that is dropped is lost: free it"]
pub struct Owned(Frame);

impl Owned {
    /// Which frame.
    pub fn frame(&self) -> Frame {
        self.0
    }

    /// Its number among all frames, as the lists have it.
    fn number(&self) -> usize {
        (self.0.pa().raw() / PAGE_SIZE) as usize
    }

    /// Gives up the proof: the frame belongs to a table from now on, or is mapped where its owner
    /// finds it again.
    pub fn into_frame(self) -> Frame {
        self.0
    }

    /// The way back from [`Owned::into_frame`].
    ///
    /// # Safety
    /// The frame came from `into_frame`, nobody else took it back, and nothing maps it but the
    /// linear map.
    pub unsafe fn from_frame(frame: Frame) -> Self {
        Self(frame)
    }

    /// The frame's words, through the linear map.
    pub fn words(&self) -> &[AtomicU64; ENTRIES] {
        let page = layout::linear(self.0.pa()).raw() as *const Page;
        // SAFETY: 1. The frame is mapped, page aligned, and allocated for as long as `self` lives.
        // 2. It may be mapped elsewhere too, by its holder: every access is atomic, so the
        // two do not race in the language's sense.
        unsafe { &(*page).0 }
    }

    /// Fills it with the poison.
    fn poison(&self) {
        access::fill(self.0);
        let words = self.words().iter();
        words.for_each(|word| word.store(POISON_WORD, Relaxed));
    }
}

/// Adds the whole frames of a region to the lists. They are mapped in the linear map.
///
/// # Safety
/// The region is RAM that nothing uses.
pub(super) unsafe fn add(ram: Range<Pa>) {
    let first = ram.start.raw().div_ceil(PAGE_SIZE) as usize;
    let end = (ram.end.raw() / PAGE_SIZE) as usize;
    if first < end {
        LISTS.lock().give(first..end);
    }
}

/// How many frames are free.
pub fn free_count() -> u64 {
    LISTS.lock().count
}

/// Whether the debug page allocator is on.
pub fn is_debug() -> bool {
    DEBUG.load(Relaxed)
}

/// Turns the debug page allocator, or the poison, on: every frame that is free so far goes through
/// the freeing of that kind.
///
/// Once, at boot, while the lists hold only what the early tables reach, and before anything was
/// freed.
pub(super) fn start_debugging(ram: Region, debug: bool, poison: bool) {
    OWNERS.call_once(|| Lock::new(Owners::new(ram.start.raw(), ram.bytes)));
    let all: Vec<Owned> = core::iter::from_fn(alloc).collect();
    DEBUG.store(debug, Relaxed);
    POISON.store(poison, Relaxed);
    free_all(all);
}

/// As [`add`], and treats the frames as if they had been freed: at once, since nobody has touched
/// them.
///
/// # Safety
/// As [`add`].
pub(super) unsafe fn add_fresh(ram: Range<Pa>) {
    let count = (ram.end.raw() - ram.start.raw()) / PAGE_SIZE;
    let frames = (0..count).filter_map(|n| Frame::containing(ram.start).checked_add(n));
    if POISON.load(Relaxed) {
        frames.for_each(|frame| Owned(frame).poison());
    }
    if DEBUG.load(Relaxed) {
        // The rules remember every descriptor until its invalidation: then a table's worth at a time.
        let at_once = if rules::is_on() { 512 } else { u64::MAX };
        let parts = in_linear_map(ram.start, count).chunks(at_once);
        parts.for_each(|part| unmap_linear([part]));
    }
    // SAFETY: the caller's promise. Mapped it is only when allocated, which maps it.
    unsafe { add(ram) };
}

/// Allocates a frame; its content is unspecified.
///
/// With `debug=on` its linear mapping is published when this returns, whatever section the caller
/// is in.
#[track_caller]
pub fn alloc() -> Option<Owned> {
    if seam::refuses_frame(Location::caller()) {
        return None;
    }
    // The guard masks interrupts; the lists may take nodes from the heap under it, which takes no
    // frames.
    let number = LISTS.lock().take()?;
    let frame = Owned(Frame::new(Pa::new(number as u64 * PAGE_SIZE)?)?);
    let pa = frame.0.pa().raw();
    observe::report(|| What::Alloc { frame: pa });
    if DEBUG.load(Relaxed) {
        // One valid last-level descriptor stored where an invalid one was: owes a pair, and no invalidation.
        let map = || kernel_space().map_page(layout::linear(frame.0.pa()), frame.0, Prot::RW);
        mode::reenter(|| mode::published(map)).expect("a frame of the lists is allocated twice");
    }
    if POISON.load(Relaxed) {
        check_poison(&frame);
    }
    let (task, site) = (task::current().id, Location::caller());
    owners(|owners| owners.allocated(pa, task, site));
    Some(frame)
}

/// Does `f` with what is known of the frames' owners, if it is.
fn owners<R>(f: impl FnOnce(&mut Owners) -> R) -> Option<R> {
    OWNERS.get().map(|owners| f(&mut owners.lock()))
}

/// Who had the frame last that the linear map has at `va`, for a report of the kernel's end.
///
/// # Safety
/// The kernel is stopping: what held the lock does not run again.
pub(crate) unsafe fn last_owner(va: Va) -> Option<Owner> {
    let pa = va.raw().checked_sub(LINEAR_BASE)?;
    // SAFETY: the caller's promise.
    unsafe { OWNERS.get()?.seize() }.of(pa)
}

/// Takes a run of frames from their owners, who free them at `site`.
///
/// # Panics
/// One is nobody's.
fn disown(run: &[Owned], site: &'static Location<'static>) {
    let task = task::current().id;
    let wrong = owners(|owners| {
        let mut numbers = run.iter().map(|frame| frame.0.pa());
        numbers.find_map(|pa| Some((pa, owners.freed(pa.raw(), task, site).err()?)))
    });
    if let Some((pa, why)) = wrong.flatten() {
        panic!("debug page allocator: frame {pa} {why}, and now by task {task} at {site}");
    }
}

/// Frees a frame. Whoever mapped it elsewhere has unmapped it, and completed the invalidation.
#[track_caller]
pub fn free(frame: Owned) {
    release(&mut [frame], Location::caller());
}

/// Frees many frames, with one section and one invalidation for all of their linear mappings.
///
/// Freeing them one by one costs two DSBs, a TLBI and an ISB for each.
#[track_caller]
pub fn free_all(frames: impl IntoIterator<Item = Owned>) {
    let mut frames: Vec<_> = frames.into_iter().collect();
    release(&mut frames, Location::caller());
}

/// Frees them run by run: neighbours are unmapped together, and go to the lists as blocks.
///
/// In ascending order, so that neighbours meet, and the invalidation reaches little beyond what was unmapped.
fn release(frames: &mut [Owned], site: &'static Location<'static>) {
    frames.sort_unstable_by_key(Owned::frame);
    runs(frames).for_each(|run| disown(run, site));
    if POISON.load(Relaxed) {
        frames.iter().for_each(Owned::poison);
    }
    if DEBUG.load(Relaxed) && !frames.is_empty() {
        let parts = runs(frames).map(|run| in_linear_map(run[0].0.pa(), run.len() as u64));
        mode::reenter(|| mode::section(|| unmap_linear(parts)));
    }
    for run in runs(frames) {
        if observe::is_watched() {
            let all = run.iter().map(|frame| frame.0.pa().raw());
            all.for_each(|frame| observe::report(|| What::Free { frame }));
        }
        let first = run[0].number();
        LISTS.lock().give(first..first + run.len());
    }
}

/// The neighbours among frames in ascending order, together.
fn runs(frames: &[Owned]) -> impl Iterator<Item = &[Owned]> {
    frames.chunk_by(|low, high| low.0.pa().raw() + PAGE_SIZE == high.0.pa().raw())
}

fn in_linear_map(first: Pa, count: u64) -> Pages {
    Pages::new(layout::linear(first), count).expect("it has all of RAM")
}

/// Clears descriptors: owes no pair, but every translation must be gone before the frames are
/// anybody else's.
fn unmap_linear(parts: impl IntoIterator<Item = Pages>) {
    let space = kernel_space();
    let mut gather = space.gather(());
    for pages in parts {
        let unmapped = space.unmap(pages, &mut gather);
        assert_eq!(unmapped, Ok(pages.count()), "{pages:?} of the linear map");
    }
    let _ = gather.finish();
}

fn check_poison(frame: &Owned) {
    access::inspect(frame.0);
    for (index, word) in frame.words().iter().enumerate() {
        let found = word.load(Relaxed);
        if found != POISON_WORD {
            let pa = frame.0.pa();
            let last = owners(|owners| owners.of(pa.raw())).flatten();
            let last = last.map_or("never allocated".into(), |owner| format!("{owner}"));
            panic!(
                "poison: word {index} of free frame {pa} was overwritten with {found:#x}; it was {last}"
            );
        }
    }
}

/// Frames of mappings that owned them, zapped and waiting for the invalidation.
///
/// What Linux's `mmu_gather` keeps in its batches.
pub struct Zapped(Vec<Owned>);

impl Zapped {
    /// With room for that many frames, so that a zap allocates nothing of its own.
    ///
    /// # Safety
    /// Whatever is parked in it is a mapping that was removed, each once; its frame came from
    /// [`Owned::into_frame`], and nothing else maps it but the linear map.
    pub unsafe fn with_capacity(frames: usize) -> Self {
        Self(Vec::with_capacity(frames))
    }

    /// Frees them, which the completed invalidation allows. Returns how many there were.
    #[track_caller]
    pub fn free(mut self, _done: &Done) -> usize {
        let frames = core::mem::take(&mut self.0);
        let count = frames.len();
        free_all(frames);
        count
    }
}

/// Where a zap ends early as well: its gather drops it only once it has paid.
impl Drop for Zapped {
    fn drop(&mut self) {
        free_all(core::mem::take(&mut self.0));
    }
}

impl Sink for Zapped {
    fn park(&mut self, mapping: Mapping) {
        // SAFETY: `with_capacity`'s caller promised that the mapping owned the frame, and that it is gone.
        self.0.push(unsafe { Owned::from_frame(mapping.frame()) });
    }
}
