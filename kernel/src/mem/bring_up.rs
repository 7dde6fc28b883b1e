//! The kernel's own tables: how RAM is divided at boot, what is mapped where, and the move off the early tables.

use lazy_mmu_boot::{EARLY_WINDOW, RAM_BASE};
use stage1_hw::{CoreRegisters, Upkeep};
use stage1_paging::{Error, Fit, Frame, Half, Pages, Prot, Space, Va};
use thiserror::Error;

use super::services::KernelServices;
use super::{HARDWARE, Hardware, KERNEL, frames, heap, ttbr0};
use crate::arch::registers;
use crate::base::MAX_CORES;
use crate::base::layout::{self, Image, PAGE_SIZE};
use crate::machine::{Machine, Region};
use crate::observe::rules;
use crate::observe::seam::{self, HW};

/// Why this machine's memory does not do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum MemoryError {
    /// The image is not in RAM as the device tree describes it.
    #[error("the kernel was loaded outside of RAM ({} and {} bytes)", .0.start, .0.bytes)]
    ImageOutsideRam(Region),
    /// There is less RAM than [`RAM_MIN`]: bytes there are.
    #[error("{} MiB of RAM, and {} MiB are needed: give QEMU more with -m (MEM=)", .0 >> 20, RAM_MIN >> 20)]
    TooSmall(u64),
    /// RAM does not fit the physical addresses of this core: bits there are.
    #[error("RAM lies beyond the {0} bits of this core's physical addresses")]
    TooHigh(u8),
    /// The kernel's tables could not be built.
    #[error("the kernel's tables: {0}")]
    Tables(#[from] Error),
    /// No frame for the root table.
    #[error("no frame for the kernel's root table")]
    NoRoot,
}

/// Least RAM: the early window is taken for granted before there are tables to say otherwise.
pub const RAM_MIN: u64 = EARLY_WINDOW;

/// Checks that RAM is as the kernel needs it, and gives the heap the part behind the image: more of it where the rules are
/// to be checked.
///
/// # Errors
/// [`MemoryError`]: all but the last two.
///
/// # Safety
/// Called once, on the early tables, before anything else uses RAM outside of the image.
pub(crate) unsafe fn start_heap(machine: &Machine, checking: bool) -> Result<Region, MemoryError> {
    let (ram, image) = (machine.ram, layout::image());
    // linker.ld, layout.rs and boot have these numbers each for themselves.
    let first_stack = image.stack_blocks().next().map(|(_, end)| end);
    assert!(
        image.stack_blocks().count() == 1 + MAX_CORES && first_stack == Some(image.boot_stack_top)
    );
    if ram.start.raw() != RAM_BASE {
        return Err(MemoryError::ImageOutsideRam(ram));
    }
    if ram.bytes < RAM_MIN {
        return Err(MemoryError::TooSmall(ram.bytes));
    }
    let bits = CoreRegisters::read().pa_bits();
    if ram.end().raw() > 1 << bits {
        return Err(MemoryError::TooHigh(bits));
    }
    let heap = Region {
        start: layout::image_to_physical(image.end),
        bytes: heap::size_for(ram.bytes, checking),
    };
    // SAFETY: 1. The region follows the image, below the end of the early window (the image
    // takes at most 16 MiB of it, the heap 32), which both sets of tables map. 2. The
    // caller's promise.
    unsafe { heap::init(heap) };
    Ok(heap)
}

