//! A workload is measured: it runs once recorded, and once with nobody listening, in the windows of who counts. What the second run
//! executes besides is an error, and so is somebody who listens.
//!
//! @boot
//! @boot cpu=cortex-a72 args="debug=off"
#![no_std]
#![no_main]

extern crate alloc;

mod common;

use alloc::string::ToString;

use common::ensure;
use lazy_mmu::Policy;
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::mem::frames;
use lazy_mmu_kernel::observe::seam::HW;
use lazy_mmu_kernel::observe::{self, ring};
use lazy_mmu_kernel::report::{Detail, Run, Size};
use lazy_mmu_kernel::workloads::{self, Meter};
use lazy_mmu_kernel::{Boot, println};
use stage1_hw::{Instructions, Op, Why};

lazy_mmu_kernel::entry!(main);

/// What it does besides the work.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    Nothing,
    /// One ISB more than the recorded run.
    OneMore,
    /// Leaves the work out.
    NoWork,
}

struct Counting {
    does: Does,
    windows: u32,
    /// Somebody listened in a window.
    watched: bool,
}

impl Meter for Counting {
    fn window(&mut self, work: &mut dyn FnMut()) {
        self.windows += 1;
        if self.does != Does::NoWork {
            work();
        }
        if self.does == Does::OneMore {
            HW.execute(Op::Isb, Why::Translate);
        }
        self.watched |= observe::is_watched();
    }
}

const SIZE: Size = Size {
    pages: 48,
    k: 16,
    seed: 1,
    detail: Detail {
        holes: 16,
        batch: 16,
        areas: 4,
        step: 0,
        contiguous: false,
    },
};

/// What comes of measuring `run`: the error's text, or nothing; and the windows.
fn measure(run: Run, policy: Policy, does: Does) -> (Option<alloc::string::String>, Counting) {
    let mut meter = Counting {
        does,
        windows: 0,
        watched: false,
    };
    let measured = workloads::measure(run, policy, SIZE, &mut meter);
    (measured.err().map(|failure| failure.to_string()), meter)
}

fn main(_: &Boot) -> Verdict {
    let every = Run::ALL[1..].iter().chain(&Run::LINUX);
    for &run in every.filter(|run| **run != Run::ProtectAlias || frames::is_debug()) {
        for policy in Policy::ALL {
            let (error, meter) = measure(run, policy, Does::Nothing);
            ensure!(error.is_none(), "{run} under {policy}: {error:?}");
            ensure!(!meter.watched, "{run} under {policy}: somebody listened");
            let windows = match run {
                Run::Protect | Run::Mprotect | Run::ProtectAlias => 2,
                Run::Entries => 8,
                _ => 1,
            };
            ensure!(
                meter.windows == windows,
                "{run} under {policy}: {} windows",
                meter.windows
            );
        }
    }
    for (does, text) in [
        (Does::OneMore, "with nothing recorded, and"),
        (Does::NoWork, "left without its work"),
    ] {
        let (error, _) = measure(Run::Vmap, Policy::V3, does);
        let error = error.unwrap_or_default();
        ensure!(error.contains(text), "`{error}`, not `{text}`");
    }
    ring::set_recording(true);
    let (error, meter) = measure(Run::Vmap, Policy::V3, Does::Nothing);
    ring::set_recording(false);
    let error = error.unwrap_or_default();
    ensure!(
        meter.watched && error.contains("somebody listens"),
        "`{error}`"
    );
    println!("measured: every workload, with nobody listening");
    Verdict::Good
}
