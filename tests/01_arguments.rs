//! The command line's defaults and values, and which of two verdicts a boot ends with.
//!
//! `fails=on`: a check that does not hold ends the kernel so.
//!
//! @boot
//! @boot args="fails=on" verdict=1 expect="FAILED tests/01_arguments.rs" expect="fails: as it must"
#![no_std]
#![no_main]

extern crate alloc;

mod common;

use alloc::format;

use common::ensure;
use lazy_mmu::Policy;
use lazy_mmu_kernel::Boot;
use lazy_mmu_kernel::arguments::{ArgumentError, Arguments};
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::report::{Detail, Run};
use mmu_check::trace::Extent;

lazy_mmu_kernel::entry!(main, keys = ["fails"]);

fn main(boot: &Boot) -> Verdict {
    let given = &boot.arguments;
    let fails = given.own("fails").is_some();
    ensure!(!fails, "fails: as it must");
    ensure!(given.runs == Run::ALL, "{given:?}");
    ensure!(given.policies == Policy::ALL, "{given:?}");
    let Arguments { pages, k, .. } = *given;
    ensure!((pages, k) == (512, 16), "{given:?}");
    let Arguments { tasks, seconds, .. } = *given;
    ensure!((tasks, seconds, given.seed) == (16, 0, 1), "{given:?}");
    let switches = [given.debug, given.poison, given.settle];
    ensure!(switches == [true, false, true], "{given:?}");
    let watched = (given.check, given.trace);
    ensure!(watched == (false, None), "{given:?}");

    let line = "run=zap,vmap policy=flat pages=8 k=2 tasks=3 seconds=4 seed=5 debug=off poison=on settle=off check=on trace=on own=6";
    let Ok(given) = Arguments::parse(line, 1000, &["own"]) else {
        return Verdict::Failed;
    };
    ensure!(given.runs == [Run::Zap, Run::Vmap], "{given:?}");
    ensure!(given.policies == [Policy::Flat], "{given:?}");
    let Arguments { pages, k, .. } = given;
    ensure!((pages, k) == (8, 2), "{given:?}");
    let Arguments { tasks, seconds, .. } = given;
    ensure!((tasks, seconds, given.seed) == (3, 4, 5), "{given:?}");
    let switches = [given.debug, given.poison, given.settle];
    ensure!(switches == [false, true, false], "{given:?}");
    let watched = (given.check, given.trace);
    ensure!(watched == (true, Some(Extent::Run)), "{given:?}");
    for (line, trace) in [("trace=off", None), ("trace=all", Some(Extent::All))] {
        let given = Arguments::parse(line, 1000, &[]).map(|given| given.trace);
        ensure!(given == Ok(trace), "{given:?}");
    }
    ensure!(given.own("own") == Some("6"), "{given:?}");

    // Hazards by name and by group, under the contracts among the policies.
    let hazards = Arguments::parse("run=H7,hazards,vmap policy=flat,linux7", 1000, &[]);
    ensure!(
        hazards.as_ref().is_ok_and(|given| {
            given.runs[..2] == [Run::Hazard(7), Run::Hazard(1)]
                && given.runs.len() == Run::HAZARDS.len() + 1
                && given.contracts().eq([Policy::Linux7])
        }),
        "{hazards:?}"
    );
    for (line, hint) in [
        ("run=H21", "hazards H1 H2 "),
        ("run=H0", "H20"),
        ("run=h3", "H20"),
        ("run=vmap,H3 policy=flat", "policy=v3"),
        ("debug=off run=hazards", "debug=on"),
    ] {
        let refused = Arguments::parse(line, 1000, &[]).err();
        let hints = |error: &ArgumentError| format!("{error}").contains(hint);
        ensure!(refused.as_ref().is_some_and(hints), "{line}: {refused:?}");
    }

    // What Linux does, by name and by group, and what only that takes.
    let line = "run=kasan,linux pages=8 holes=0 batch=3 areas=8 step=2 frames=contiguous";
    let linux = Arguments::parse(line, 1000, &[]);
    let detail = Detail {
        holes: 0,
        batch: 3,
        areas: 8,
        step: 2,
        contiguous: true,
    };
    ensure!(
        linux.as_ref().is_ok_and(|given| {
            given.runs.len() == Run::LINUX.len()
                && given.runs[0] == Run::Kasan
                && given.detail == detail
        }),
        "{linux:?}"
    );
    for (line, hint) in [
        ("batch=0", "1 to 510"),
        ("batch=511", "1 to 510"),
        ("holes=1001", "0 to 1000"),
        ("step=x", "0 to 1000"),
        ("areas=0", "1 to 1024"),
        ("areas=9 pages=8", "1 to 8"),
        ("frames=random", "scattered contiguous"),
        ("run=linux debug=off", "debug=on"),
        ("run=munmapp", "munmap"),
    ] {
        let refused = Arguments::parse(line, 1000, &[]).err();
        let hints = |error: &ArgumentError| format!("{error}").contains(hint);
        ensure!(refused.as_ref().is_some_and(hints), "{line}: {refused:?}");
    }

    // A small machine has smaller defaults.
    let small = Arguments::parse("", 10, &[]).map(|given| (given.pages, given.k));
    ensure!(small == Ok((10, 10)), "{small:?}");

    // The first that is not good: what comes after a failure may follow from it.
    use Verdict::{BadArguments, CannotRun, Failed, Good, Panic};
    for (first, second, both) in [
        (Good, Good, Good),
        (Good, Failed, Failed),
        (Failed, Good, Failed),
        (Failed, Panic, Failed),
        (Panic, Failed, Panic),
        (CannotRun, BadArguments, CannotRun),
        (BadArguments, CannotRun, BadArguments),
    ] {
        let found = first.and(second);
        ensure!(found == both, "{first:?} and {second:?} make {found:?}");
    }
    Verdict::of(Verdict::of(false) == Failed)
}
