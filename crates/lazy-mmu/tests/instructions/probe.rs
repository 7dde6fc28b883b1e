//! What the instruction count is taken from: the calls as a kernel would instantiate them, under each contract
//! type and under the one that chooses. Compiled for the bare target by `main.rs`.
#![no_std]

use core::arch::asm;
use lazy_mmu::baseline::{Eager, Flat, Reenter};
use lazy_mmu::{Chosen, Cpu, Linux7, Misuse, TaskMmu, V3};

pub struct ThisCpu;

impl Cpu for ThisCpu {
    #[inline(always)]
    fn publish(&self) {
        // SAFETY: two barriers, which touch nothing.
        unsafe { asm!("dsb ishst", "isb", options(nostack, preserves_flags)) }
    }

    #[cold]
    #[inline(never)]
    fn misuse(&self, _: Misuse) {
        // SAFETY: stops, and touches nothing. One that did nothing would be optimised out with its test.
        unsafe { asm!("brk #1", options(nostack)) }
    }
}

macro_rules! probes {
    ($($contract:ty: $owe:ident $enable:ident $disable:ident $pause:ident $resume:ident $store:ident,)*) => {$(
        #[unsafe(no_mangle)]
        pub fn $owe(task: &TaskMmu<$contract, ThisCpu>) {
            task.owe();
        }

        #[unsafe(no_mangle)]
        pub fn $enable(task: &TaskMmu<$contract, ThisCpu>) {
            task.lazy_mmu_mode_enable();
        }

        #[unsafe(no_mangle)]
        pub fn $disable(task: &TaskMmu<$contract, ThisCpu>) {
            task.lazy_mmu_mode_disable();
        }

        #[unsafe(no_mangle)]
        pub fn $pause(task: &TaskMmu<$contract, ThisCpu>) {
            task.lazy_mmu_mode_pause();
        }

        #[unsafe(no_mangle)]
        pub fn $resume(task: &TaskMmu<$contract, ThisCpu>) {
            task.lazy_mmu_mode_resume();
        }

        /// As a page-table code does: entries, each followed by its debt.
        #[unsafe(no_mangle)]
        pub fn $store(task: &TaskMmu<$contract, ThisCpu>, entries: &mut [u8; 3]) {
            entries[0] = 1;
            entries[1] = 2;
            task.owe();
            entries[2] = entries[0];
            task.owe();
        }
    )*};
}

probes! {
    Eager: eager_owe eager_enable eager_disable eager_pause eager_resume eager_store,
    Flat: flat_owe flat_enable flat_disable flat_pause flat_resume flat_store,
    Reenter: reenter_owe reenter_enable reenter_disable reenter_pause reenter_resume reenter_store,
    V3: v3_owe v3_enable v3_disable v3_pause v3_resume v3_store,
    Linux7: linux7_owe linux7_enable linux7_disable linux7_pause linux7_resume linux7_store,
    Chosen: chosen_owe chosen_enable chosen_disable chosen_pause chosen_resume chosen_store,
}
