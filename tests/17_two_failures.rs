//! Two failures at once: the first is reported whole and gives the verdict, whatever the second is and wherever.
//!
//! `first=` and `then=`: a panic or a store to nowhere, each on its own core, the second while the first reports. `then=itself`: the
//! report of the panic fails. `first=violation`: a rule is broken, and a panic or such a store follows from it on the same core.
//! `first=print`: what is printed panics, or stores to nowhere, and the console is its own.
//!
//! @boot smp=2 gic=2,3 args="then=panic" verdict=3 expect="the first report, whole"
//! @boot smp=2,4 args="then=store" verdict=3 expect="the first report, whole"
//! @boot smp=2,4 args="first=store then=panic" verdict=4 expect="AT S1E1R: "
//! @boot smp=2 gic=3 args="first=store then=store" verdict=4 expect="AT S1E1R: "
//! @boot args="then=itself" verdict=3 expect="failed again while reporting: synchronous exception"
//! @boot args="first=print then=panic" verdict=3 expect="panicked" expect="while the console is taken"
//! @boot args="first=print then=store" verdict=4 expect="AT S1E1R: "
//! @boot args="check=on first=violation then=itself" verdict=1 expect="VIOLATION" expect="failed again while reporting"
//! @boot args="check=on first=violation then=panic" verdict=1 expect="VIOLATION" expect="panicked"
//! @boot args="check=on first=violation then=store" verdict=1 expect="VIOLATION" expect="AT S1E1R: "
#![no_std]
#![no_main]

mod common;

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use common::ensure;
use lazy_mmu::Policy;
use lazy_mmu_kernel::arch::{registers, time};
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::mem::{areas::Area, frames};
use lazy_mmu_kernel::observe::access::{self, Expect};
use lazy_mmu_kernel::{Boot, mode, println, sched, traps};
use stage1_paging::{Fit, Prot};

lazy_mmu_kernel::entry!(main, keys = ["first", "then"]);

const PATIENCE: u64 = 10_000_000;
static HERE: AtomicBool = AtomicBool::new(false);
static FAILING: AtomicBool = AtomicBool::new(false);

/// A store that no fix-up expects.
fn store_to_nowhere() {
    let nowhere = core::ptr::without_provenance_mut::<u64>(0x1000);
    // SAFETY: nothing is mapped there: it faults, and the boot ends.
    unsafe { nowhere.write_volatile(1) };
}

/// Maps a page, and reads it in the section that owes the pair.
fn use_in_debt() -> Option<u64> {
    let (area, frame) = (Area::take(1)?, frames::alloc()?);
    mode::lazy_mmu_mode_enable();
    let mapped = area
        .range()
        .map(area.pages(), frame.frame(), Prot::RO, Fit::Pages);
    mapped.ok()?;
    access::read(area.pages().start(), Expect::Works).ok()
}

/// What the first panic says: it takes its time in the middle.
struct Report {
    fails_itself: bool,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !registers::interrupts_masked() {
            return f.write_str("a report with interrupts");
        }
        f.write_str("the first report, ")?;
        if self.fails_itself {
            store_to_nowhere();
        }
        time::wait_until(PATIENCE, || FAILING.load(SeqCst));
        // Time for the other core to fail, and to report if nothing stops it.
        time::wait_until(200_000, || false);
        f.write_str("whole")
    }
}

/// What fails while it is printed.
struct Printed {
    panics: bool,
}

impl fmt::Display for Printed {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.panics {
            panic!("while the console is taken");
        }
        store_to_nowhere();
        Ok(())
    }
}

fn main(boot: &Boot) -> Verdict {
    let then = boot.arguments.own("then").unwrap_or_default();
    let (panics, fails_itself) = (then == "panic", then == "itself");
    if boot.arguments.own("first") == Some("violation") {
        ensure!(use_in_debt().is_some(), "there is nothing to use");
        if panics {
            panic!("what follows from it");
        }
        if !fails_itself {
            store_to_nowhere();
        }
    }
    if boot.arguments.own("first") == Some("print") {
        println!("{}", Printed { panics });
    }
    if !fails_itself {
        let second = sched::spawn(Policy::V3, move || {
            HERE.store(true, SeqCst);
            time::wait_until(PATIENCE, traps::is_stopping);
            FAILING.store(true, SeqCst);
            if panics {
                panic!("the second");
            }
            store_to_nowhere();
        });
        ensure!(second.is_ok(), "{:?}", second.err());
        // It has a core of its own then: this task does not leave the one that it has.
        let here = time::wait_until(PATIENCE, || HERE.load(SeqCst));
        ensure!(here, "no second core");
    }
    if boot.arguments.own("first") == Some("store") {
        store_to_nowhere();
    }
    panic!("{}", Report { fails_itself });
}
