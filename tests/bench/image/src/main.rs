//! What page-table work costs, counted: instructions by the PMU, barriers and TLBIs by the kernel and by the plugin.
//!
//! `bench=short` measures up to 512 pages, `bench=full` larger sizes after that, so that both have the same rows in front;
//! `bench=cores` measures a few rows on as many cores as there are. `tools/src/bench` boots this image and compares.
#![no_std]
#![no_main]

extern crate alloc;

mod allocator;
mod bulk;
mod checks;
mod each;
mod entries;
mod floor;
mod ground;
mod growth;
mod measure;
mod peers;
mod pmu;
mod workloads;

use lazy_mmu::Policy;
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::mem::frames;
use lazy_mmu_kernel::{Boot, println, sched};

use ground::{Frames, Ground};
use measure::{Bench, Failure, ensure};

lazy_mmu_kernel::entry!(main, keys = ["bench"]);

/// How much is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    Short,
    Full,
    Cores,
}

fn main(boot: &Boot) -> Verdict {
    let extent = match boot.arguments.own("bench") {
        None | Some("short") => Extent::Short,
        Some("full") => Extent::Full,
        Some("cores") => Extent::Cores,
        Some(_) => {
            println!("bad argument: bench= is short, full or cores");
            return Verdict::BadArguments;
        }
    };
    let mut bench = Bench::new();
    let counts = if bench.counts_instructions() {
        "counts"
    } else {
        "does not count"
    };
    println!("bench: the PMU {counts} instructions");
    if let Err(failure) = measure(&mut bench, extent) {
        println!("FAILED {failure}");
        return Verdict::Failed;
    }
    match bench.write() {
        Ok(()) => Verdict::Good,
        Err(error) => {
            println!("{error}");
            Verdict::Failed
        }
    }
}

fn measure(bench: &mut Bench, extent: Extent) -> Result<(), Failure> {
    let kept = ground::settle()?;
    rows(bench, extent)?;
    frames::free_all(kept);
    Ok(())
}

fn rows(bench: &mut Bench, extent: Extent) -> Result<(), Failure> {
    let ground = Ground::take()?;
    if extent == Extent::Cores {
        // The others sleep: what they execute is not this core's work.
        ensure!(sched::quiesce(), "a core does not come to rest");
        return pages(bench, 512, &ground);
    }
    for n in [1, 16, 512] {
        pages(bench, n, &ground)?;
        peers::all(bench, n)?;
        println!("progress: {n} pages are done");
    }
    each::few_changes(bench, &ground)?;
    each::five_runs(bench)?;
    for policy in entries::POLICIES {
        bench.under(policy)?;
        entries::calls(bench, 1)?;
        entries::calls(bench, 512)?;
        entries::loops(bench, 512)?;
        // Under `v3` it has been done.
        if policy != Policy::V3 {
            let frames = Frames::take(512)?;
            each::all(bench, 512, &ground, &frames)?;
            bulk::composed(bench, 512, &ground, &frames)?;
            frames.free();
        }
    }
    for n in [1, 2, 3, 4, 6, 8, 16, 64] {
        entries::break_even(bench, n)?;
    }
    growth::depths(bench)?;
    growth::areas(bench)?;
    println!("progress: the mode is done");
    workloads::all(bench, 512)?;
    println!("progress: the workloads are done");
    if extent == Extent::Full {
        for policy in entries::POLICIES {
            bench.under(policy)?;
            entries::loops(bench, 4096)?;
        }
        for n in [4096, ground::MOST] {
            pages(bench, n, &ground)?;
            peers::all(bench, n)?;
            println!("progress: {n} pages are done");
        }
        workloads::all(bench, 4096)?;
    }
    Ok(())
}

/// Every row of this project's, of `n` pages, and the floors.
fn pages(bench: &mut Bench, n: u64, ground: &Ground) -> Result<(), Failure> {
    let frames = Frames::take(n)?;
    floor::all(bench, n, &frames)?;
    bulk::all(bench, n, ground, &frames)?;
    each::all(bench, n, ground, &frames)?;
    each::by_cursor(bench, n, ground, &frames)?;
    each::holes(bench, n, ground)?;
    bulk::composed(bench, n, ground, &frames)?;
    frames.free();
    allocator::all(bench, n)
}
