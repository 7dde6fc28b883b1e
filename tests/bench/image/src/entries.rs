//! The mode by itself, and loops of stores that owe: under every policy.
//!
//! The loops are those that `tests/bench/linux.json` has Linux's counts of: N stores of valid kernel entries in one section, with
//! inner sections, which store an entry of their own, or page allocations in between.

use alloc::vec::Vec;
use core::hint::black_box;
use core::sync::atomic::Ordering::Relaxed;

use lazy_mmu::Policy;
use lazy_mmu_kernel::mem::frames::{self, Owned};
use lazy_mmu_kernel::mode::{self, lazy_mmu_mode_disable, lazy_mmu_mode_enable};
use stage1_paging::{Desc, ENTRIES, Level, Prot};

use crate::ground;
use crate::measure::{Bench, Failure, Who, ensure};

/// The four calls and what they cost, once and in a loop of `n`.
pub fn calls(bench: &mut Bench, n: u64) -> Result<(), Failure> {
    mode::section(|| {
        bench.row("owe", Who::Ours, n, || {
            for _ in 0..black_box(n) {
                mode::owe();
            }
        })
    })?;
    bench.row("pair-of-calls", Who::Ours, n, || {
        for _ in 0..black_box(n) {
            lazy_mmu_mode_enable();
            lazy_mmu_mode_disable();
        }
    })?;
    mode::section(|| {
        bench.row("nested-pair", Who::Ours, n, || {
            for _ in 0..black_box(n) {
                lazy_mmu_mode_enable();
                lazy_mmu_mode_disable();
            }
        })
    })?;
    bench.row("section-of-one", Who::Ours, n, || {
        for _ in 0..black_box(n) {
            mode::section(mode::owe);
        }
    })
}

/// Entries of a table that no walker reads. An entry is one store and what it owes, as Linux's `set_pte` of a valid kernel entry; it
/// is not counted, and nobody watches it.
struct Entries {
    frame: Owned,
    bits: u64,
}

impl Entries {
    fn take() -> Result<Self, Failure> {
        let frame = frames::alloc().ok_or_else(|| Failure("no frame for entries".into()))?;
        let bits = Desc::leaf(Level::L3, ground::run(), Prot::RO, true).bits();
        Ok(Self { frame, bits })
    }

    /// Stores entry number `index`, and owes its pair.
    #[inline(always)]
    fn store(&self, index: u64) {
        self.frame.words()[index as usize % ENTRIES].store(self.bits, Relaxed);
        mode::owe();
    }
}

/// Where there is an inner section, or an allocation, in a loop.
#[derive(Clone, Copy)]
enum Inner {
    Never,
    /// Once, before the loop.
    Before,
    Section(u64),
    Page(u64),
}

const LOOPS: [(&str, Inner); 7] = [
    ("entries", Inner::Never),
    ("entries-nested-before", Inner::Before),
    ("entries-nested-every-16", Inner::Section(16)),
    ("entries-nested-every", Inner::Section(1)),
    ("entries-page-every-512", Inner::Page(512)),
    ("entries-page-every-16", Inner::Page(16)),
    ("entries-page-every", Inner::Page(1)),
];

/// Loops of `n` entries under the policy of now.
pub fn loops(bench: &mut Bench, n: u64) -> Result<(), Failure> {
    let entries = Entries::take()?;
    alone(bench, n, &entries)?;
    for (name, inner) in LOOPS {
        let pages = Vec::with_capacity(n as usize);
        let pages = bench.row(name, Who::Ours, n, || in_section(&entries, n, inner, pages))?;
        let wanted = match inner {
            Inner::Page(every) => n / every,
            _ => 0,
        };
        ensure!(
            pages.len() as u64 == wanted,
            "{name}: {} of {wanted} pages",
            pages.len()
        );
        frames::free_all(pages);
    }
    frames::free(entries.frame);
    Ok(())
}

/// The two of which the break-even of a section follows.
pub fn break_even(bench: &mut Bench, n: u64) -> Result<(), Failure> {
    let entries = Entries::take()?;
    alone(bench, n, &entries)?;
    let none = Vec::new();
    bench.row("entries", Who::Ours, n, || {
        in_section(&entries, n, Inner::Never, none)
    })?;
    frames::free(entries.frame);
    Ok(())
}

fn alone(bench: &mut Bench, n: u64, entries: &Entries) -> Result<(), Failure> {
    bench.row("entries-no-section", Who::Ours, n, || {
        for index in 0..black_box(n) {
            entries.store(index);
        }
    })
}

/// Stores `n` entries in a section. One loop for each kind, so that none pays for the choice.
#[inline(always)]
fn in_section(entries: &Entries, n: u64, inner: Inner, mut pages: Vec<Owned>) -> Vec<Owned> {
    let n = black_box(n);
    lazy_mmu_mode_enable();
    match inner {
        Inner::Never => (0..n).for_each(|index| entries.store(index)),
        Inner::Before => {
            nested(entries);
            (0..n).for_each(|index| entries.store(index));
        }
        Inner::Section(every) => each(entries, n, every, || nested(entries)),
        // A page that is not there is missed by the count.
        Inner::Page(every) => each(entries, n, every, || pages.extend(frames::alloc())),
    }
    lazy_mmu_mode_disable();
    pages
}

/// A section of one entry.
#[inline(always)]
fn nested(entries: &Entries) {
    lazy_mmu_mode_enable();
    entries.store(0);
    lazy_mmu_mode_disable();
}

/// Stores `n` entries, with `inner` before every group of `every`: Linux's loops have it there.
#[inline(always)]
fn each(entries: &Entries, n: u64, every: u64, mut inner: impl FnMut()) {
    let mut until = 0;
    for index in 0..n {
        if index == until {
            inner();
            until += every;
        }
        entries.store(index);
    }
}

/// All policies, `v3` last: what follows runs under it.
pub const POLICIES: [Policy; 5] = [
    Policy::Eager,
    Policy::Flat,
    Policy::Reenter,
    Policy::Linux7,
    Policy::V3,
];
