//! Accesses that fault by intent come back as an error that says why, and accesses that do not come back with the value.
//!
//! @boot cpu=max,cortex-a72
#![no_std]
#![no_main]

mod common;

use common::ensure;
use lazy_mmu_kernel::Boot;
use lazy_mmu_kernel::arch::{Fault, FaultKind};
use lazy_mmu_kernel::arch::{probe, translate};
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::base::layout;
use lazy_mmu_kernel::mem::areas::Area;
use lazy_mmu_kernel::mem::frames;
use lazy_mmu_kernel::observe::seam::HW;
use stage1_paging::{Access, Prot, Va};

lazy_mmu_kernel::entry!(main);

fn main(_: &Boot) -> Verdict {
    let image = layout::image();
    let nowhere = Va::new(layout::VMAP_BASE);
    ensure!(
        is_translation(probe::read_u64(nowhere)),
        "{:?}",
        probe::read_u64(nowhere)
    );
    ensure!(
        is_translation(translate::read(HW, nowhere)),
        "{:?}",
        translate::read(HW, nowhere)
    );
    // Bits 63..48 neither all ones nor all zeroes: outside of both halves, a translation fault of level 0.
    let odd = Va::new(0x1234_0000_0000_0000);
    ensure!(
        is_translation(probe::read_u64(odd)),
        "{:?}",
        probe::read_u64(odd)
    );
    ensure!(probe::read_u64(image.start).is_ok(), "text is readable");

    // SAFETY: the store must fail: text is read-only.
    let stored = unsafe { probe::write_u64(image.start, 0) };
    ensure!(is_permission(stored), "{stored:?}");
    ensure!(
        stored.is_err_and(|fault| fault.write && fault.va == image.start),
        "{stored:?}"
    );
    ensure!(
        is_permission(translate::write(HW, image.start)),
        "{:?}",
        translate::write(HW, image.start)
    );
    // SAFETY: the fetch must fail: nothing is mapped there.
    let fetched = unsafe { probe::execute(nowhere) };
    ensure!(is_translation(fetched), "{fetched:?}");
    // SAFETY: the fetch must fail: rodata, which is not executable.
    let fetched = unsafe { probe::execute(image.text_end) };
    ensure!(is_permission(fetched), "{fetched:?}");
    // The MMU says yes to EL1, and the load has EL0's permissions: made again for a while, and no longer.
    let as_el0 = probe::read_u64_as_el0(image.rodata_end);
    ensure!(is_permission(as_el0), "{as_el0:?}");
    ensure!(
        translate::read(HW, image.rodata_end).is_ok(),
        "EL1 may read it"
    );
    let mut stacks = 0;
    for (start, end) in image.stack_blocks() {
        stacks += 1;
        let guard = Va::new(start.raw() - 8);
        ensure!(
            is_translation(probe::read_u64(guard)),
            "{guard}: the guard below a stack is mapped"
        );
        let top = Va::new(end.raw() - 8);
        ensure!(
            probe::read_u64(top).is_ok(),
            "{top}: the top of a stack is not"
        );
    }
    ensure!(
        stacks == 9,
        "the boot stack and eight to report on, not {stacks}"
    );

    // A frame of one's own: what is stored is loaded, byte and word, and AT names the frame.
    let Some(frame) = frames::alloc() else {
        return Verdict::Failed;
    };
    let Some(area) = Area::take(1) else {
        return Verdict::Failed;
    };
    let range = area.range();
    ensure!(
        range.pages().start() == nowhere,
        "the first page of the vmap area"
    );
    ensure!(
        range.map_page(nowhere, frame.frame(), Prot::RW).is_ok(),
        "a page of the vmap area"
    );
    // SAFETY: nobody else's page, here and below.
    let stored = unsafe { probe::write_u64(nowhere, 0x1122_3344_5566_7788) };
    ensure!(stored.is_ok(), "{stored:?}");
    ensure!(
        probe::read_u64(nowhere) == Ok(0x1122_3344_5566_7788),
        "{:x?}",
        probe::read_u64(nowhere)
    );
    ensure!(probe::read_u8(nowhere) == Ok(0x88), "little-endian");
    ensure!(
        translate::read(HW, nowhere) == Ok(frame.frame().pa()),
        "{:?}",
        translate::read(HW, nowhere)
    );
    ensure!(
        translate::write(HW, nowhere) == Ok(frame.frame().pa()),
        "{:?}",
        translate::write(HW, nowhere)
    );

    let mut gather = range.gather(());
    let changed = range.protect(range.pages(), Access::ReadOnly, &mut gather);
    ensure!(changed == Ok(1), "{changed:?}");
    let _ = gather.finish();
    // SAFETY: as above.
    let stored = unsafe { probe::write_u64(nowhere, 0) };
    ensure!(is_permission(stored), "{stored:?}");
    ensure!(
        probe::read_u64(nowhere) == Ok(0x1122_3344_5566_7788),
        "the store had no effect"
    );

    let mut gather = range.gather(());
    let unmapped = range.unmap(range.pages(), &mut gather);
    ensure!(unmapped == Ok(1), "{unmapped:?}");
    let _ = gather.finish();
    ensure!(
        is_translation(probe::read_u64(nowhere)),
        "{:x?}",
        probe::read_u64(nowhere)
    );
    frames::free(frame);
    Verdict::Good
}

fn is_translation<T>(result: Result<T, Fault>) -> bool {
    result.is_err_and(|fault| matches!(fault.kind, FaultKind::Translation(_)))
}

fn is_permission<T>(result: Result<T, Fault>) -> bool {
    result.is_err_and(|fault| matches!(fault.kind, FaultKind::Permission(_)))
}
