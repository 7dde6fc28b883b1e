//! Where things are: the upper half of the address space, and the way between physical and linear
//! addresses.
//!
//! | from | what | mapped as |
//! |---|---|---|
//! | `FFFF_0000_0000_0000` | linear map: all RAM at `LINEAR_BASE + pa` | read-write; text and rodata read-only; never executable |
//! | `FFFF_8000_0000_0000` | vmap area, for workloads and whoever needs addresses | as its owner maps it |
//! | `FFFF_A000_0000_0000` | stacks, each above a guard of its own size | read-write |
//! | `FFFF_C000_0000_0000` | device area: registers at `DEVICE_BASE + pa` | Device-nGnRE, read-write |
//! | `FFFF_FFFF_8000_0000` | the image, RAM's start at its base | text read-execute, rodata read-only, the rest read-write |
//!
//! The lower half belongs to tasks.

use lazy_mmu_boot::{DEVICE_BASE, KERNEL_BASE, LINEAR_BASE, RAM_BASE};
use stage1_paging::{Pa, Va};

/// Bytes in a page, and in a frame.
pub const PAGE_SIZE: u64 = 4096;

/// The vmap area's start.
pub const VMAP_BASE: u64 = 0xFFFF_8000_0000_0000;
/// The vmap area's size in bytes.
pub const VMAP_SIZE: u64 = 64 << 30;
/// The same in pages.
pub const VMAP_PAGES: u64 = VMAP_SIZE / PAGE_SIZE;
/// The stack area's start.
pub const STACKS_BASE: u64 = 0xFFFF_A000_0000_0000;
/// A stack holds `1 << STACK_SHIFT` bytes and is aligned to twice that; the half below is its
/// guard. The same value as in `linker.ld` and `traps/vectors.s`.
pub const STACK_SHIFT: u32 = 15;

/// Where RAM at `pa` appears in the linear map.
#[inline(always)]
pub const fn linear(pa: Pa) -> Va {
    Va::new(LINEAR_BASE + pa.raw())
}

/// The physical address behind an address of the linear map: its low 48 bits, as `LINEAR_BASE` has none of them.
#[inline(always)]
pub const fn linear_to_physical(va: Va) -> Pa {
    Pa::masked(va.raw())
}

/// Where a device's registers appear.
pub const fn device(pa: Pa) -> Va {
    Va::new(DEVICE_BASE + pa.raw())
}

/// The physical address of something in the image.
pub const fn image_to_physical(va: Va) -> Pa {
    Pa::masked(va.raw() - KERNEL_BASE + RAM_BASE)
}

impl Image {
    /// The stacks in the image, each with its guard below it: where it starts and ends.
    pub fn stack_blocks(&self) -> impl Iterator<Item = (Va, Va)> {
        let (stacks, size) = (self.stacks.raw(), 1_u64 << STACK_SHIFT);
        let blocks = (self.end.raw() - stacks) / (2 * size);
        (0..blocks).map(move |block| {
            let stack = stacks + block * 2 * size + size;
            (Va::new(stack), Va::new(stack + size))
        })
    }
}

/// The image's sections, from the linker script.
#[derive(Clone, Copy, Debug)]
pub struct Image {
    /// First byte, of text.
    pub start: Va,
    /// End of text; rodata follows.
    pub text_end: Va,
    /// End of rodata; data, BSS and the boot stack follow.
    pub rodata_end: Va,
    /// First byte of the stacks: blocks of a guard and a stack, `1 << STACK_SHIFT` bytes each. The first is the boot stack's.
    pub stacks: Va,
    /// Where the first of them, the boot stack, ends.
    pub boot_stack_top: Va,
    /// End of everything.
    pub end: Va,
}

/// The image this kernel runs from.
pub fn image() -> Image {
    unsafe extern "C" {
        static __image_start: u8;
        static __text_end: u8;
        static __rodata_end: u8;
        static __stacks_start: u8;
        static __boot_stack_top: u8;
        static __image_end: u8;
    }
    Image {
        start: Va::new(&raw const __image_start as u64),
        text_end: Va::new(&raw const __text_end as u64),
        rodata_end: Va::new(&raw const __rodata_end as u64),
        stacks: Va::new(&raw const __stacks_start as u64),
        boot_stack_top: Va::new(&raw const __boot_stack_top as u64),
        end: Va::new(&raw const __image_end as u64),
    }
}
