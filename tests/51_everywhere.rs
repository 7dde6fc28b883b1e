//! Page tables on every core: what one core changes, all others see at once, and no longer see what was before.
//!
//! A task on every core, none of them preempted. Each page is touched on every core before a change and probed on every core after it,
//! and no TTBR0 changes between. A missing invalidation, or a local one where a broadcast is needed, shows on some core.
//!
//! @boot smp=1,2,4 cpu=max,cortex-a72 timeout=180
//! @boot smp=8 gic=3 timeout=180
//! @boot smp=4 args="debug=off" timeout=180
//! @boot smp=4 args="check=on" expect="no violation" timeout=180
#![no_std]
#![no_main]

extern crate alloc;

mod common;

use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

use common::ensure;
use lazy_mmu::Policy;
use lazy_mmu_kernel::arch::time;
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::mem::areas::Area;
use lazy_mmu_kernel::mem::{PageRange, frames};
use lazy_mmu_kernel::observe::access::{self, Expect};
use lazy_mmu_kernel::{Boot, mode, sched};
use stage1_paging::{Access, Frame, Pages, Prot, Va};

lazy_mmu_kernel::entry!(main);

const PAGES: u64 = 64;
/// Arrivals at the meeting points, all of them counted through.
static ARRIVED: AtomicU32 = AtomicU32::new(0);

/// Where all cores wait for each other. Without yielding: a task keeps its core.
struct Meeting {
    /// What this task relies on where a page is mapped: the leader has published it; who has not may take a spurious fault.
    mapped: Expect,
    cores: u32,
    round: u32,
}

impl Meeting {
    fn new(cores: u32, mapped: Expect) -> Self {
        Self {
            mapped,
            cores,
            round: 0,
        }
    }

    fn meet(&mut self) -> Result<(), String> {
        self.round += 1;
        ARRIVED.fetch_add(1, SeqCst);
        let all = self.round * self.cores;
        if time::wait_until(60_000_000, || ARRIVED.load(SeqCst) >= all) {
            Ok(())
        } else {
            Err(alloc::format!("meeting {}: not everybody came", self.round))
        }
    }
}

/// What every core must find at a page.
#[derive(Clone, Copy, Debug)]
enum Expected {
    Gone,
    ReadOnly(u64),
    Writable(u64),
}

fn look(
    pages: Pages,
    mapped: Expect,
    expected: impl Fn(u64) -> Expected,
    step: &str,
) -> Result<(), String> {
    for (index, page) in (0..).zip(pages.chunks(1)) {
        let (va, expected) = (page.start(), expected(index));
        let (load, store, word) = match expected {
            Expected::Gone => (Expect::Faults, Expect::Faults, None),
            Expected::ReadOnly(word) => (mapped, Expect::Faults, Some(word)),
            Expected::Writable(word) => (mapped, mapped, Some(word)),
        };
        let loaded = access::read(va, load);
        // SAFETY: the area is the test's; where the store works, it stores what is there.
        let stored = unsafe { access::write(va, word.unwrap_or_default(), store) };
        if loaded.ok() != word || stored.is_ok() != (store == mapped) {
            return Err(alloc::format!(
                "{step}: {va}: load {loaded:x?}, store {stored:?}, expected {expected:x?}"
            ));
        }
    }
    Ok(())
}

fn word(frame: usize) -> u64 {
    0xC0DE_0000 + frame as u64
}

/// The steps: an operation by the leader alone, and what everybody must see afterwards.
fn steps(
    meeting: &mut Meeting,
    from: Pages,
    to: Pages,
    mut lead: impl FnMut(usize) -> Result<(), stage1_paging::Error>,
) -> Result<(), String> {
    let half = |index: u64| index < PAGES / 2;
    let mut step =
        |number: usize, name: &str, a: &dyn Fn(u64) -> Expected, b: &dyn Fn(u64) -> Expected| {
            meeting.meet()?;
            lead(number).map_err(|error| alloc::format!("{name}: {error}"))?;
            meeting.meet()?;
            look(from, meeting.mapped, a, name)?;
            look(to, meeting.mapped, b, name)
        };
    let gone = |_| Expected::Gone;
    let first = |index| Expected::Writable(word(index as usize));
    step(0, "before", &gone, &gone)?;
    step(1, "map", &first, &gone)?;
    step(
        2,
        "protect",
        &|index| Expected::ReadOnly(word(index as usize)),
        &gone,
    )?;
    step(3, "unprotect", &first, &gone)?;
    step(4, "move", &gone, &first)?;
    step(5, "replace", &gone, &|index| {
        Expected::Writable(word((index + PAGES) as usize))
    })?;
    let rest = |index| {
        if half(index) {
            Expected::Gone
        } else {
            Expected::Writable(word((index + PAGES) as usize))
        }
    };
    step(6, "unmap half", &gone, &rest)?;
    step(7, "unmap all", &gone, &gone)?;
    // New mappings where old ones were: nothing of those is left anywhere.
    step(8, "map again", &first, &gone)?;
    step(9, "unmap again", &gone, &gone)
}

fn operate<'s>(
    number: usize,
    [source, target]: [PageRange<'s>; 2],
    frames: &[Frame],
) -> Result<(), stage1_paging::Error> {
    let (from, to) = (source.pages(), target.pages());
    let (old, new) = frames.split_at(PAGES as usize);
    let mut gather = source.gather(());
    mode::section(|| {
        match number {
            1 | 8 => source.map_frames(from, old.iter().copied(), Prot::RW)?,
            2 => drop(source.protect(from, Access::ReadOnly, &mut gather)?),
            3 => drop(source.protect(from, Access::ReadWrite, &mut gather)?),
            4 => drop(source.move_pages(from, &target, to.start(), &mut gather)?),
            5 => target.replace(to.start(), new, Prot::RW, &mut gather)?,
            6 => drop(target.unmap(to.take(PAGES / 2), &mut gather)?),
            7 => drop(target.unmap(to, &mut gather)?),
            9 => drop(source.unmap(from, &mut gather)?),
            _ => {}
        }
        let _ = gather.finish();
        Ok(())
    })
}

fn main(boot: &Boot) -> Verdict {
    let cores = boot.cores as u32;
    let (Some(from), Some(to)) = (Area::take(PAGES), Area::take(PAGES)) else {
        return Verdict::Failed;
    };
    let ranges = [from.range(), to.range()];
    let (from, to) = (from.pages(), to.pages());
    let owned: Vec<_> = (0..2 * PAGES).filter_map(|_| frames::alloc()).collect();
    ensure!(owned.len() as u64 == 2 * PAGES, "{} frames", owned.len());
    for (index, frame) in owned.iter().enumerate() {
        frame.words()[0].store(word(index), SeqCst);
    }
    let frames: Vec<Frame> = owned.iter().map(frames::Owned::frame).collect();
    let followers: Result<Vec<_>, _> = (1..cores)
        .map(|_| {
            sched::spawn(Policy::V3, move || {
                steps(&mut Meeting::new(cores, Expect::Retries), from, to, |_| {
                    Ok(())
                })
            })
        })
        .collect();
    let Ok(followers) = followers else {
        return Verdict::Failed;
    };
    let mut meeting = Meeting::new(cores, Expect::Works);
    let led = steps(&mut meeting, from, to, |number| {
        operate(number, ranges, &frames)
    });
    for follower in followers {
        let seen = follower.join().value;
        ensure!(seen.is_ok(), "another core: {seen:?}");
    }
    ensure!(led.is_ok(), "the leader: {led:?}");
    ensure!(Va::new(0) < from.start(), "areas are in the upper half");
    frames::free_all(owned);
    Verdict::Good
}
