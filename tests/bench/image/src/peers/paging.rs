//! `aarch64-paging`: `Mapping` over a translation of one's own, marked active.
//!
//! `map_range` maps a run, and unmaps, as the crate documents it: it frees the tables of whole 2 MiB then, and still takes fewer
//! instructions than an unmap by `modify_range`. A single page is mapped and protected by `map_range` too; lists, and permissions of
//! pages that are no run, are `modify_range`'s: one call, where `map_range` would take one for each page.

use core::hint::black_box;
use core::ptr::NonNull;

use aarch64_paging::descriptor::{El1Attributes, PhysicalAddress, UpdatableDescriptor};
use aarch64_paging::paging::{Constraints, El1And0, MemoryRegion, PageTable, Translation, VaRange};
use aarch64_paging::{MapError, Mapping};

use super::{ASID, BASE, free_table, linear, new_table, pages, run, with_root};
use crate::checks;
use crate::ground::{self, Frames};
use crate::measure::{Bench, Failure, Who, ensure};

/// Tables from the kernel's frames.
struct Kernel;

impl Translation<El1Attributes> for Kernel {
    fn allocate_table(&mut self) -> (NonNull<PageTable<El1Attributes>>, PhysicalAddress) {
        // The trait has no way to fail.
        let pa = new_table().expect("a frame for a table of aarch64-paging's");
        (
            self.physical_to_virtual(PhysicalAddress(pa as usize)),
            PhysicalAddress(pa as usize),
        )
    }

    unsafe fn deallocate_table(&mut self, page_table: NonNull<PageTable<El1Attributes>>) {
        let pa = page_table.as_ptr() as u64 - linear(0);
        // SAFETY: from `allocate_table`, once, and nothing leads to it: the caller's promise.
        unsafe { free_table(pa) };
    }

    fn physical_to_virtual(&self, pa: PhysicalAddress) -> NonNull<PageTable<El1Attributes>> {
        let address = linear(pa.0 as u64) as *mut PageTable<El1Attributes>;
        NonNull::new(address).expect("the linear map is in the upper half, far from 0")
    }
}

type Peer = Mapping<Kernel, El1And0>;
type Descriptor<'a> = UpdatableDescriptor<'a, El1Attributes>;

const READ_WRITE: El1Attributes = El1Attributes::VALID
    .union(El1Attributes::ATTRIBUTE_INDEX_1)
    .union(El1Attributes::INNER_SHAREABLE)
    .union(El1Attributes::ACCESSED)
    .union(El1Attributes::NON_GLOBAL)
    .union(El1Attributes::PXN)
    .union(El1Attributes::UXN);
const READ_ONLY: El1Attributes = READ_WRITE.union(El1Attributes::READ_ONLY);
/// Pages only, as the others.
const PAGES: Constraints = Constraints::NO_BLOCK_MAPPINGS.union(Constraints::NO_CONTIGUOUS_HINT);

pub fn all(bench: &mut Bench, n: u64, frames: &Frames) -> Result<(), Failure> {
    let regime = El1And0;
    let mut peer =
        Peer::with_asid_and_va_range(Kernel, usize::from(ASID.0), 0, regime, VaRange::Lower);
    let region = region(n);
    link(&mut peer, &region)?;
    let root = peer.root_address().0 as u64;
    peer.mark_active();
    let result = with_root(root, || rows(bench, n, frames, &mut peer, &region));
    peer.mark_inactive();
    result?
}

fn region(n: u64) -> MemoryRegion {
    MemoryRegion::new(BASE as usize, (BASE + 4096 * n) as usize)
}

/// Links the tables of a region, and leaves them empty.
fn link(peer: &mut Peer, region: &MemoryRegion) -> Result<(), Failure> {
    let linked = peer.map_range(region, PhysicalAddress(run()), READ_ONLY, PAGES);
    let cleared = linked.and_then(|()| clear(peer, region));
    ensure!(cleared.is_ok(), "aarch64-paging: {cleared:?}");
    Ok(())
}

fn clear(peer: &mut Peer, region: &MemoryRegion) -> Result<(), MapError> {
    peer.modify_range(region, &|_: &MemoryRegion, entry: &mut Descriptor<'_>| {
        entry.set(PhysicalAddress(0), El1Attributes::empty())
    })
}

