//! What the mode costs, as it is shipped: instructions per call, by the clock, which under `icount` is exact.
//!
//! First in a kernel of one contract: `lazy-mmu` with a contract's type and a processor that only pays. Then in this
//! kernel, whose policy is chosen at run time, with counts on, and nobody listening. Each figure is the mean of a loop,
//! whose instructions are in it.
//!
//! @boot icount=on expect="tenths of instructions: owe"
#![no_std]
#![no_main]

mod common;

use core::hint::black_box;

use common::ensure;
use lazy_mmu::{Contract, Cpu, Linux7, Misuse, Policy, TaskMmu, V3};
use lazy_mmu_kernel::arch::time;
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::{Boot, mode, println};
use stage1_hw::{Instructions, Plain};

lazy_mmu_kernel::entry!(main);

/// The compiler that the limits are for; with QEMU 7.2, whose `icount` it is.
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

/// Of one kernel or the other, in tenths.
struct Costs {
    owe: u64,
    /// A section with nothing in it.
    idle: u64,
    /// The same by the calls.
    calls: u64,
    /// A section around one owing store.
    paid: u64,
}

/// Prints the costs, and says whether each is at most its limit. For another compiler none is held.
fn held(of: &str, costs: &Costs, limits: &Costs) -> bool {
    let Costs {
        owe,
        idle,
        calls,
        paid,
    } = costs;
    println!(
        "{of}, tenths of instructions: owe {owe}, a section idle {idle}, the calls idle {calls}, around one store {paid}"
    );
    if !env!("LAZY_MMU_RUSTC").starts_with(MEASURED_WITH) {
        println!("not held: another compiler than {MEASURED_WITH}");
        return true;
    }
    *owe <= limits.owe && *idle <= limits.idle && *calls <= limits.calls && *paid <= limits.paid
}

/// A processor that pays, and nothing else.
struct ThisCpu;

impl Cpu for ThisCpu {
    #[inline(always)]
    fn publish(&self) {
        stage1_hw::publish(Plain::NEW);
    }

    fn misuse(&self, misuse: Misuse) {
        panic!("{misuse}");
    }
}

/// A task of a kernel that names one contract.
fn of_one_contract(contract: impl Contract) -> Costs {
    let task = TaskMmu::new(contract, ThisCpu);
    // As in a task structure: the compiler knows nothing of what is in it.
    let task = black_box(&task);
    Costs {
        owe: task.section(|_| tenths(|| task.owe())),
        idle: tenths(|| task.section(|_| {})),
        calls: tenths(|| {
            task.lazy_mmu_mode_enable();
            task.lazy_mmu_mode_disable();
        }),
        paid: tenths(|| task.section(|section| section.owe())),
    }
}

fn of_this_kernel() -> Costs {
    Costs {
        owe: mode::section(|| tenths(mode::owe)),
        idle: tenths(|| mode::section(|| {})),
        calls: tenths(|| {
            mode::lazy_mmu_mode_enable();
            mode::lazy_mmu_mode_disable();
        }),
        paid: tenths(|| mode::section(mode::owe)),
    }
}

fn main(_: &Boot) -> Verdict {
    let limits = Costs {
        owe: 60,
        idle: 350,
        calls: 350,
        paid: 450,
    };
    for (of, costs) in [
        ("one contract, v3", of_one_contract(V3)),
        ("one contract, linux7", of_one_contract(Linux7)),
    ] {
        ensure!(held(of, &costs, &limits), "{of}: above a limit");
    }
    for (policy, name) in [(Policy::V3, "v3"), (Policy::Linux7, "linux7")] {
        ensure!(mode::set_policy(policy).is_ok(), "{policy}");
        let limits = Costs {
            owe: 80,
            idle: 700,
            calls: 700,
            paid: 1100,
        };
        ensure!(
            held(name, &of_this_kernel(), &limits),
            "{policy}: above a limit"
        );
    }
    Verdict::Good
}
