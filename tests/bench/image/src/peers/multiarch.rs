//! `page_table_multiarch` and its successor `ax-page-table-multiarch`: the cursor of each, with its `*_region` methods.
//!
//! Their interfaces are the same, and so are the rows: one macro makes both.

use core::hint::black_box;

use super::{BASE, free_table, linear, new_table, pages, run, with_root};
use crate::checks;
use crate::ground::{self, Frames};
use crate::measure::{Bench, Failure, Who, ensure};

/// The rows of both, of `n` pages.
pub fn all(bench: &mut Bench, n: u64, frames: &Frames) -> Result<(), Failure> {
    first::all(bench, n, frames)?;
    successor::all(bench, n, frames)
}

macro_rules! peer {
    ($module:ident, $who:expr, $crate_name:ident, $addresses:ident) => {
        mod $module {
            use super::*;
            use $addresses::{PhysAddr, VirtAddr};
            use $crate_name::{MappingFlags, PageSize, PagingHandler, aarch64::A64PageTable};

            const WHO: Who = $who;
            const READ_ONLY: MappingFlags = MappingFlags::READ;
            const READ_WRITE: MappingFlags = MappingFlags::READ.union(MappingFlags::WRITE);

            /// Tables from the kernel's frames.
            struct Kernel;

            impl PagingHandler for Kernel {
                fn alloc_frames(num: usize, _align: usize) -> Option<PhysAddr> {
                    // One at a time is all that the tables of this architecture take.
                    let pa = (num == 1).then(new_table)??;
                    Some(PhysAddr::from(pa as usize))
                }

                fn dealloc_frames(pa: PhysAddr, _num: usize) {
                    // SAFETY: the crate gives back what `alloc_frames` gave it, once, when it drops its tables: they are out of
                    // TTBR0 then, and the TLB has nothing of them.
                    unsafe { free_table(pa.as_usize() as u64) };
                }

                fn phys_to_virt(pa: PhysAddr) -> VirtAddr {
                    VirtAddr::from(linear(pa.as_usize() as u64) as usize)
                }
            }

            type Peer = A64PageTable<Kernel>;

            pub fn all(bench: &mut Bench, n: u64, frames: &Frames) -> Result<(), Failure> {
                let peer = Peer::try_new();
                let mut peer = peer.map_err(|error| Failure(alloc::format!("{error:?}")))?;
                let (base, size) = (VirtAddr::from(BASE as usize), 4096 * n as usize);
                // Links the tables.
                let mut cursor = peer.cursor();
                let to = |va: VirtAddr| PhysAddr::from(run() + va.as_usize() - BASE as usize);
                let linked = cursor
                    .map_region(base, to, size, READ_ONLY, false)
                    .and_then(|()| cursor.unmap_region(base, size));
                drop(cursor);
                ensure!(linked.is_ok(), "{}: {linked:?}", WHO.name());
                let root = peer.root_paddr().as_usize() as u64;
                with_root(root, || rows(bench, n, frames, &mut peer))?
            }

            fn rows(
                bench: &mut Bench,
                n: u64,
                frames: &Frames,
                peer: &mut Peer,
            ) -> Result<(), Failure> {
                let pages = pages(n)?;
                let (base, size) = (VirtAddr::from(BASE as usize), 4096 * n as usize);
                let mapped = bench.row("map-run", WHO, n, || {
                    let to = |va: VirtAddr| PhysAddr::from(run() + va.as_usize() - BASE as usize);
                    peer.cursor()
                        .map_region(black_box(base), to, black_box(size), READ_ONLY, false)
                })?;
                ensure!(mapped.is_ok(), "{}: {mapped:?}", WHO.name());
                checks::mapped(pages, ground::of_run, false, WHO.name())?;
                let unmapped = bench.row("unmap", WHO, n, || {
                    peer.cursor().unmap_region(black_box(base), black_box(size))
                })?;
                ensure!(unmapped.is_ok(), "{}: {unmapped:?}", WHO.name());
                checks::unmapped(pages, WHO.name())?;

                let of = |index: u64| frames.list[index as usize];
                let mapped = bench.row("map-list", WHO, n, || {
                    let list = black_box(&*frames.list);
                    let to = |va: VirtAddr| {
                        let frame = list[(va.as_usize() - BASE as usize) / 4096];
                        PhysAddr::from(frame.pa().raw() as usize)
                    };
                    peer.cursor().map_region(
                        black_box(base),
                        to,
                        black_box(size),
                        READ_WRITE,
                        false,
                    )
                })?;
                ensure!(mapped.is_ok(), "{}: {mapped:?}", WHO.name());
                checks::mapped(pages, of, true, WHO.name())?;
                for (name, flags) in [("protect-ro", READ_ONLY), ("protect-back", READ_WRITE)] {
                    let changed = bench.row(name, WHO, n, || {
                        let flags = black_box(flags);
                        peer.cursor()
                            .protect_region(black_box(base), black_box(size), flags)
                    })?;
                    ensure!(changed.is_ok(), "{}: {name}: {changed:?}", WHO.name());
                    checks::mapped(pages, of, flags == READ_WRITE, WHO.name())?;
                }
                // There is no region for it: `remap` page by page, with one flush at the end.
                let replaced = bench.row("replace", WHO, n, || {
                    let mut cursor = peer.cursor();
                    let mut at = black_box(BASE) as usize;
                    for frame in black_box(&*frames.other) {
                        let pa = PhysAddr::from(frame.pa().raw() as usize);
                        let size = cursor.remap(VirtAddr::from(at), pa, READ_WRITE)?;
                        at += size as usize;
                    }
                    Ok::<usize, $crate_name::PagingError>(at)
                })?;
                let end = BASE as usize + size;
                ensure!(replaced == Ok(end), "{}: {replaced:?}", WHO.name());
                let other = |index: u64| frames.other[index as usize];
                checks::mapped(pages, other, true, WHO.name())?;
                let cleared = peer.cursor().unmap_region(base, size);
                ensure!(cleared.is_ok(), "{}: {cleared:?}", WHO.name());
                checks::unmapped(pages, WHO.name())
            }

            const _: () = assert!(PageSize::Size4K as usize == 4096);
        }
    };
}

peer!(first, Who::Multiarch, page_table_multiarch, memory_addr);
peer!(
    successor,
    Who::AxMultiarch,
    ax_page_table_multiarch,
    ax_memory_addr
);
