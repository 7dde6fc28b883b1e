//! The frame allocator, with and without the debug page allocator and the poison.
//!
//! @boot args="debug=on"
//! @boot args="debug=on poison=on check=on"
//! @boot args="debug=off check=on"
//! @boot args="debug=off poison=on"
//! @boot args="debug=on poison=on" mem=1G
//! @boot args="debug=on" cpu=cortex-a72
#![no_std]
#![no_main]

extern crate alloc;
mod common;

use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

use common::ensure;
use lazy_mmu::Policy;
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::base::layout;
use lazy_mmu_kernel::mem::frames;
use lazy_mmu_kernel::mem::frames::Owned;
use lazy_mmu_kernel::observe::access::{self, Expect};
use lazy_mmu_kernel::{Boot, mode, println, task};

lazy_mmu_kernel::entry!(main);

fn main(boot: &Boot) -> Verdict {
    let debug = boot.arguments.debug;
    for part in [reuse, batch, nesting, alone, exhaustion] {
        match part(debug) {
            Verdict::Good => {}
            other => return other,
        }
    }
    Verdict::Good
}

/// A freed frame faults under `debug`, and works again when it comes back.
fn reuse(debug: bool) -> Verdict {
    let before = frames::free_count();
    let Some(frame) = frames::alloc() else {
        return Verdict::Failed;
    };
    ensure!(
        frames::free_count() == before - 1,
        "{} of {before}",
        frames::free_count()
    );
    let (which, va) = (frame.frame(), layout::linear(frame.frame().pa()));
    frame.words()[511].store(7, Relaxed);
    ensure!(access::read(va, Expect::Works).is_ok(), "in the TLB now");
    frames::free(frame);
    let freed = if debug { Expect::Faults } else { Expect::Works };
    ensure!(
        access::read(va, freed).is_err() == debug,
        "{va} after the free, debug={debug}"
    );
    // The lists give the lowest frame of the smallest block: this one, which has just come back alone or joined.
    let mut taken = Vec::new();
    while let Some(again) = frames::alloc() {
        let found = again.frame() == which;
        taken.push(again);
        if found {
            break;
        }
    }
    ensure!(
        taken.last().is_some_and(|last| last.frame() == which),
        "{which:?} never came back"
    );
    ensure!(
        access::read(va, Expect::Works).is_ok(),
        "{va} after the second allocation"
    );
    frames::free_all(taken);
    ensure!(
        frames::free_count() == before,
        "{} of {before}",
        frames::free_count()
    );
    Verdict::Good
}

/// Freeing a batch costs one section and one invalidation; freeing one by one costs one each.
fn batch(debug: bool) -> Verdict {
    const COUNT: u64 = 64;
    let counts = &task::current().counts;
    let take = || {
        (0..COUNT)
            .filter_map(|_| frames::alloc())
            .collect::<Vec<Owned>>()
    };
    let taken = take();
    ensure!(taken.len() as u64 == COUNT, "{}", taken.len());
    let before = counts.tally();
    let sections = task::current().stats.figures().sections;
    frames::free_all(taken);
    let together = counts.tally() - before;
    let sections = task::current().stats.figures().sections - sections;
    ensure!(
        sections == u64::from(debug),
        "{sections} sections to free a batch, debug={debug}"
    );
    let taken = take();
    let before = counts.tally();
    taken.into_iter().for_each(frames::free);
    let alone = counts.tally() - before;
    let ([dsb, isb, ..], one_by_one) = (together.totals(), alone.totals());
    println!(
        "{COUNT} frames freed: {dsb} + {isb} barriers at once, {} + {} one by one",
        one_by_one[0], one_by_one[1]
    );
    let times = u64::from(debug);
    ensure!((dsb, isb) == (2 * times, times), "{together:?}");
    let each = COUNT * times;
    ensure!(one_by_one == [2 * each, each, 0, each], "{alone:?}");
    ensure!(together.pairs + alone.pairs == 0, "clearing owes no pair");
    Verdict::Good
}

/// An allocation inside a section is usable at once, and the section goes on deferring.
fn nesting(debug: bool) -> Verdict {
    let task = task::current();
    for policy in [Policy::V3, Policy::Linux7] {
        ensure!(task.mmu.set_policy(policy).is_ok(), "{policy}");
        let before = task.counts.tally();
        mode::lazy_mmu_mode_enable();
        mode::owe();
        ensure!(task.mmu.is_pending(), "the section defers");
        let Some(frame) = frames::alloc() else {
            return Verdict::Failed;
        };
        // H1: the frame is usable, the debt from before it is paid with it, and the outer section still defers.
        ensure!(task.mmu.is_pending() != debug, "debug={debug}");
        ensure!(task.mmu.in_lazy_mmu_mode(), "the outer section goes on");
        frame.words()[0].store(1, Relaxed);
        mode::owe();
        ensure!(
            task.mmu.is_pending(),
            "H1: still lazy after the inner section"
        );
        mode::lazy_mmu_mode_disable();
        let pairs = (task.counts.tally() - before).pairs;
        ensure!(
            pairs == 1 + u64::from(debug),
            "{pairs} pairs under {policy}, debug={debug}"
        );
        frames::free(frame);
    }
    Verdict::Good
}

/// Frames that are freed alone, and have no neighbour that is free: they wait one by one, and go to the lists when too many do. None
/// is lost, and none is given out twice.
fn alone(_debug: bool) -> Verdict {
    const COUNT: usize = 400;
    let before = frames::free_count();
    let taken: Vec<Owned> = (0..COUNT).filter_map(|_| frames::alloc()).collect();
    let (alone, mut owned): (Vec<_>, Vec<_>) =
        (0..).zip(taken).partition(|(index, _)| index % 2 == 0);
    alone
        .into_iter()
        .rev()
        .for_each(|(_, frame)| frames::free(frame));
    let free = frames::free_count();
    ensure!(free == before - COUNT as u64 / 2, "{free} of {before}");
    owned.extend((0..COUNT).filter_map(|index| Some((index, frames::alloc()?))));
    owned.sort_unstable_by_key(|(_, frame)| frame.frame().pa());
    ensure!(owned.len() == COUNT / 2 + COUNT, "{} frames", owned.len());
    let twice = owned
        .windows(2)
        .find(|two| two[0].1.frame() == two[1].1.frame());
    ensure!(twice.is_none(), "given out twice: {twice:?}");
    frames::free_all(owned.into_iter().map(|(_, frame)| frame));
    let free = frames::free_count();
    ensure!(free == before, "{free} of {before}");
    Verdict::Good
}

/// Running out is an answer, every frame is somebody's alone, and nothing is lost.
fn exhaustion(_debug: bool) -> Verdict {
    let before = frames::free_count();
    // Not all, where that would take too long: each costs a section under `debug`.
    let limit = before.min(1 << 15) as usize;
    let mut all = Vec::with_capacity(limit);
    for index in 0..limit {
        let Some(frame) = frames::alloc() else {
            return Verdict::Failed;
        };
        frame.words()[index % 512].store(index as u64, Relaxed);
        all.push(frame);
    }
    for (index, frame) in all.iter().enumerate() {
        let found = frame.words()[index % 512].load(Relaxed);
        ensure!(
            found == index as u64,
            "{:?} is somebody else's too: {found}",
            frame.frame()
        );
    }
    if limit as u64 == before {
        ensure!(frames::alloc().is_none(), "{before} frames, and one more");
    }
    frames::free_all(all);
    ensure!(
        frames::free_count() == before,
        "{} of {before}",
        frames::free_count()
    );
    Verdict::Good
}
