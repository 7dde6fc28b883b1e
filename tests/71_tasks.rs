//! Tasks: create, yield, sleep, join, end with a value; what they leave open; what runs out.
//!
//! @boot smp=1,2,4
//! @boot smp=1,4 args="check=on"
//! @boot smp=4 gic=3 icount=on
//! @boot smp=4 args="debug=off"
#![no_std]
#![no_main]

extern crate alloc;

mod common;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use common::ensure;
use lazy_mmu::Policy;
use lazy_mmu_kernel::arch::{registers, time};
use lazy_mmu_kernel::base::MAX_TASKS;
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::base::layout;
use lazy_mmu_kernel::mem::frames;
use lazy_mmu_kernel::mem::stacks::StackError;
use lazy_mmu_kernel::observe::access::{self, Expect};
use lazy_mmu_kernel::sched::{self, Join, SpawnError};
use lazy_mmu_kernel::{Boot, mode, task};
use stage1_paging::{Va, What};

lazy_mmu_kernel::entry!(main);

fn main(boot: &Boot) -> Verdict {
    for check in [
        no_frames,
        values,
        sleepers,
        sleepers_and_slices,
        leaks,
        all_numbers,
        guards,
    ] {
        let verdict = check(boot);
        if verdict != Verdict::Good {
            return verdict;
        }
    }
    ensure!(sched::quiesce(), "a core is left busy");
    Verdict::Good
}

/// Too few frames for a stack, or for the table that maps it: an error, and number and frames are free again, however often.
fn no_frames(boot: &Boot) -> Verdict {
    if boot.arguments.check {
        // The rules remember more of each frame than the heap has room for.
        return Verdict::Good;
    }
    const STACK: usize = 8;
    // One table maps the stacks of these, and the next number's stack needs another one, which nobody has linked yet.
    const ONE_TABLE: usize = 32;
    let held: Result<Vec<_>, _> = (1..ONE_TABLE)
        .map(|_| sched::spawn_held(Policy::V3, || ()))
        .collect();
    let Ok(held) = held else {
        return Verdict::Failed;
    };
    let mut all: Vec<_> = core::iter::from_fn(frames::alloc).collect();
    for left in [STACK - 1, STACK] {
        frames::free_all(all.drain(all.len() + frames::free_count() as usize - left..));
        for _ in 0..2 * MAX_TASKS {
            let refused = sched::spawn(Policy::V3, || ()).err();
            let right = match refused {
                Some(SpawnError::Stack(StackError::NoFrame)) => left < STACK,
                Some(SpawnError::Stack(StackError::Tables(error))) => {
                    left == STACK && error.what == What::OutOfFrames
                }
                _ => false,
            };
            ensure!(right, "{left} frames: {refused:?}");
            let free = frames::free_count();
            ensure!(free == left as u64, "{free} frames of {left}");
        }
    }
    frames::free_all(all);
    held.iter().for_each(Join::start);
    held.into_iter().for_each(|join| join.join().value);
    Verdict::Good
}

/// Every task yields many times and ends with a value of its own; all of them run under the policy they were given.
fn values(boot: &Boot) -> Verdict {
    const PATIENCE: u64 = 60_000_000;
    // On one core nobody moves; on several somebody does, as soon as the host has let two of them run at a time.
    let end = time::now() + time::from_micros(PATIENCE);
    let (mut migrations, mut verdict) = (0, Verdict::Good);
    for round in 1.. {
        verdict = values_once(round, &mut migrations);
        let done = boot.cores == 1 || migrations > 0 || time::now() >= end;
        if done || verdict != Verdict::Good {
            break;
        }
    }
    ensure!(
        (migrations > 0) == (boot.cores > 1),
        "{migrations} migrations"
    );
    verdict
}

/// All of them once, this time being the `round`th; adds up how often they migrated.
fn values_once(round: u32, migrations: &mut u64) -> Verdict {
    static TURNS: AtomicU32 = AtomicU32::new(0);
    let mut joins = Vec::new();
    for n in 0..20_u64 {
        let policy = Policy::ALL[n as usize % 5];
        let join = sched::spawn_held(policy, move || {
            for _ in 0..1000 {
                TURNS.fetch_add(1, Relaxed);
                sched::yield_now();
                // For a clock that counts instructions, where cores take turns.
                registers::yield_now();
            }
            (n * n, task::current().mmu.policy())
        });
        ensure!(join.is_ok(), "task {n}");
        joins.extend(join.map(|join| (n, policy, join)));
    }
    // The second time does nothing: a task that is in the queue twice runs on two cores.
    for _ in 0..2 {
        joins.iter().for_each(|(_, _, join)| join.start());
    }
    for (n, policy, join) in joins {
        let ended = join.join();
        ensure!(ended.value == (n * n, policy), "{:?}", ended.value);
        ensure!(ended.leak.is_none(), "{:?}", ended.leak);
        *migrations += ended.figures.migrations;
    }
    let turns = TURNS.load(Relaxed);
    ensure!(turns == round * 20_000, "{turns}");
    Verdict::Good
}

