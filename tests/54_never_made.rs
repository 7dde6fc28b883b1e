//! A page that is broken and never made is a bug of who broke it: an access waits for the make ten seconds, and not for ever.
//!
//! The bug here: a sink that touches the page it is given the old frame of, while that page is broken.
//!
//! @boot cpu=max args="check=on"
#![no_std]
#![no_main]

mod common;

use common::ensure;
use lazy_mmu_kernel::arch::time;
use lazy_mmu_kernel::arch::{Fault, FaultKind};
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::mem::areas::Area;
use lazy_mmu_kernel::mem::frames;
use lazy_mmu_kernel::observe::access::{self, Expect};
use lazy_mmu_kernel::{Boot, println, task};
use stage1_paging::{Mapping, Prot, Sink};

lazy_mmu_kernel::entry!(main);

/// Reads the page that is being replaced; what came of it, and after how many milliseconds.
#[derive(Default)]
struct Impatient(Option<(Result<u64, Fault>, u64)>);

impl Sink for Impatient {
    fn park(&mut self, mapping: Mapping) {
        let start = time::now();
        let read = access::read(mapping.va, Expect::Faults);
        self.0 = Some((read, time::to_nanos(time::now() - start) / 1_000_000));
    }
}

fn main(_: &Boot) -> Verdict {
    let (Some(area), Some(old), Some(new)) = (Area::take(1), frames::alloc(), frames::alloc())
    else {
        return Verdict::Failed;
    };
    let (range, page) = (area.range(), area.pages());
    let mapped = range.map_page(page.start(), old.frame(), Prot::RW);
    ensure!(mapped.is_ok(), "{mapped:?}");
    ensure!(
        access::read(page.start(), Expect::Works).is_ok(),
        "the page is there"
    );

    let mut gather = range.gather(Impatient::default());
    let replaced = range.replace(page.start(), &[new.frame()], Prot::RW, &mut gather);
    ensure!(replaced.is_ok(), "{replaced:?}");
    let (Impatient(Some((read, waited))), _done) = gather.finish() else {
        ensure!(false, "the old frame was not given back");
        return Verdict::Failed;
    };
    println!("{read:x?} after {waited} ms");
    ensure!(
        read.is_err_and(|fault| fault.kind == FaultKind::Translation(3)),
        "{read:x?}"
    );
    // Once, and not once for every time that the handler looks.
    ensure!((10_000..30_000).contains(&waited), "{waited} ms");
    let waits = task::current().stats.bbm_waits.get();
    ensure!(waits == 0, "{waits} accesses were made again");
    ensure!(
        access::read(page.start(), Expect::Works).is_ok(),
        "the new page is there"
    );

    let mut gather = range.gather(());
    ensure!(range.unmap(page, &mut gather) == Ok(1), "unmap");
    let _ = gather.finish();
    frames::free_all([old, new]);
    Verdict::Good
}
