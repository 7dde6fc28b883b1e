//! A task's figures: zero where nothing of the kind can happen, and more where it must. A handler's sections are not its task's.
//!
//! @boot smp=1,2
//! @boot cpu=cortex-a72 gic=3 icount=on
#![no_std]
#![no_main]

extern crate alloc;
mod common;

use alloc::vec::Vec;

use common::ensure;
use lazy_mmu::Policy;
use lazy_mmu_kernel::arch::{registers, time};
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::sched;
use lazy_mmu_kernel::task::{self, Figures};
use lazy_mmu_kernel::{Boot, mode};

lazy_mmu_kernel::entry!(main);

/// A slice, and how long its end may take to interrupt a task, in microseconds: how soon it does, is the host's affair.
const SLICE: u64 = 100;
const PATIENCE: u64 = 60_000_000;

/// Keeps this task busy until a figure of it has grown, or nobody waits any longer.
fn busy_until(figure: fn(&Figures) -> u64) {
    let now = || figure(&task::current().stats.figures());
    let before = now();
    time::wait_until(PATIENCE, || now() > before);
}

/// The figures of a task that does `work`, on one core, where another is always ready.
fn figures_of(slice: u64, work: fn()) -> Option<Figures> {
    sched::set_slice(slice);
    let other = sched::spawn(Policy::V3, || (0..50).for_each(|_| sched::yield_now()));
    let mine = sched::spawn(Policy::V3, work).ok()?.join();
    sched::set_slice(0);
    other.ok()?.join();
    mine.leak.is_none().then_some(mine.figures)
}

/// The only task of a machine: its slices end, and it goes on.
fn alone() -> Verdict {
    let before = task::current().stats.figures();
    sched::set_slice(SLICE);
    mode::section(|| busy_until(|figures| figures.interrupts_inside));
    sched::set_slice(0);
    let figures = task::current().stats.figures() - before;
    ensure!(figures.interrupts_inside > 0, "{figures:?}");
    let Figures {
        preemptions,
        preemptions_inside,
        switches,
        ..
    } = figures;
    ensure!(
        (preemptions, preemptions_inside, switches) == (0, 0, 0),
        "{figures:?}"
    );
    let Figures {
        carried,
        migrations,
        migrations_inside,
        ..
    } = figures;
    ensure!(
        (carried, migrations, migrations_inside) == (0, 0, 0),
        "{figures:?}"
    );
    ensure!(
        (figures.sections, figures.spurious, figures.bbm_waits) == (1, 0, 0),
        "{figures:?}"
    );
    Verdict::Good
}

/// What a handler opens on top of a task counts for nobody.
fn handlers_sections() -> Verdict {
    let task = task::current();
    let before = task.stats.figures();
    mode::section(|| {
        registers::without_interrupts(|| {
            task.interrupted(|| mode::section(|| mode::section(|| {})));
        });
    });
    let after = task.stats.figures();
    ensure!(after.sections == before.sections + 1, "{after:?}");
    ensure!(after.deepest == before.deepest.max(1), "{after:?}");
    Verdict::Good
}

/// The deepest nesting is the task's own, and not that of the one that had its number before.
fn deepest_of_one_number() -> Verdict {
    let nested = || mode::section(|| mode::section(|| mode::section(|| {})));
    let deep = sched::spawn(Policy::V3, nested).map(sched::Join::join);
    let shallow = sched::spawn(Policy::V3, || mode::section(|| {})).map(sched::Join::join);
    let (Ok(deep), Ok(shallow)) = (deep, shallow) else {
        return Verdict::Failed;
    };
    ensure!(deep.id == shallow.id, "{} {}", deep.id, shallow.id);
    let deepest = [deep.figures.deepest, shallow.figures.deepest];
    ensure!(deepest == [3, 1], "{deepest:?}");
    Verdict::Good
}

/// A section that a task has left open is none of the next one with its number.
fn depth_of_one_number() -> Verdict {
    let leaves = sched::spawn(Policy::V3, mode::lazy_mmu_mode_enable).map(sched::Join::join);
    let next = sched::spawn(Policy::V3, || {
        (
            task::current().stats.inside(),
            mode::section(|| task::current().stats.inside()),
        )
    });
    let (Ok(leaves), Ok(next)) = (leaves, next.map(sched::Join::join)) else {
        return Verdict::Failed;
    };
    ensure!(leaves.id == next.id, "{} {}", leaves.id, next.id);
    ensure!(leaves.leak.is_some() && next.leak.is_none(), "{next:?}");
    ensure!(next.value == (false, true), "{next:?}");
    ensure!(next.figures.deepest == 1, "{:?}", next.figures);
    Verdict::Good
}

