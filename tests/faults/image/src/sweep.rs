//! `fault=alloc-fails`: in every run of the command line the first allocation of a frame fails, then the second, and so on, until a run
//! has fewer.
//!
//! Each time the run must end with an error that says so, and leave nothing behind: no frame, no table that it does not have to keep, no
//! section, no debt. `nth=` is the last that fails; it ends a run of many tasks, whose allocations have no end.

use alloc::format;
use alloc::string::{String, ToString};
use core::panic::Location;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use lazy_mmu::Policy;
use lazy_mmu_kernel::Boot;
use lazy_mmu_kernel::base::{Lock, Verdict};
use lazy_mmu_kernel::report::{Run, Size};
use lazy_mmu_kernel::workloads::{self, Failure, Memory, Stress, check_frames};
use lazy_mmu_kernel::{println, task};

/// Allocations up to the one that fails, itself among them; 0 for none.
static LEFT: AtomicU64 = AtomicU64::new(0);
/// Where the one was that failed.
static SITE: Lock<Option<&'static Location<'static>>> = Lock::new(None);

/// Where a failure is no error: a batch page is for having fewer invalidations, and a zap goes on without.
const GOES_ON: &str = "batches.rs";

/// Whether the allocation goes well.
pub fn allows(site: &'static Location<'static>) -> bool {
    let next = |left: u64| left.checked_sub(1);
    let fails = LEFT.fetch_update(Relaxed, Relaxed, next) == Ok(1);
    if fails {
        *SITE.lock() = Some(site);
    }
    !fails
}

/// Runs all of the command line so, each under each policy.
pub fn main(boot: &Boot, last: u64) -> Verdict {
    let arguments = &boot.arguments;
    for &run in &arguments.runs {
        for &policy in &arguments.policies {
            if let Err(why) = sweep(boot, run, policy, last) {
                println!("FAILED {run} under {policy}: {why}");
                return Verdict::Failed;
            }
        }
    }
    Verdict::Good
}

/// One run, until no allocation is left to fail.
fn sweep(boot: &Boot, run: Run, policy: Policy, last: u64) -> Result<(), String> {
    let mut said = Said::default();
    for nth in 1..=last {
        let before = Memory::now();
        *SITE.lock() = None;
        LEFT.store(nth, Relaxed);
        let result = work(boot, run, policy);
        LEFT.store(0, Relaxed);
        let site = *SITE.lock();
        check_frames(before).map_err(|lost| format!("allocation {nth}: {lost}"))?;
        let state = task::current().mmu.state();
        if (state.count, state.pending, state.enabled) != (0, false, false) {
            return Err(format!("allocation {nth}: the mode is left at {state}"));
        }
        let Some(site) = site else {
            said.print();
            result.map_err(|why| format!("no allocation has failed, and yet: {why}"))?;
            println!(
                "{run} under {policy}: {} allocations have failed, one by one",
                nth - 1
            );
            return Ok(());
        };
        match result.map_err(|why| why.to_string()) {
            Err(why) if why.to_lowercase().contains("frame") => said.add(nth, site, &why),
            Ok(()) if site.file().ends_with(GOES_ON) => said.add(nth, site, "it goes on"),
            other => return Err(format!("allocation {nth}, at {site}, has led to {other:?}")),
        }
    }
    said.print();
    println!("{run} under {policy}: the first {last} allocations have failed, one by one");
    Ok(())
}

fn work(boot: &Boot, run: Run, policy: Policy) -> Result<(), Failure> {
    let arguments = &boot.arguments;
    let size = Size {
        pages: arguments.pages,
        k: arguments.k,
        seed: arguments.seed,
        detail: arguments.detail,
    };
    let stress = Stress {
        tasks: arguments.tasks,
        seconds: arguments.seconds,
    };
    if run.is_stress() {
        workloads::run_stress(run, policy, size, stress).map(drop)
    } else {
        workloads::run(run, policy, size).map(drop)
    }
}

/// What the last few failures have led to: a line when it changes.
#[derive(Default)]
struct Said {
    first: u64,
    last: u64,
    what: String,
}

impl Said {
    fn add(&mut self, nth: u64, site: &Location<'_>, led_to: &str) {
        let what = format!("at {site}: {led_to}");
        if what != self.what {
            self.print();
            *self = Self {
                first: nth,
                last: nth,
                what,
            };
        }
        self.last = nth;
    }

    fn print(&self) {
        if self.first > 0 {
            println!("  n = {} to {}, {}", self.first, self.last, self.what);
        }
    }
}
