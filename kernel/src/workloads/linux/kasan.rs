//! `kasan`: kernel entries are mapped in a section that is paused to allocate and to free.
//!
//! KASAN does so for a shadow page: it leaves the mode, allocates, enters again, and stores the entry. The freed page is the one of the
//! round before. With the debug page allocator both are sections inside a pause: `v3` must report each call, and `linux7` none. The
//! frame is used at once, in the pause, where every store pays.

use lazy_mmu::Policy;
use stage1_paging::{Access, Prot};

use crate::mem::frames::{self, Owned};
use crate::mode;
use crate::observe::access;
use crate::task;
use crate::workloads::measure::Measured;
use crate::workloads::memory::Frames;
use crate::workloads::pages::{signature, take_area, unmap_range};
use crate::workloads::{Failure, check, failure};

/// Maps, pauses after every `k`, checks.
pub(in crate::workloads) fn run(row: &mut Measured) -> Result<(), Failure> {
    let size = row.size;
    let mut frames = Frames::default();
    let area = take_area(size.pages as u64)?;
    let range = area.range();
    row.link_tables(range)?;
    frames.scatter(size.pages, size.seed)?;
    let numbers = frames.numbers();

    let before = mode::warnings();
    mode::expect_warnings(row.policy == Policy::V3);
    let mut shadow = None;
    let result = row.measured(|| {
        mode::section(|| -> Result<(), Failure> {
            for (index, page) in area.pages().chunks(1).enumerate() {
                range.map_page(page.start(), numbers[index], Prot::RW)?;
                if (index + 1).is_multiple_of(size.k) {
                    paused(|| next_shadow(&mut shadow))?;
                }
            }
            Ok(())
        })
    });
    mode::expect_warnings(false);
    let had = shadow.map(frames::free).is_some();
    result?;
    check_warnings(row, mode::warnings() - before, had)?;

    for (index, page) in area.pages().chunks(1).enumerate() {
        let (va, word) = (page.start(), signature(index, 1));
        check::store(va, word)?;
        check::mapped(va, numbers[index], Access::ReadWrite, word)?;
    }
    unmap_range(range)
}

fn paused<R>(work: impl FnOnce() -> R) -> R {
    mode::lazy_mmu_mode_pause();
    let result = work();
    mode::lazy_mmu_mode_resume();
    result
}

/// Allocates a frame, uses it, and frees the one before.
fn next_shadow(shadow: &mut Option<Owned>) -> Result<(), Failure> {
    let frame = frames::alloc().ok_or_else(|| failure!("no frame left inside the pause"))?;
    if task::current().mmu.is_pending() {
        let frame_number = frame.frame();
        frames::free(frame);
        return Err(failure!(
            "{frame_number:?} is used while a pair is pending: the pause has not paid"
        ));
    }
    access::fill(frame.frame());
    frame.words()[0].store(signature(0, 3), core::sync::atomic::Ordering::Relaxed);
    if let Some(before) = shadow.replace(frame) {
        frames::free(before);
    }
    Ok(())
}

/// An enable and a disable for each allocation, and for each freeing but the last, which is outside: `v3` reports them all.
fn check_warnings(row: &Measured, warned: u64, had: bool) -> Result<(), Failure> {
    let pauses = (row.size.pages / row.size.k) as u64;
    let calls = 2 * pauses + 2 * (pauses - u64::from(had));
    let expected = match row.policy {
        Policy::V3 if frames::is_debug() => calls,
        _ => 0,
    };
    if warned == expected {
        return Ok(());
    }
    Err(failure!(
        "{warned} warnings for {pauses} pauses with an allocation, {expected} expected"
    ))
}