fn rows(
    bench: &mut Bench,
    n: u64,
    frames: &Frames,
    peer: &mut Peer,
    region: &MemoryRegion,
) -> Result<(), Failure> {
    let pages = pages(n)?;
    let mapped = bench.row("map-run", Who::Paging, n, || {
        peer.map_range(black_box(region), PhysicalAddress(run()), READ_ONLY, PAGES)
    })?;
    ensure!(mapped.is_ok(), "aarch64-paging: {mapped:?}");
    checks::mapped(pages, ground::of_run, false, "aarch64-paging's map-run")?;
    let unmapped = bench.row("unmap", Who::Paging, n, || {
        let none = El1Attributes::empty();
        peer.map_range(
            black_box(region),
            PhysicalAddress(0),
            none,
            Constraints::empty(),
        )
    })?;
    ensure!(unmapped.is_ok(), "aarch64-paging: {unmapped:?}");
    checks::unmapped(pages, "aarch64-paging's unmap")?;
    link(peer, region)?;
    list(bench, n, frames, peer, region)?;
    protect(bench, n, frames, peer, region)?;
    // Another address for a live descriptor: its check for break-before-make refuses it.
    let replaced = peer.map_range(region, PhysicalAddress(run()), READ_WRITE, PAGES);
    match replaced {
        Err(MapError::BreakBeforeMakeViolation(_)) => {
            bench.refused("replace", Who::Paging, n, "BreakBeforeMakeViolation")?;
        }
        _ => {
            return Err(Failure(alloc::format!(
                "aarch64-paging replaces what is live, or fails otherwise: {replaced:?}"
            )));
        }
    }
    let cleared = clear(peer, region);
    ensure!(cleared.is_ok(), "aarch64-paging: {cleared:?}");
    checks::unmapped(pages, "aarch64-paging's end")
}

fn list(
    bench: &mut Bench,
    n: u64,
    frames: &Frames,
    peer: &mut Peer,
    region: &MemoryRegion,
) -> Result<(), Failure> {
    let mapped = bench.row("map-list", Who::Paging, n, || {
        let list = black_box(&*frames.list);
        if let [frame] = list {
            let pa = PhysicalAddress(frame.pa().raw() as usize);
            return peer.map_range(black_box(region), pa, READ_WRITE, PAGES);
        }
        peer.modify_range(
            black_box(region),
            &|part: &MemoryRegion, entry: &mut Descriptor<'_>| {
                let frame = list
                    .get((part.start().0 - BASE as usize) / 4096)
                    .ok_or(())?;
                let pa = PhysicalAddress(frame.pa().raw() as usize);
                entry.set(pa, READ_WRITE | El1Attributes::TABLE_OR_PAGE)
            },
        )
    })?;
    ensure!(mapped.is_ok(), "aarch64-paging: {mapped:?}");
    let of = |index: u64| frames.list[index as usize];
    checks::mapped(pages(n)?, of, true, "aarch64-paging's map-list")
}

fn protect(
    bench: &mut Bench,
    n: u64,
    frames: &Frames,
    peer: &mut Peer,
    region: &MemoryRegion,
) -> Result<(), Failure> {
    let (none, bit) = (El1Attributes::empty(), El1Attributes::READ_ONLY);
    for (name, set, clear) in [("protect-ro", bit, none), ("protect-back", none, bit)] {
        let changed = bench.row(name, Who::Paging, n, || {
            let (set, clear) = black_box((set, clear));
            if let [frame] = black_box(&*frames.list) {
                let pa = PhysicalAddress(frame.pa().raw() as usize);
                let flags = (READ_WRITE | set) & !clear;
                return peer.map_range(black_box(region), pa, flags, PAGES);
            }
            peer.modify_range(
                black_box(region),
                &|_: &MemoryRegion, entry: &mut Descriptor<'_>| entry.modify_flags(set, clear),
            )
        })?;
        ensure!(changed.is_ok(), "aarch64-paging: {name}: {changed:?}");
        let of = |index: u64| frames.list[index as usize];
        checks::mapped(pages(n)?, of, set == none, name)?;
    }
    Ok(())
}
