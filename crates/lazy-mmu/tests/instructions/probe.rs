//! What the instruction count is taken from: the calls as a kernel would instantiate them. Compiled for the
//! bare target by `main.rs`.
#![no_std]

use core::arch::asm;
use lazy_mmu::{Cpu, Misuse, TaskMmu};

struct Core;

impl Cpu for Core {
    #[inline(always)]
    fn publish(&self) {
        // SAFETY: two barriers, which touch nothing.
        unsafe { asm!("dsb ishst", "isb", options(nostack, preserves_flags)) }
    }

    #[cold]
    #[inline(never)]
    fn misuse(&self, _: Misuse) {}
}

#[unsafe(no_mangle)]
fn probe_owe(task: &TaskMmu) {
    task.owe(&Core);
}

/// As a page-table code does: entries, each followed by its debt.
#[unsafe(no_mangle)]
fn probe_store(task: &TaskMmu, entries: &mut [u8; 3]) {
    entries[0] = 1;
    entries[1] = 2;
    task.owe(&Core);
    entries[2] = entries[0];
    task.owe(&Core);
}

#[unsafe(no_mangle)]
fn probe_enable(task: &TaskMmu) {
    task.lazy_mmu_mode_enable(&Core);
}

#[unsafe(no_mangle)]
fn probe_disable(task: &TaskMmu) {
    task.lazy_mmu_mode_disable(&Core);
}

#[unsafe(no_mangle)]
fn probe_pause(task: &TaskMmu) {
    task.lazy_mmu_mode_pause(&Core);
}

#[unsafe(no_mangle)]
fn probe_resume(task: &TaskMmu) {
    task.lazy_mmu_mode_resume(&Core);
}
