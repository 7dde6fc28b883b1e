//! `entries`: eight loops of stores to kernel entries, those of the first table of Linux's own counts.
//!
//! An inner section, or a real allocation, comes before the entry. Each loop is a window, and its pairs must be what the policy's
//! closed form gives for N entries and A inner sections.

use super::loops::{Loop, Taken, loops};
use crate::workloads::measure::Measured;
use crate::workloads::memory::Frames;
use crate::workloads::pages::{signature, take_area, unmap_range};
use crate::workloads::{Failure, check, failure};
use crate::{mode, print, println};

/// Pages and `k` of Linux's table.
const LINUX_SIZE: (usize, usize) = (4096, 16);

/// Runs the loops one after the other, on the same pages.
pub(in crate::workloads) fn run(row: &mut Measured) -> Result<(), Failure> {
    let size = row.size;
    let mut frames = Frames::default();
    let (area, inner) = (take_area(size.pages as u64)?, take_area(size.pages as u64)?);
    row.link_tables(area.range())?;
    row.link_tables(inner.range())?;
    frames.take(1)?;
    let frame = frames.numbers()[0];
    let as_linux = (size.pages, size.k) == LINUX_SIZE;
    println!(
        "{:<34} {:>7} {:>7}{}",
        "entries: loop",
        "stores",
        "pairs",
        if as_linux {
            "; Linux 6.12, 6.18, 7.3"
        } else {
            ""
        }
    );
    for part in loops(size.pages, size.k) {
        let mut taken = Taken::with_capacity(size.pages.div_ceil(part.every));
        let before = row.tally;
        row.measured(|| {
            let mut work = || part.run((area.range(), inner.range()), frame, &mut taken);
            if part.section {
                mode::section(&mut work)
            } else {
                work()
            }
        })?;
        let counted = row.tally - before;
        print!(
            "{:<34} {:>7} {:>7}",
            part.name, counted.stores, counted.pairs
        );
        if as_linux {
            print!(" {:>7?}", part.linux);
        }
        println!();
        check_pairs(row, &part, counted.pairs)?;
        for page in area.pages().chunks(1) {
            check::store(page.start(), signature(0, 1))?;
        }
        unmap_range(area.range())?;
        unmap_range(inner.range())?;
    }
    Ok(())
}

/// Checks the pairs against the closed form; and where sections nest, that Linux 7.3 does not do better.
fn check_pairs(row: &Measured, part: &Loop, pairs: u64) -> Result<(), Failure> {
    let (policy, size) = (row.policy, row.size);
    let expected = part.pairs(policy, size.pages);
    if pairs != expected {
        return Err(failure!(
            "{}: {pairs} pairs, and {expected} by the closed form for {} entries",
            part.name,
            size.pages
        ));
    }
    let [.., linux] = part.linux;
    if policy.is_contract() && (size.pages, size.k) == LINUX_SIZE && pairs > linux {
        return Err(failure!(
            "{}: {pairs} pairs, and {linux} in Linux 7.3",
            part.name
        ));
    }
    Ok(())
}