/// On several cores: who migrates outside of sections does not migrate inside one, and the other way round.
fn migrants() -> Verdict {
    const TASKS: usize = 6;
    let yields = || {
        for _ in 0..200 {
            sched::yield_now();
            // For a clock that counts instructions, where cores take turns.
            registers::yield_now();
        }
    };
    let end = time::now() + time::from_micros(PATIENCE);
    let mut sums = [Figures::default(); 2];
    while sums.iter().any(|sum| sum.migrations == 0) && time::now() < end {
        let tasks: Vec<_> = (0..TASKS)
            .map(|number| {
                sched::spawn(Policy::V3, move || match number % 2 {
                    0 => yields(),
                    _ => mode::section(yields),
                })
            })
            .collect();
        for (number, task) in tasks.into_iter().enumerate() {
            let Ok(task) = task else {
                return Verdict::Failed;
            };
            let sum = &mut sums[number % 2];
            *sum = *sum + task.join().figures;
        }
    }
    let [outside, inside] = sums;
    ensure!(outside.migrations > 0, "{outside:?}");
    ensure!(outside.migrations_inside == 0, "{outside:?}");
    let Figures {
        migrations,
        migrations_inside,
        ..
    } = inside;
    ensure!(
        migrations > 0 && migrations == migrations_inside,
        "{inside:?}"
    );
    Verdict::Good
}

fn main(boot: &Boot) -> Verdict {
    let verdict = alone()
        .and(handlers_sections())
        .and(deepest_of_one_number())
        .and(depth_of_one_number());
    if verdict != Verdict::Good {
        return verdict;
    }
    if boot.cores > 1 {
        migrants()
    } else {
        one_core()
    }
}

/// On one core: of two tasks, one does what counts.
fn one_core() -> Verdict {
    // By itself, outside of sections and inside one, with a debt and without.
    let yields = || (0..9).for_each(|_| sched::yield_now());
    let outside = figures_of(0, yields);
    let inside = figures_of(0, || {
        mode::section(|| (0..9).for_each(|_| sched::yield_now()))
    });
    let owing = figures_of(0, || {
        mode::section(|| {
            mode::owe();
            sched::yield_now();
        });
        sched::yield_now();
    });
    // By an interrupt.
    let forced_outside = figures_of(SLICE, || busy_until(|figures| figures.preemptions));
    let forced_inside = figures_of(SLICE, || {
        mode::section(|| busy_until(|figures| figures.preemptions_inside))
    });
    let (Some(outside), Some(inside), Some(owing)) = (outside, inside, owing) else {
        return Verdict::Failed;
    };
    let (Some(forced_outside), Some(forced_inside)) = (forced_outside, forced_inside) else {
        return Verdict::Failed;
    };
    ensure!(
        outside.switches >= 9 && inside.switches >= 9,
        "{outside:?} {inside:?}"
    );
    ensure!(
        outside.sections == 0 && inside.sections == 1,
        "{outside:?} {inside:?}"
    );
    for figures in [outside, inside, owing] {
        let Figures {
            preemptions,
            preemptions_inside,
            ..
        } = figures;
        ensure!((preemptions, preemptions_inside) == (0, 0), "{figures:?}");
    }
    for figures in [outside, inside, owing, forced_outside, forced_inside] {
        let Figures {
            migrations,
            migrations_inside,
            ..
        } = figures;
        ensure!(
            (migrations, migrations_inside) == (0, 0),
            "one core: {figures:?}"
        );
        ensure!(
            figures.carried == u64::from(figures == owing),
            "{figures:?}"
        );
    }
    ensure!(forced_outside.preemptions > 0, "{forced_outside:?}");
    ensure!(forced_outside.preemptions_inside == 0, "{forced_outside:?}");
    ensure!(forced_outside.interrupts_inside == 0, "{forced_outside:?}");
    let Figures {
        preemptions,
        preemptions_inside,
        ..
    } = forced_inside;
    ensure!(
        preemptions_inside > 0 && preemptions_inside == preemptions,
        "{forced_inside:?}"
    );
    Verdict::Good
}
