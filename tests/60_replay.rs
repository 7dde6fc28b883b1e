//! The replay: for recordings of many shapes, its tables, its closed form and the real mode agree.
//!
//! @boot
#![no_std]
#![no_main]

mod common;

use common::ensure;
use lazy_mmu::Policy;
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::observe::replay;
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

fn main(_: &Boot) -> Verdict {
    const LENGTH: u32 = 6;
    let task = task::current();
    let mut compared = 0_u32;
    for choices in 0..1_u64 << (2 * LENGTH) {
        let mut hash = None;
        for policy in Policy::ALL {
            ensure!(task.mmu.set_policy(policy).is_ok(), "{policy}");
            replay::start();
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
