//! The mode on the machine: the four calls, what they pay, and what the hooks see.
//!
//! The contracts are proved exhaustively on the host; here the barriers are real, and the plugin counts them too.
//!
//! @boot cpu=max,cortex-a72
#![no_std]
#![no_main]

mod common;

use common::ensure;
use lazy_mmu::Policy;
use lazy_mmu_kernel::Boot;
use lazy_mmu_kernel::arch::window::{self, Window};
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::{mode, report, task};

lazy_mmu_kernel::entry!(main);

/// How many pairs `work` pays, counted here and by the plugin.
fn pairs(number: u8, work: impl FnOnce()) -> u64 {
    let counts = &task::current().counts;
    let tag = [0xE, number];
    window::start(Window::Test, &tag);
    let before = counts.tally();
    work();
    let after = counts.tally();
    window::end(Window::Test);
    report::note_window(&tag, Window::Test, after - before);
    (after - before).pairs
}

fn main(_: &Boot) -> Verdict {
    let task = task::current();
    // Three owing stores, an inner section with one, two more: S = 5, R = 1, F = 3, G = 2, T = 1.
    let shape = || {
        mode::section(|| {
            (0..3).for_each(|_| mode::owe());
            mode::reenter(|| mode::section(mode::owe));
            (0..2).for_each(|_| mode::owe());
        });
    };
    let expected = [
        (Policy::Eager, 6),
        (Policy::Flat, 3),
        (Policy::Reenter, 3),
        (Policy::V3, 2),
        (Policy::Linux7, 2),
    ];
    for (policy, expected) in expected {
        ensure!(task.mmu.set_policy(policy).is_ok(), "{policy}");
        let paid = pairs(policy as u8, shape);
        ensure!(
            paid == expected,
            "{policy}: {paid} pairs, expected {expected}"
        );
        ensure!(
            !task.mmu.is_pending() && !task.mmu.in_lazy_mmu_mode(),
            "{policy} left something"
        );
    }

    ensure!(task.mmu.set_policy(Policy::V3).is_ok(), "v3");
    let paid = pairs(8, || {
        mode::lazy_mmu_mode_enable();
        mode::owe();
        mode::lazy_mmu_mode_pause(); // pays 1
        mode::owe(); // pays 1: paused
        mode::lazy_mmu_mode_resume();
        mode::lazy_mmu_mode_disable(); // nothing pending
        mode::owe(); // pays 1: outside
    });
    ensure!(paid == 3, "{paid} pairs around a pause");
    ensure!(
        task.mmu.set_policy(Policy::Eager).is_ok(),
        "the task is idle again"
    );

    mode::lazy_mmu_mode_enable();
    ensure!(
        task.mmu.set_policy(Policy::V3).is_err(),
        "eager does nothing, and knows that a section is open"
    );
    mode::lazy_mmu_mode_disable();
    ensure!(task.mmu.set_policy(Policy::Flat).is_ok(), "flat");
    mode::section(|| mode::section(|| {}));
    mode::lazy_mmu_mode_enable();
    mode::section(|| {});
    ensure!(
        task.mmu.set_policy(Policy::V3).is_err(),
        "an inner exit has ended the mode, and not the section"
    );
    mode::lazy_mmu_mode_disable();
    Verdict::Good
}
