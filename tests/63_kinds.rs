//! Every barrier and TLBI that the kernel can execute, each once and in a window of its own: the kernel counts that kind and no other, and so
//! does the plugin, whose comparison the runner demands.
//!
//! @boot cpu=max expect="22 windows, all equal"
#![no_std]
#![no_main]

mod common;

use common::ensure;
use lazy_mmu_kernel::Boot;
use lazy_mmu_kernel::arch::registers;
use lazy_mmu_kernel::arch::window::{self, Window};
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::observe::seam::HW;
use lazy_mmu_kernel::task::{self, kinds};
use lazy_mmu_kernel::{println, report};
use stage1_hw::{Barrier, Instructions, Op, Why};
use stage1_paging::{Batch, Tlbi};

lazy_mmu_kernel::entry!(main);

/// One page, or a range of two: which, is all the same here.
const PAGE: u64 = 1;
const RANGE: u64 = 1 << 46;

const fn tlbi(first: Tlbi) -> Op {
    let (count, step) = (1, 1);
    Op::Tlbi(Batch { first, count, step })
}

/// Each kind by its name.
const ALL: [(&str, Op); kinds::KINDS] = [
    ("dsb-ish", Op::Dsb(Barrier::Ish)),
    ("dsb-ishst", Op::Dsb(Barrier::Ishst)),
    ("dsb-ishld", Op::Dsb(Barrier::Ishld)),
    ("dsb-nsh", Op::Dsb(Barrier::Nsh)),
    ("dsb-sy", Op::Dsb(Barrier::Sy)),
    ("dmb-ish", Op::Dmb(Barrier::Ish)),
    ("dmb-ishst", Op::Dmb(Barrier::Ishst)),
    ("dmb-ishld", Op::Dmb(Barrier::Ishld)),
    ("dmb-nsh", Op::Dmb(Barrier::Nsh)),
    ("dmb-sy", Op::Dmb(Barrier::Sy)),
    ("isb", Op::Isb),
    ("tlbi-vae1is", tlbi(Tlbi::Vae1is(PAGE))),
    ("tlbi-vale1is", tlbi(Tlbi::Vale1is(PAGE))),
    ("tlbi-vaae1is", tlbi(Tlbi::Vaae1is(PAGE))),
    ("tlbi-vaale1is", tlbi(Tlbi::Vaale1is(PAGE))),
    ("tlbi-rvae1is", tlbi(Tlbi::Rvae1is(RANGE))),
    ("tlbi-rvale1is", tlbi(Tlbi::Rvale1is(RANGE))),
    ("tlbi-rvaae1is", tlbi(Tlbi::Rvaae1is(RANGE))),
    ("tlbi-rvaale1is", tlbi(Tlbi::Rvaale1is(RANGE))),
    ("tlbi-aside1is", tlbi(Tlbi::Aside1is(0))),
    ("tlbi-vmalle1is", tlbi(Tlbi::Vmalle1is)),
    ("tlbi-vmalle1", Op::TlbiAllLocal),
];

fn main(_: &Boot) -> Verdict {
    let counts = &task::current().counts;
    for (number, (name, op)) in (0_u8..).zip(ALL) {
        let tag = [number / 16, number % 16];
        let counted = registers::without_interrupts(|| {
            window::start(Window::Test, &tag);
            let before = counts.tally();
            HW.execute(op, Why::Register);
            let counted = counts.tally() - before;
            window::end(Window::Test);
            counted
        });
        for (kind, count) in report::KIND_NAMES.iter().zip(counted.executed) {
            let expected = u64::from(*kind == name);
            ensure!(count == expected, "{name} is counted as {kind} {count}");
        }
        report::note_window(&tag, Window::Test, counted);
    }
    println!("{} kinds", ALL.len());
    Verdict::Good
}
