//! A run that gave the rules nothing to check is not good: the product's run, of a boot that says of itself what is not so.
//!
//! With `debug=off` no section nests. The run gets arguments that claim the debug allocator, so it expects nesting.
//!
//! @boot args="run=vmap policy=v3 pages=64 check=on debug=off claim=debug" verdict=1 expect="there was nothing to check of: nested" expect="no violation"
//! @boot args="run=nesting check=on claim=pages" verdict=1 expect="there was nothing to check of: probes" expect="no violation"
//! @boot args="run=vmap policy=v3 pages=64 check=on" expect="no violation"
#![no_std]
#![no_main]

extern crate alloc;
mod common;

use common::ensure;
use lazy_mmu::Policy;
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::observe::rules;
use lazy_mmu_kernel::report::Run;
use lazy_mmu_kernel::{Boot, run};
use mmu_check::Expected;

lazy_mmu_kernel::entry!(main, keys = ["claim"]);

/// What a run must have given the rules to check, by its command line.
fn floors(boot: &Boot) -> Verdict {
    let of = |run: Run, debug: bool| {
        let mut arguments = boot.arguments.clone();
        (arguments.runs, arguments.policies) = ([run].into(), [Policy::V3].into());
        arguments.debug = debug;
        let Expected {
            pages,
            nested,
            tasks,
        } = run::expected(&Boot {
            machine: boot.machine.clone(),
            arguments,
            cores: boot.cores,
        });
        (pages, nested, tasks)
    };
    ensure!(of(Run::Zap, true) == (true, true, false), "zap, debug on");
    ensure!(
        of(Run::Zap, false) == (true, false, false),
        "zap, debug off"
    );
    ensure!(of(Run::Nesting, true) == (false, false, false), "nesting");
    ensure!(of(Run::Mixed, false) == (true, false, true), "mixed");
    Verdict::Good
}

fn main(boot: &Boot) -> Verdict {
    if floors(boot) != Verdict::Good {
        return Verdict::Failed;
    }
    let mut arguments = boot.arguments.clone();
    let claim = boot.arguments.own("claim");
    arguments.debug |= claim == Some("debug");
    let claimed = Boot {
        machine: boot.machine.clone(),
        arguments,
        cores: boot.cores,
    };
    let verdict = run::main(&claimed);
    verdict.and(rules::reaches(Expected {
        pages: claim == Some("pages"),
        nested: false,
        tasks: false,
    }))
}