/// Builds the kernel's tables, moves onto them, and opens all of RAM for allocation.
///
/// With `debug` the linear map is in pages, and no free frame is mapped in it when this returns.
///
/// # Errors
/// [`MemoryError::Tables`], [`MemoryError::NoRoot`].
///
/// # Safety
/// 1. Called once, by the first core, on the early tables, with interrupts masked.
/// 2. Nothing points into the device tree any more: its frames are given away.
/// 3. `heap` is what [`start_heap`] returned for this machine.
pub(crate) unsafe fn enter_kernel_tables(
    machine: &Machine,
    heap: Region,
    debug: bool,
    poison: bool,
) -> Result<(), MemoryError> {
    let (ram, image) = (machine.ram, layout::image());
    let window = Region {
        start: ram.start,
        bytes: EARLY_WINDOW,
    };
    // Below the image lies the device tree, which has been read.
    let below = ram.start..layout::image_to_physical(image.start);
    for free in [below, heap.end()..window.end()] {
        // SAFETY: RAM outside of image and heap; the early tables map it, and the ones built below
        // will.
        unsafe { frames::add(free) };
    }
    let upkeep = Upkeep {
        tlb: CoreRegisters::read().tlb(),
        repeat_tlbi: false,
    };
    // SAFETY: 1. All RAM is in the linear map, the early one as far as frames were added, and the
    // final one, and an allocated frame is the holder's alone. 2. The observer executes what it is
    // given. (The image that injects faults does not: that is what it is for.) 3. Roots come from
    // `new_root`. 4. Outside of this folder the tables are changed through a `PageRange` alone, of an
    // area or of a task's half, where no Rust object lies; in it, for the stack of a slot, and for the
    // linear page of a frame that is allocated or freed. 5. From the ID registers; a core that promises
    // less is refused.
    let hardware =
        HARDWARE.call_once(|| unsafe { Hardware::new(seam::services(KernelServices), upkeep) });
    let root = hardware.new_root().map_err(|_| MemoryError::NoRoot)?;
    let space = KERNEL.call_once(|| Space::new(hardware, root, Half::Upper));
    let linear_fit = if debug { Fit::Pages } else { Fit::Largest };
    map_image(space, &image)?;
    map_linear(space, ram, &image, linear_fit)?;
    map_devices(space, machine)?;
    // From the early tables to the kernel's: TTBR1 gets the new root, TTBR0 nothing, and writable
    // memory stops being executable whatever its descriptor says (SCTLR_EL1.WXN).
    // SAFETY: 1. The new tables map the image, its stack, RAM and devices where they are, W^X; each
    // of the calls above has published what it stored, outside of any section. 2. The caller's
    // first point: the early tables are in use, no other core runs, and interrupts are masked.
    unsafe { lazy_mmu_boot::replace_ttbr1(hardware.address(root).raw()) };
    registers::set_wxn();
    leave_identity_map();
    rules::on_own_tables();

    if debug || poison {
        frames::start_debugging(ram, debug, poison);
    }
    // SAFETY: RAM that nothing has used so far, mapped in the linear map.
    unsafe { frames::add_fresh(window.end()..ram.end()) };
    Ok(())
}

fn pages(start: Va, end: Va) -> Result<Pages, Error> {
    Pages::new(start, (end.raw() - start.raw()).div_ceil(PAGE_SIZE))
}

/// W^X: no page of the image is both writable and executable. The boot stack's guard stays
/// unmapped.
fn map_image(space: &Space<'_, Hardware>, image: &Image) -> Result<(), Error> {
    let parts = [
        (image.start, image.text_end, Prot::RX),
        (image.text_end, image.rodata_end, Prot::RO),
        (image.rodata_end, image.stacks, Prot::RW),
    ];
    let stacks = image
        .stack_blocks()
        .map(|(start, end)| (start, end, Prot::RW));
    for (start, end, prot) in parts.into_iter().chain(stacks) {
        space.map(
            pages(start, end)?,
            Frame::containing(layout::image_to_physical(start)),
            prot,
            Fit::Pages,
        )?;
    }
    Ok(())
}

/// All RAM. Where text and rodata lie it is read-only here too: an alias must not open what the
/// image's own mapping closes.
fn map_linear(
    space: &Space<'_, Hardware>,
    ram: Region,
    image: &Image,
    fit: Fit,
) -> Result<(), Error> {
    let start = layout::image_to_physical(image.start);
    let rodata_end = layout::image_to_physical(image.rodata_end);
    let parts = [
        (ram.start, start, Prot::RW),
        (start, rodata_end, Prot::RO),
        (rodata_end, ram.end(), Prot::RW),
    ];
    for (start, end, prot) in parts {
        let all = pages(layout::linear(start), layout::linear(end))?;
        // The rules remember every store until it is published: then a table's worth at a time, from where a block may begin.
        let lead = all.start().raw().wrapping_neg() / PAGE_SIZE % 512;
        let at_once = if rules::is_on() { 512 } else { u64::MAX };
        let rest = all.skip(lead).chunks(at_once);
        for part in [all.take(lead)].into_iter().chain(rest) {
            let frame = Frame::containing(layout::linear_to_physical(part.start()));
            space.map(part, frame, prot, fit)?;
        }
    }
    Ok(())
}

fn map_devices(space: &Space<'_, Hardware>, machine: &Machine) -> Result<(), Error> {
    let gic = machine.gic.map(|gic| {
        // A redistributor has two 64 KiB frames; QEMU leaves room for many more cores than there are.
        let bytes = gic.cores.bytes.min(machine.core_count as u64 * 0x2_0000);
        let cores = Region { bytes, ..gic.cores };
        [gic.distributor, cores]
    });
    for region in machine.uart.into_iter().chain(gic.into_iter().flatten()) {
        let pages = pages(layout::device(region.start), layout::device(region.end()))?;
        let frame = Frame::containing(region.start);
        space.map(pages, frame, Prot::DEVICE, Fit::Largest)?;
    }
    Ok(())
}

/// Empties TTBR0 and drops what the TLB holds of the identity map, which is global; and of
/// SCTLR_EL1.WXN, which entries may hold as well.
///
/// Local: other cores do it for themselves. The ISB makes the registers count before the
/// invalidation.
pub(crate) fn leave_identity_map() {
    ttbr0::clear();
    stage1_hw::drop_all_local(HW);
}