/// Sleepers wake, each no sooner than its time.
fn sleepers(_: &Boot) -> Verdict {
    let start = time::now();
    let joins = [30, 20, 10].map(|millis| {
        sched::spawn(Policy::V3, move || {
            sched::sleep(millis * 1000);
            time::now() - start
        })
    });
    let ends: Vec<u64> = joins
        .into_iter()
        .flatten()
        .map(|join| join.join().value)
        .collect();
    ensure!(ends.len() == 3, "{ends:?}");
    for (end, millis) in ends.iter().zip([30, 20, 10]) {
        ensure!(
            *end >= time::from_micros(millis * 1000),
            "woke after {end} counts"
        );
        ensure!(
            *end < time::from_micros(30_000_000),
            "woke after {end} counts"
        );
    }
    Verdict::Good
}

/// Of the end of a slice and the next sleeper the timer is set for the sooner: a slice that does not end here, and a sleeper whom
/// nobody lets run.
fn sleepers_and_slices(_: &Boot) -> Verdict {
    static AWAKE: AtomicBool = AtomicBool::new(false);
    sched::set_slice(600_000_000);
    let sleeper = sched::spawn(Policy::V3, || {
        sched::sleep(10_000);
        AWAKE.store(true, Relaxed);
    });
    sched::yield_now();
    let awake = time::wait_until(30_000_000, || AWAKE.load(Relaxed));
    sched::set_slice(0);
    ensure!(awake, "a sleeper has waited for the end of a slice");
    ensure!(sleeper.map(Join::join).is_ok(), "no task");
    Verdict::Good
}

/// A section that is left open, and a debt, are reported at the end, and are not the next task's.
fn leaks(boot: &Boot) -> Verdict {
    if boot.arguments.check {
        // It breaks R8 on purpose.
        return Verdict::Good;
    }
    for policy in [Policy::V3, Policy::Linux7] {
        let before = task::machine_tally();
        let Ok(join) = sched::spawn(policy, || {
            mode::lazy_mmu_mode_enable();
            mode::owe();
        }) else {
            ensure!(false, "no task");
            return Verdict::Failed;
        };
        let ended = join.join();
        let Some(leak) = ended.leak else {
            ensure!(false, "a section was left open, and nobody says so");
            return Verdict::Failed;
        };
        ensure!(leak.0.count == 1 && leak.0.pending, "{leak}");
        ensure!(ended.tally.pairs == 1, "the debt was not paid at the end");
        ensure!((task::machine_tally() - before).pairs >= 1, "nor counted");
        let next = sched::spawn(policy, || task::current().mmu.state()).map(Join::join);
        ensure!(
            next.as_ref()
                .is_ok_and(|next| next.value.count == 0 && next.leak.is_none()),
            "{next:?}"
        );
    }
    Verdict::Good
}

/// All numbers at once; one more is an error; afterwards every frame is back.
fn all_numbers(_: &Boot) -> Verdict {
    let round = || {
        let joins: Result<Vec<_>, _> = (1..MAX_TASKS)
            .map(|_| sched::spawn_held(Policy::V3, || task::current().id))
            .collect();
        let one_more = sched::spawn(Policy::V3, || ()).err();
        let joins = joins.unwrap_or_default();
        joins.iter().for_each(Join::start);
        let ids: Vec<u16> = joins.into_iter().map(|join| join.join().value).collect();
        (ids, one_more)
    };
    // The first round links the tables of the stack area, which stay.
    let _ = round();
    let free = frames::free_count();
    let (ids, one_more) = round();
    ensure!(ids.iter().copied().eq(1..MAX_TASKS as u16), "{ids:?}");
    ensure!(one_more == Some(SpawnError::TooMany), "{one_more:?}");
    ensure!(
        frames::free_count() == free,
        "{} frames, {free} before",
        frames::free_count()
    );
    Verdict::Good
}

/// A task's stack is where the vectors look for it, above a guard, and is gone after the end.
fn guards(_: &Boot) -> Verdict {
    let here = sched::spawn(Policy::V3, || {
        let local = 0_u8;
        let here = &raw const local as u64;
        let stack = here >> layout::STACK_SHIFT << layout::STACK_SHIFT;
        let guard = access::read(Va::new(stack - 8), Expect::Faults);
        (
            stack,
            guard.is_err(),
            access::read(Va::new(stack), Expect::Works).is_ok(),
        )
    });
    let Ok(Some(ended)) = here.map(|join| Some(join.join())) else {
        ensure!(false, "no task");
        return Verdict::Failed;
    };
    let (stack, guarded, mapped) = ended.value;
    ensure!(
        stack > layout::STACKS_BASE && stack >> layout::STACK_SHIFT & 1 == 1,
        "{stack:#x}"
    );
    ensure!(guarded && mapped, "{stack:#x}");
    ensure!(
        access::read(Va::new(stack), Expect::Faults).is_err(),
        "the stack is still mapped"
    );
    Verdict::Good
}
