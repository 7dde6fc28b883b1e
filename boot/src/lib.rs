//! From the first instruction to Rust.
//!
//! The loader jumps to `_start` with the MMU off, at EL2 or EL1, and with nothing else promised.
//! The code here
//!
//! 1. parks every core that is not the first and was not started by the kernel (`entry.s`),
//! 2. drops from EL2 to EL1 where it has to, and says so with status 5 where it cannot,
//! 3. turns on MMU and caches over tables that the *linker* filled in (`tables.s`): no code builds
//!    them, so there are no stores that a table walker might miss, and no cache maintenance for
//!    them,
//! 4. jumps to the upper half, clears BSS, takes the boot stack and calls `kernel_entry(device
//!    tree)`.
//!
//! The early tables map the first 64 MiB of RAM and the device area, read-write *and* executable
//! where the image lies. They are there for the few thousand instructions that build the real ones;
//! [`replace_ttbr1`] is how the kernel leaves them.
//!
//! Any other core comes in through PSCI ([`secondary_start`]), takes steps 2 and 3 with the kernel's
//! own tables in TTBR1 and the identity map in TTBR0, takes the stack that [`set_secondary_stack`] gave
//! it, and calls `secondary_entry(number)`.
//!
//! What the kernel owes this crate: the symbols `kernel_entry`, `secondary_entry` and
//! `exception_vectors`.
#![no_std]

use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Where the image is linked: [`RAM_BASE`] appears here. The same value as in `linker.ld` and
/// `tables.s`.
pub const KERNEL_BASE: u64 = 0xFFFF_FFFF_8000_0000;
/// Where the RAM of QEMU's `virt` machine starts.
pub const RAM_BASE: u64 = 0x4000_0000;
/// The linear map: physical address `pa` appears at `LINEAR_BASE + pa`.
pub const LINEAR_BASE: u64 = 0xFFFF_0000_0000_0000;
/// The device area: physical address `pa` appears at `DEVICE_BASE + pa`, as Device-nGnRE.
pub const DEVICE_BASE: u64 = 0xFFFF_C000_0000_0000;
/// How much RAM the early tables reach, in bytes: what the kernel touches before it has its own
/// tables must lie below `RAM_BASE + EARLY_WINDOW`.
pub const EARLY_WINDOW: u64 = 64 << 20;

global_asm!(include_str!("tables.s"));
global_asm!(include_str!("entry.s"));

/// The physical address of a table that translates nothing, for a TTBR with no space in it.
pub fn empty_table() -> u64 {
    unsafe extern "C" {
        #[link_name = "empty_table"]
        static EMPTY: u8;
    }
    &raw const EMPTY as u64 - KERNEL_BASE + RAM_BASE
}

/// Replaces the tables of the upper half (TTBR1) while running in the upper half.
///
/// The new tables map the same addresses with other block sizes and permissions. With both sets
/// live a TLB could hold two entries for one address, which the architecture forbids (Arm ARM
/// D8.16, TLB conflict). So the code steps down to the identity map in TTBR0, points TTBR1 at an
/// empty table, drops every translation, and only then installs the new root.
///
/// # Safety
/// 1. `root_pa` is the physical address of a level-0 table that maps the running image, its stack
///    and all that is in use where they are now, and whose stores have been completed with a `dsb
///    ishst`.
/// 2. TTBR0 holds the early identity map, no other core is running, and interrupts are masked.
pub unsafe fn replace_ttbr1(root_pa: u64) {
    unsafe extern "C" {
        fn replace_ttbr1_in_idmap();
    }
    let target = replace_ttbr1_in_idmap as *const () as u64 - KERNEL_BASE + RAM_BASE;
    // SAFETY: the callee is the assembly in entry.s, reached by its address in the identity map,
    // which TTBR0 holds (point 2). It uses x0 and x9 only, no stack, and returns here, which
    // point 1 keeps mapped.
    unsafe {
        asm!("blr {target}", target = in(reg) target, inout("x0") root_pa => _, out("x9") _, out("x30") _);
    }
}

/// How many cores there are stacks for.
pub const CORES: usize = 8;

/// Where another core begins: the entry point for PSCI CPU_ON, a physical address.
pub fn secondary_start() -> u64 {
    unsafe extern "C" {
        #[link_name = "secondary_start"]
        fn start();
    }
    start as *const () as u64 - KERNEL_BASE + RAM_BASE
}

/// The context for PSCI CPU_ON: the root of the kernel's tables, which core `number` has in TTBR1 when
/// it turns its MMU on, and its number in the bits that the alignment of a table leaves free.
pub const fn secondary_context(root_pa: u64, number: usize) -> u64 {
    root_pa | number as u64
}

/// Gives core `number` its stack, by the address behind it.
///
/// # Panics
/// If the number is not below [`CORES`].
///
/// # Safety
/// The stack is mapped by the tables that the core is started with, is nobody else's, and stays.
pub unsafe fn set_secondary_stack(number: usize, top: u64) {
    unsafe extern "C" {
        #[link_name = "secondary_stack_tops"]
        static TOPS: [AtomicU64; CORES];
    }
    // SAFETY: entry.s has eight aligned words there, in memory that is writable; they are only written here, and
    // read by a core that is started afterwards.
    let tops = unsafe { &TOPS };
    tops[number].store(top, Relaxed);
}
