//! What a mapping is, seen by using it: outside of the windows, after every operation.

use lazy_mmu_kernel::arch::{probe, translate};
use lazy_mmu_kernel::observe::seam::HW;
use stage1_paging::{Frame, Pages};

use crate::measure::{Failure, ensure};

/// Of longer ranges every 16th page and the last are looked at.
const EACH: u64 = 512;

/// The pages to look at, by their number.
fn looked_at(pages: Pages) -> impl Iterator<Item = u64> {
    let step = if pages.count() > EACH { 16 } else { 1 };
    let last = pages.count().checked_sub(1);
    (0..pages.count()).step_by(step).chain(last)
}

/// Every page leads to the frame that `frame` names, may be stored to or not, and is loaded from: its translation is in the TLB
/// from here on.
pub fn mapped(
    pages: Pages,
    frame: impl Fn(u64) -> Frame,
    writable: bool,
    after: &str,
) -> Result<(), Failure> {
    for index in looked_at(pages) {
        let page = pages.skip(index).start();
        let found = translate::read(HW, page);
        let wanted = frame(index).pa();
        ensure!(
            found == Ok(wanted),
            "after {after}: {page:?} leads to {found:?}, not to {wanted:?}"
        );
        let stores = translate::write(HW, page);
        ensure!(
            stores.is_ok() == writable,
            "after {after}: a store to {page:?}: {stores:?}"
        );
        let load = probe::read_u64(page);
        ensure!(
            load.is_ok(),
            "after {after}: a load from {page:?}: {load:?}"
        );
    }
    Ok(())
}

/// Every page faults.
pub fn unmapped(pages: Pages, after: &str) -> Result<(), Failure> {
    for index in looked_at(pages) {
        let page = pages.skip(index).start();
        let load = probe::read_u64(page);
        ensure!(
            load.is_err(),
            "after {after}: {page:?} can still be loaded from"
        );
    }
    Ok(())
}
