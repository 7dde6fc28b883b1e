//! What must not grow with what is there already: with the depth of sections, with the areas that are alive.

use alloc::vec::Vec;
use core::hint::black_box;

use lazy_mmu_kernel::mem::areas::Area;
use lazy_mmu_kernel::mode::{lazy_mmu_mode_disable, lazy_mmu_mode_enable};

use crate::measure::{Bench, Failure, Who, ensure};

/// An inner section at `n` sections deep: up to the 255th.
pub fn depths(bench: &mut Bench) -> Result<(), Failure> {
    for depth in [1, 2, 16, 64, 128, 254] {
        (0..depth).for_each(|_| lazy_mmu_mode_enable());
        let row = bench.row("nested-at-depth", Who::Ours, depth, || {
            lazy_mmu_mode_enable();
            lazy_mmu_mode_disable();
        });
        (0..depth).for_each(|_| lazy_mmu_mode_disable());
        row?;
    }
    Ok(())
}

/// An area taken and given back while `n` others are alive; and with as many holes that are too small for it.
pub fn areas(bench: &mut Bench) -> Result<(), Failure> {
    let mut alive: Vec<Option<Area>> = Vec::with_capacity(2000);
    for count in [1_usize, 10, 100, 1000] {
        while alive.len() < count {
            alive.push(Some(area(1)?));
        }
        one(bench, "area-take", "area-drop", count as u64, 1)?;
    }
    while alive.len() < 2000 {
        alive.push(Some(area(1)?));
    }
    alive.iter_mut().step_by(2).for_each(|area| *area = None);
    one(
        bench,
        "area-take-past-holes",
        "area-drop-past-holes",
        1000,
        2,
    )
}

fn area(pages: u64) -> Result<Area, Failure> {
    Area::take(pages).ok_or_else(|| Failure("the vmap area is full".into()))
}

fn one(
    bench: &mut Bench,
    take: &'static str,
    give: &'static str,
    count: u64,
    pages: u64,
) -> Result<(), Failure> {
    let area = bench.row(take, Who::Ours, count, || Area::take(black_box(pages)))?;
    ensure!(area.is_some(), "{take}: the vmap area is full");
    bench.row(give, Who::Ours, count, || drop(area))
}
