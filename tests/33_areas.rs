//! Areas of the vmap area: disjoint, guarded, reused, joined again.
//!
//! @boot
#![no_std]
#![no_main]

extern crate alloc;
mod common;

use alloc::vec::Vec;

use common::ensure;
use lazy_mmu_kernel::Boot;
use lazy_mmu_kernel::exit::Verdict;
use lazy_mmu_kernel::mem::areas::Area;
use lazy_mmu_kernel::mem::layout;

lazy_mmu_kernel::entry!(main);

fn main(_: &Boot) -> Verdict {
    let whole = layout::VMAP_SIZE / layout::PAGE_SIZE;
    ensure!(
        Area::take(whole).is_none(),
        "there is no room for the guard"
    );
    ensure!(Area::take(u64::MAX).is_none(), "no overflow");
    let mut areas: Vec<Area> = [1, 5, 512, 3].into_iter().filter_map(Area::take).collect();
    ensure!(areas.len() == 4, "{}", areas.len());
    for (index, area) in areas.iter().enumerate() {
        for other in &areas[index + 1..] {
            ensure!(!area.pages().overlaps(other.pages()), "{area:?} {other:?}");
            let apart = area
                .pages()
                .start()
                .raw()
                .abs_diff(other.pages().start().raw())
                / layout::PAGE_SIZE;
            let low = if area.pages().start() < other.pages().start() {
                area
            } else {
                other
            };
            ensure!(
                apart > low.pages().count(),
                "{area:?} and {other:?} have no guard between them"
            );
        }
    }
    // Given back in an order that joins downwards, upwards, and both ways.
    for index in [1, 2, 0, 0] {
        areas.remove(index);
    }
    let all = Area::take(whole - 1);
    ensure!(all.is_some(), "what was given back is one range again");
    Verdict::Good
}
