//! What the mode costs in this kernel, as it is shipped: instructions per call, by the clock, which under `icount` is exact.
//!
//! The policy is chosen at run time, counts are on, nobody listens. Each figure is the mean of a loop, whose two
//! instructions are in it.
//!
//! @boot icount=on expect="tenths of instructions: owe"
#![no_std]
#![no_main]

mod common;

use common::ensure;
use lazy_mmu::Policy;
use lazy_mmu_kernel::arch::time;
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::{Boot, mode, println};

lazy_mmu_kernel::entry!(main);

/// The compiler that the limits are for.
const MEASURED_WITH: &str = "rustc 1.95.";
/// How often each is done: the counter ticks every 16 nanoseconds.
const TIMES: u64 = 4096;

/// Nanoseconds, and under `icount shift=0` instructions, that `work` takes on average; in tenths.
fn tenths(work: impl Fn()) -> u64 {
    let before = time::now();
    for _ in 0..TIMES {
        work();
    }
    time::to_nanos(time::now() - before) * 10 / TIMES
}

fn main(_: &Boot) -> Verdict {
    // The merged contract looks at interrupts and pauses in every call: ten instructions more.
    for (policy, more) in [(Policy::V3, 0), (Policy::Linux7, 100)] {
        ensure!(mode::set_policy(policy).is_ok(), "{policy}");
        let owe = mode::section(|| tenths(mode::owe));
        let idle = tenths(|| mode::section(|| {}));
        let calls = tenths(|| {
            mode::lazy_mmu_mode_enable();
            mode::lazy_mmu_mode_disable();
        });
        let paid = tenths(|| mode::section(mode::owe));
        println!(
            "{policy}, tenths of instructions: owe {owe}, a section idle {idle}, the calls idle {calls}, around one store {paid}"
        );
        if !env!("LAZY_MMU_RUSTC").starts_with(MEASURED_WITH) {
            println!("not held: another compiler than {MEASURED_WITH}");
            continue;
        }
        let held = [
            ("owe in a section", owe, 80),
            ("outermost enable and disable, idle", idle, 900 + more),
            ("the same by the calls", calls, 900 + more),
            ("a section around one owing store", paid, 1350 + more),
        ];
        for (what, cost, limit) in held {
            ensure!(cost <= limit, "{what} costs {cost}, the limit is {limit}");
        }
    }
    Verdict::Good
}
