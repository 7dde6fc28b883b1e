//! Floors: the least that an operation can be, as bare loops over words that lie like tables.
//!
//! In assembly, four to five instructions a page: no compiler makes wider stores, a `memset` or nothing of them, and none makes them
//! longer.

use alloc::vec::Vec;
use core::arch::asm;
use core::hint::black_box;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use lazy_mmu_kernel::mem::frames::{self, Owned};
use stage1_paging::{Desc, ENTRIES, Frame, Level, Prot};

use crate::ground::{self, Frames};
use crate::measure::{Bench, Failure, Who, ensure};

/// AP[2]: read-only.
const READ_ONLY: u64 = 1 << 7;

/// The floors of `n` pages.
pub fn all(bench: &mut Bench, n: u64, frames: &Frames) -> Result<(), Failure> {
    let tables: Option<Vec<Owned>> = (0..n.div_ceil(ENTRIES as u64))
        .map(|_| frames::alloc())
        .collect();
    let tables = tables.ok_or_else(|| Failure("no frames for floors".into()))?;
    // As much of each as has pages.
    let mut parts: Vec<&[AtomicU64]> = tables.iter().map(|table| &table.words()[..]).collect();
    if let Some(last) = parts.last_mut() {
        *last = &last[..(n as usize - 1) % ENTRIES + 1];
    }
    let result = rows(bench, n, &parts, frames);
    frames::free_all(tables);
    result
}

fn rows(bench: &mut Bench, n: u64, parts: &[&[AtomicU64]], frames: &Frames) -> Result<(), Failure> {
    let words = || parts.iter().flat_map(|part| part.iter());
    let value = |word: &AtomicU64| word.load(Relaxed);
    let last = || words().last().map_or(0, value);

    let first = Desc::leaf(Level::L3, ground::run(), Prot::RO, true).bits();
    bench.row("map-run", Who::Floor, n, || {
        let mut next = black_box(first);
        parts.iter().for_each(|part| next = store_run(part, next));
    })?;
    let stored = last();
    ensure!(
        stored == first + 4096 * (n - 1),
        "the run's floor stored {stored:#x}"
    );

    let bits = Desc::leaf(Level::L3, Frame::ZERO, Prot::RW, true).bits();
    bench.row("map-list", Who::Floor, n, || {
        let mut list = black_box(&*frames.list);
        for part in parts {
            let (these, rest) = list.split_at(part.len());
            store_list(part, these, bits);
            list = rest;
        }
    })?;
    let (stored, frame) = (last(), frames.list[n as usize - 1]);
    ensure!(
        stored == bits | frame.pa().raw(),
        "the list's floor stored {stored:#x}"
    );

    bench.row("protect-ro", Who::Floor, n, || {
        parts.iter().for_each(|part| modify(part))
    })?;
    let done = words().all(|word| value(word) & READ_ONLY != 0);
    ensure!(done, "a floor left a word writable");

    bench.row("unmap", Who::Floor, n, || {
        parts.iter().for_each(|part| clear(part))
    })?;
    let done = words().all(|word| value(word) == 0);
    ensure!(done, "a floor left a word valid");
    Ok(())
}

/// A run: a store, and the descriptor of the next page. Returns the one behind the last. `words` is not empty.
#[inline(always)]
fn store_run(words: &[AtomicU64], mut next: u64) -> u64 {
    let words = words.as_ptr_range();
    // SAFETY: stores to the words from start to end, of which there is one at least; they are atomics, and aligned.
    unsafe {
        asm!(
            "2: str {next}, [{at}], #8",
            "add {next}, {next}, #1, lsl #12",
            "cmp {at}, {end}",
            "b.ne 2b",
            at = inout(reg) words.start => _,
            end = in(reg) words.end,
            next = inout(reg) next,
            options(nostack)
        );
    }
    next
}

/// A list: each frame is loaded, a descriptor made of it, and stored. There are as many frames as words, and one at least.
#[inline(always)]
fn store_list(words: &[AtomicU64], frames: &[Frame], bits: u64) {
    const { assert!(size_of::<Frame>() == 8) };
    assert!(frames.len() == words.len());
    let words = words.as_ptr_range();
    // SAFETY: as in [`store_run`]; loads the frames, each of which is one word with its address in it.
    unsafe {
        asm!(
            "2: ldr {frame}, [{from}], #8",
            "orr {frame}, {frame}, {bits}",
            "str {frame}, [{at}], #8",
            "cmp {at}, {end}",
            "b.ne 2b",
            from = inout(reg) frames.as_ptr() => _,
            at = inout(reg) words.start => _,
            end = in(reg) words.end,
            bits = in(reg) bits,
            frame = out(reg) _,
            options(nostack)
        );
    }
}

/// A permission: load, modify, store. `words` is not empty.
#[inline(always)]
fn modify(words: &[AtomicU64]) {
    let words = words.as_ptr_range();
    // SAFETY: as in [`store_run`].
    unsafe {
        asm!(
            "2: ldr {word}, [{at}]",
            "orr {word}, {word}, {bit}",
            "str {word}, [{at}], #8",
            "cmp {at}, {end}",
            "b.ne 2b",
            at = inout(reg) words.start => _,
            end = in(reg) words.end,
            bit = const READ_ONLY,
            word = out(reg) _,
            options(nostack)
        );
    }
}

/// What is valid is cleared, what is not is left alone. `words` is not empty.
#[inline(always)]
fn clear(words: &[AtomicU64]) {
    let words = words.as_ptr_range();
    // SAFETY: as in [`store_run`].
    unsafe {
        asm!(
            "2: ldr {word}, [{at}], #8",
            "tbz {word}, #0, 3f",
            "stur xzr, [{at}, #-8]",
            "3: cmp {at}, {end}",
            "b.ne 2b",
            at = inout(reg) words.start => _,
            end = in(reg) words.end,
            word = out(reg) _,
            options(nostack)
        );
    }
}
