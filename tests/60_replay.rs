//! The replay: for recordings of many shapes, its tables, its closed form and the real mode agree.
//!
//! And of two rows the kernel sees whether they made the same calls in the same order.
//!
//! @boot
#![no_std]
#![no_main]

mod common;

use common::ensure;
use lazy_mmu::Policy;
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::observe::replay;
use lazy_mmu_kernel::report::{Detail, Row, Run, Size};
use lazy_mmu_kernel::workloads::check_same_work;
use lazy_mmu_kernel::{Boot, mode, println, task};

lazy_mmu_kernel::entry!(main);

/// Makes up to `length` calls, decided by the bits of `choices`: an owing store, an inner section that owes, one that does not, a new outer section.
fn make_calls(mut choices: u64, length: u32) {
    mode::lazy_mmu_mode_enable();
    for _ in 0..length {
        match choices & 3 {
            0 => mode::owe(),
            1 => mode::reenter(|| mode::section(mode::owe)),
            2 => mode::reenter(|| mode::section(|| {})),
            _ => {
                mode::lazy_mmu_mode_disable();
                mode::owe();
                mode::lazy_mmu_mode_enable();
            }
        }
        choices >>= 2;
    }
    mode::lazy_mmu_mode_disable();
}

/// A row under `policy` whose recording is of `calls`.
fn row(policy: Policy, calls: impl FnOnce()) -> Row {
    let size = Size {
        detail: Detail::default(),
        pages: 1,
        k: 1,
        seed: 1,
    };
    replay::start(true);
    replay::set_active(true);
    calls();
    Row {
        replay: replay::finish(),
        ..Row::new(Run::Vmap, policy, size)
    }
}

/// The same number of calls in another order is other work.
fn order_counts() -> Verdict {
    let first = |policy| {
        row(policy, || {
            mode::section(mode::owe);
            mode::section(|| {});
        })
    };
    let other = row(Policy::Flat, || {
        mode::section(|| {});
        mode::section(mode::owe);
    });
    let calls = |row: &Row| row.replay.as_ref().map(|replay| replay.calls());
    let (eager, flat) = (first(Policy::Eager), first(Policy::Flat));
    ensure!(calls(&flat) == Some(5), "{flat:?}");
    ensure!(calls(&flat) == calls(&other), "{other:?}");
    let same = check_same_work(&[eager.clone(), flat]);
    ensure!(same.is_ok(), "the same calls differ");
    let differs = check_same_work(&[eager, other]);
    ensure!(differs.is_err(), "another order is the same work");
    Verdict::Good
}

fn main(_: &Boot) -> Verdict {
    if order_counts() != Verdict::Good {
        return Verdict::Failed;
    }

    const LENGTH: u32 = 6;
    let task = task::current();
    let mut compared = 0_u32;
    for choices in 0..1_u64 << (2 * LENGTH) {
        let mut hash = None;
        for policy in Policy::ALL {
            ensure!(task.mmu.set_policy(policy).is_ok(), "{policy}");
            replay::start(true);
            replay::set_active(true);
            let before = task.counts.tally();
            make_calls(choices, LENGTH);
            let counted = (task.counts.tally() - before).pairs;
            let Some(replay) = replay::finish() else {
                return Verdict::Failed;
            };
            let (table, form) = (replay.pairs(policy), replay.shape().pairs(policy));
            ensure!(
                counted == table,
                "{policy}, calls {choices:#o}: {counted} counted, {table} by the table"
            );
            ensure!(
                counted == form,
                "{policy}, calls {choices:#o}: {counted} counted, {form} by {:?}",
                replay.shape()
            );
            ensure!(
                *hash.get_or_insert(replay.hash()) == replay.hash(),
                "{policy}: other calls than under eager"
            );
            compared += 1;
        }
    }
    println!("{compared} recordings compared");
    Verdict::Good
}
