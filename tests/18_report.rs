//! What an exception report decodes: the class, the fault status and its level, the saved state, the walk, and the last events.
//!
//! @boot args="do=store" verdict=4 expect="000000009600004f data abort: store, permission fault, level 3" expect="FAR  ffffffff80200000" expect="SPSR 00000000a0000085 EL1h N C I"
//! @boot args="do=store" verdict=4 expect="AT S1E1R: 0x000040200000" expect="walk of ffffffff80200000 through TTBR1_EL1" expect="  L0 [511" expect="  L1 [510" expect="  L2 [  1" expect="  L3 [  0" expect="page 0x000040200000 normal r-x"
//! @boot args="do=store trace=on" verdict=4 expect="last events of this core:" expect="call pause"
//! @boot args="do=load" verdict=4 expect="0000000096000004 data abort: load, translation fault, level 0" expect="SPSR 0000000050000345 EL1h Z V D A F" expect="through TTBR0_EL1" expect="0000000000000000 invalid"
//! @boot args="do=break" verdict=4 expect="00000000f2000001 BRK #0x1 (the compiler's trap" expect="(not of this exception)" expect="(text); addr2line"
//! @boot args="do=undefined" verdict=4 expect="0000000002000000 unknown reason: an instruction that is undefined"
//! @boot args="do=nobody" verdict=4 expect="unknown reason" expect="no current task, core 0"
//! @boot args="do=nobody check=on trace=on" verdict=4 expect="no current task, core 0"
//! @boot args="do=wild" verdict=4 expect="unknown reason" expect="task record at 0x1000, not readable, core 0"
//! @boot args="do=call" verdict=4 expect="0000000056000005 SVC64, ISS 0x5"
#![no_std]
#![no_main]

extern crate alloc;
mod common;

use alloc::vec::Vec;
use core::arch::asm;

use common::ensure;
use lazy_mmu_kernel::base::{Verdict, layout};
use lazy_mmu_kernel::observe::ring;
use lazy_mmu_kernel::{Boot, mode, task};

lazy_mmu_kernel::entry!(main, keys = ["do"]);

/// N and C; Z and V.
const FLAGS: [u64; 2] = [0b1010 << 28, 0b0101 << 28];

/// The ring gives the last events, oldest first, and the newest is among them.
fn events_are_in_order() -> Verdict {
    mode::lazy_mmu_mode_enable();
    mode::lazy_mmu_mode_pause();
    let core = task::core().index;
    let last: Vec<_> = ring::last(core, 3).collect();
    ensure!(last.len() == 3, "{last:?}");
    let ascends = last.is_sorted_by(|a, b| a.sequence < b.sequence);
    ensure!(ascends, "{last:?}");
    let all = ring::last(core, ring::len(core) as usize);
    let newest = all.map(|event| event.sequence).max();
    ensure!(newest == last.last().map(|e| e.sequence), "{last:?}");
    Verdict::Good
}

fn main(boot: &Boot) -> Verdict {
    if boot.arguments.trace.is_some() {
        let verdict = events_are_in_order();
        if verdict != Verdict::Good {
            return verdict;
        }
    }
    let [store, load] = FLAGS;
    let text = layout::image().start.raw();
    match boot.arguments.own("do") {
        // SAFETY: none: this is the test. The flags and masks that are set first are what is reported, and text is read-only.
        Some("store") => unsafe {
            asm!("msr nzcv, {}", "msr daifset, #2", "str xzr, [{}]", in(reg) store, in(reg) text)
        },
        // SAFETY: none: this is the test, and nothing is mapped there.
        Some("load") => unsafe {
            asm!("msr nzcv, {}", "msr daifset, #13", "ldr xzr, [{}]", in(reg) load, in(reg) 0xDEAD_0000_1000_u64)
        },
        // SAFETY: none: this is the test, and it ends the boot.
        Some("break") => unsafe { asm!("brk #1") },
        // SAFETY: as above.
        Some("undefined") => unsafe { asm!("udf #0") },
        // SAFETY: as above; nothing asks for the task in between.
        Some("nobody") => unsafe { asm!("msr sp_el0, xzr", "udf #0") },
        // SAFETY: as above.
        Some("wild") => unsafe { asm!("msr sp_el0, {}", "udf #0", in(reg) 0x1000_u64) },
        // SAFETY: as above.
        Some("call") => unsafe { asm!("svc #5") },
        _ => {}
    }
    Verdict::Good
}
