//! W^X: no page of the upper half is writable and executable, by its descriptor and by what the machine does.
//!
//! @boot cpu=max,cortex-a53
//! @boot args="check=on" expect="no violation"
//! @boot args="debug=off"
//! @boot args="debug=off" mem=1G
#![no_std]
#![no_main]

mod common;

use common::ensure;
use lazy_mmu_kernel::arch::FaultKind;
use lazy_mmu_kernel::arch::{probe, registers};
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::base::layout;
use lazy_mmu_kernel::mem::{self, frames};
use lazy_mmu_kernel::observe::access::{self, Expect};
use lazy_mmu_kernel::{Boot, println};
use stage1_paging::{Access, Half, Pages, Va};

lazy_mmu_kernel::entry!(main);

fn main(boot: &Boot) -> Verdict {
    ensure!(registers::is_wxn(), "SCTLR_EL1.WXN is clear");
    let image = layout::image();
    let (mut mappings, mut executable, mut blocks) = (0_u64, 0_u64, 0_u64);
    let Ok(all) = mem::mappings(Pages::whole(Half::Upper)) else {
        return Verdict::Failed;
    };
    for mapping in all {
        mappings += 1;
        blocks += u64::from(mapping.frames() > 1);
        let access = mapping.prot().access;
        ensure!(
            access != Access::ReadWriteExecute,
            "{mapping:?} is writable and executable"
        );
        ensure!(mapping.desc.is_global(), "{mapping:?} is not global");
        if access.is_executable() {
            executable += mapping.frames();
            let inside = (image.start.raw()..image.text_end.raw()).contains(&mapping.va.raw());
            ensure!(inside, "{mapping:?} is executable, and not text");
        }
        // What lies behind text and rodata is writable nowhere.
        let start = layout::image_to_physical(image.start).raw();
        let end = layout::image_to_physical(image.rodata_end).raw();
        let first = mapping.frame().pa().raw();
        let last = first + (mapping.frames() - 1) * layout::PAGE_SIZE;
        if last >= start && first < end {
            ensure!(
                !access.is_writable(),
                "{mapping:?} is a writable alias of text or rodata"
            );
        }
    }
    let text = (image.text_end.raw() - image.start.raw()) / layout::PAGE_SIZE;
    ensure!(
        executable == text,
        "{executable} pages are executable, text has {text}"
    );
    ensure!(
        (blocks == 0) == boot.arguments.debug,
        "{blocks} blocks with debug={}",
        boot.arguments.debug
    );
    println!("{mappings} mappings, {executable} executable pages, {blocks} blocks");

    // And what the machine does: each kind of page, tried.
    for va in [
        image.start,
        image.text_end,
        linear(image.start),
        linear(image.text_end),
    ] {
        // SAFETY: must fail; if it does not, the word is what it was.
        let stored = unsafe {
            let word = probe::read_u64(va).unwrap_or_default();
            access::write(va, word, Expect::Faults)
        };
        let refused = stored.is_err_and(|fault| matches!(fault.kind, FaultKind::Permission(_)));
        ensure!(refused, "{va}: a store gives {stored:?}");
    }
    let Some(frame) = frames::alloc() else {
        return Verdict::Failed;
    };
    frame.words()[0].store(
        u64::from(probe::RET) << 32 | u64::from(probe::RET),
        core::sync::atomic::Ordering::Relaxed,
    );
    let data = &raw const mappings as u64;
    for va in [
        layout::linear(frame.frame().pa()),
        Va::new(data & !7),
        image.text_end,
        linear(image.start),
    ] {
        // SAFETY: must fail; where it does not, a page that begins with RET comes straight back, and any other is a
        // test that ends in an exception, which is no pass either.
        let fetched = unsafe { access::execute(va, Expect::Faults) };
        let refused = fetched.is_err_and(|fault| matches!(fault.kind, FaultKind::Permission(_)));
        ensure!(refused, "{va}: a fetch gives {fetched:?}");
    }
    frames::free(frame);
    Verdict::Good
}

/// The linear alias of something in the image.
fn linear(va: Va) -> Va {
    layout::linear(layout::image_to_physical(va))
}
