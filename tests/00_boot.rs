//! The machine comes up as the device tree says, on every core and from either exception level.
//!
//! @boot cpu=max,cortex-a53,cortex-a72,neoverse-n1
//! @boot el2=on cpu=max,cortex-a72
//! @boot mem=64M expect="64 MiB"
//! @boot mem=64M args="debug=off"
//! @boot mem=4G expect="4096 MiB" timeout=120
//! @boot mem=4G args="debug=off" expect="4096 MiB"
//! @boot gic=2 expect="GICv2"
//! @boot gic=3 expect="GICv3"
//! @boot smp=8 expect="8 cores"
//! @boot mem=32M verdict=5 expect="64 MiB are needed"
#![no_std]
#![no_main]

mod common;

use common::ensure;
use lazy_mmu_kernel::arch::registers;
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::base::layout;
use lazy_mmu_kernel::mem::frames;
use lazy_mmu_kernel::{Boot, println};
use stage1_paging::Va;

lazy_mmu_kernel::entry!(main);

fn main(boot: &Boot) -> Verdict {
    let machine = &boot.machine;
    println!(
        "{} MiB, {} cores",
        machine.ram.bytes >> 20,
        machine.core_count
    );
    match machine.gic {
        Some(gic) => println!("GICv{}", gic.version),
        None => println!("no GIC"),
    }
    ensure!(
        {
            let core = stage1_hw::CoreRegisters::read();
            stage1_hw::check_walks(core.tcr, core.mair).is_ok()
        },
        "walks are not what `ishst` reaches"
    );
    ensure!(machine.uart.is_some(), "this line came from somewhere");
    ensure!(machine.gic.is_some(), "-M virt has one");
    ensure!(machine.psci.is_some(), "-M virt has PSCI");
    ensure!(
        machine.core_count == machine.cores_in_tree,
        "{} in the tree",
        machine.cores_in_tree
    );
    ensure!(
        machine.cores.contains(&registers::affinity()),
        "this core is not in the tree"
    );

    // The stack in use is the boot stack.
    let local = 0_u8;
    let here = &raw const local as u64;
    let image = layout::image();
    ensure!(
        image
            .stack_blocks()
            .next()
            .is_some_and(|(start, end)| (start..end).contains(&Va::new(here))),
        "the stack is at {here:#x}"
    );

    // Every frame that the lists claim is RAM: the count cannot exceed it, and most of it must be there.
    let all = machine.ram.bytes / layout::PAGE_SIZE;
    let free = frames::free_count();
    ensure!(free < all && free > all / 2, "{free} frames free of {all}");
    Verdict::Good
}
