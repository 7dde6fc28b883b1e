//! `run=linux`: what Linux itself does with page tables, whole ranges at a time. Each is a row beside Linux's own figures.
//!
//! The other workloads go entry by entry and re-enter the allocator after every `k`, because nesting shows in that. Here an allocation
//! comes where Linux has one: a batch page of a zap, a table of a new place, a shadow page of KASAN.
//!
//! | file | runs | in Linux |
//! |---|---|---|
//! | `munmap`, `vmas`, `batches` | `munmap` | `unmap_vmas`, `tlb_remove_page`, `tlb_flush_mmu` |
//! | `vmap` | `vmap-range`, `vunmap` | `vmap_pages_range`, `vunmap_range`, `purge_vmap_area_lazy` |
//! | `mremap` | `mremap-kernel`, `mremap-task` | `move_page_tables` |
//! | `mprotect` | `mprotect` | `change_protection` |
//! | `alias` | `protect-alias` | `change_memory_common`, which `set_memory_ro` calls |
//! | `kasan` | `kasan` | `kasan_populate_vmalloc_pte`, `kasan_depopulate_vmalloc_pte` |
//! | `entries`, `loops` | `entries` | eight loops of `set_pte` |

pub(super) mod alias;
mod batches;
pub(super) mod entries;
pub(super) mod kasan;
mod loops;
pub(super) mod mprotect;
pub(super) mod mremap;
pub(super) mod munmap;
pub(super) mod vmap;
mod vmas;

use stage1_paging::Pages;

/// `pages` in pieces of `step=`: in one, if that is 0.
fn steps(pages: Pages, step: usize) -> impl Iterator<Item = Pages> {
    let at_once = if step == 0 {
        pages.count().max(1)
    } else {
        step as u64
    };
    pages.chunks(at_once)
}
