//! The kernel's own tables: how RAM is divided at boot, what is mapped where, and the move off the early tables.

use core::fmt;

use lazy_mmu_boot::{EARLY_WINDOW, RAM_BASE};
use stage1_hw::{IdRegisters, Upkeep};
use stage1_paging::{Error, Fit, Frame, Half, Pa, Pages, Prot, Space, Va};

use super::services::KernelServices;
use super::{HARDWARE, Hardware, KERNEL, Table, frames, heap, ttbr0};
use crate::arch::registers;
use crate::base::MAX_CORES;
use crate::base::layout::{self, Image, PAGE_SIZE};
use crate::machine::{Machine, Region};
use crate::observe::rules;
use crate::observe::seam::{self, HW};

/// Why this machine's memory does not do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemoryError {
    /// The image is not in RAM as the device tree describes it.
    ImageOutsideRam(Region),
    /// There is less RAM than the kernel needs: bytes there are, bytes it takes.
    TooSmall(u64, u64),
    /// RAM does not fit the physical addresses of this core: bits there are.
    TooHigh(u8),
    /// The kernel's tables could not be built.
    Tables(Error),
    /// No frame for the root table.
    NoRoot,
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MemoryError::ImageOutsideRam(ram) => {
                write!(
                    f,
                    "the kernel was loaded outside of RAM ({} and {} bytes)",
                    ram.start, ram.bytes
                )
            }
            MemoryError::TooSmall(there, needed) => write!(
                f,
                "{} MiB of RAM, and {} MiB are needed: give QEMU more with -m (MEM=)",
                there >> 20,
                needed.div_ceil(1 << 20)
            ),
            MemoryError::TooHigh(bits) => write!(
                f,
                "RAM lies beyond the {bits} bits of this core's physical addresses"
            ),
            MemoryError::Tables(error) => write!(f, "the kernel's tables: {error}"),
            MemoryError::NoRoot => f.write_str("no frame for the kernel's root table"),
        }
    }
}

/// How RAM is divided at boot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    ram: Region,
    image: Image,
    heap: Region,
}

/// Least RAM: the early window is taken for granted before there are tables to say otherwise.
pub const RAM_MIN: u64 = EARLY_WINDOW;

impl Plan {
    /// Divides RAM, and gives the heap its part: more of it where the rules are to be asked.
    ///
    /// # Errors
    /// [`MemoryError`]: all but the last two.
    ///
    /// # Safety
    /// Called once, on the early tables, before anything else uses RAM outside of the image.
    pub(crate) unsafe fn carry_out(machine: &Machine, checking: bool) -> Result<Self, MemoryError> {
        let (ram, image) = (machine.ram, layout::image());
        // linker.ld, layout.rs and boot have these numbers each for themselves.
        let first_stack = image.stack_blocks().next().map(|(_, end)| end);
        assert!(
            image.stack_blocks().count() == 1 + MAX_CORES
                && first_stack == Some(layout::boot_stack_top())
        );
        let start = layout::image_to_physical(image.start).raw();
        let end = layout::image_to_physical(image.end).raw();
        if ram.start.raw() > start || ram.start.raw() != RAM_BASE {
            return Err(MemoryError::ImageOutsideRam(ram));
        }
        if ram.bytes < RAM_MIN {
            return Err(MemoryError::TooSmall(ram.bytes, RAM_MIN));
        }
        let bits = IdRegisters::read().pa_bits();
        if ram.end().raw() > 1 << bits {
            return Err(MemoryError::TooHigh(bits));
        }
        let bytes = heap::size_for(ram.bytes, checking);
        let start =
            Frame::containing(Pa::new(end + PAGE_SIZE - 1).ok_or(MemoryError::TooHigh(bits))?).pa();
        let heap = Region { start, bytes };
        // SAFETY: 1. The region follows the image, below the end of the early window (the image
        // takes at most 16 MiB of it, the heap 32), which both sets of tables map. 2. The
        // caller's promise.
        unsafe { heap::init(start, bytes) };
        Ok(Self { ram, image, heap })
    }

    /// RAM behind the heap that the early tables reach.
    fn window(&self) -> Region {
        let end = RAM_BASE + EARLY_WINDOW.min(self.ram.bytes);
        Region {
            start: self.heap.end(),
            bytes: end - self.heap.end().raw(),
        }
    }

    /// RAM that they do not reach.
    fn beyond(&self) -> Region {
        let window = self.window();
        Region {
            start: window.end(),
            bytes: self.ram.end().raw() - window.end().raw(),
        }
    }
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
pub(crate) unsafe fn enter_kernel_tables(
    plan: &Plan,
    machine: &Machine,
    debug: bool,
    poison: bool,
) -> Result<(), MemoryError> {
    // Below the image lies the device tree, which has been read.
    let image_start = layout::image_to_physical(plan.image.start);
    let below = Region {
        start: plan.ram.start,
        bytes: image_start.raw() - plan.ram.start.raw(),
    };
    for region in [below, plan.window()] {
        // SAFETY: RAM outside of image and heap; the early tables map it, and the ones built below
        // will.
        unsafe { frames::add(region) };
    }
    // SAFETY: 1. All RAM is in the linear map, the early one as far as frames were added, and the
    // final one, and an allocated frame is the holder's alone. 2. The observer executes what it is
    // asked to. (The image that injects faults does not: that is what it is for.) 3. Roots come from
    // `new_root`. 4. Outside of this folder the tables are changed through a `PageRange` alone, of an
    // area or of a task's half, where no Rust object lies; in it, for the stack of a slot, and for the
    // linear page of a frame that is allocated or freed. 5. From the ID registers; a core that promises
    // less is refused.
    let hardware =
        HARDWARE.call_once(|| unsafe { Hardware::new(seam::services(KernelServices), upkeep()) });
    let root = hardware.new_root().map_err(|_| MemoryError::NoRoot)?;
    let space = KERNEL.call_once(|| Space::new(hardware, root, Half::Upper));
    let linear_fit = if debug { Fit::Pages } else { Fit::Largest };
    map_image(space, &plan.image).map_err(MemoryError::Tables)?;
    map_linear(space, plan, linear_fit).map_err(MemoryError::Tables)?;
    map_devices(space, machine).map_err(MemoryError::Tables)?;
    // SAFETY: 1. The new tables map the image, its stack, RAM and devices where they are; each of
    // the calls above has published what it stored, outside of any section. 2. The caller's
    // first point.
    unsafe { leave_early_tables(hardware, space.root()) };
    rules::on_own_tables();

    if debug || poison {
        frames::start_debugging(debug, poison);
    }
    // SAFETY: RAM that nothing has used so far, mapped in the linear map.
    unsafe { frames::add_fresh(plan.beyond()) };
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
fn map_linear(space: &Space<'_, Hardware>, plan: &Plan, fit: Fit) -> Result<(), Error> {
    let image = &plan.image;
    let start = layout::image_to_physical(image.start);
    let rodata_end = layout::image_to_physical(image.rodata_end);
    let parts = [
        (plan.ram.start, start, Prot::RW),
        (start, rodata_end, Prot::RO),
        (rodata_end, plan.ram.end(), Prot::RW),
    ];
    for (start, end, prot) in parts {
        let all = pages(layout::linear(start), layout::linear(end))?;
        // The rules remember every store until it is published: then a table's worth at a time.
        let at_once = if rules::is_on() { 512 } else { all.count() };
        for part in all.chunks(at_once) {
            let offset = (part.start().raw() - all.start().raw()) / PAGE_SIZE;
            let frame = Frame::containing(start).checked_add(offset);
            space.map(part, frame.unwrap_or(Frame::containing(start)), prot, fit)?;
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
        space.map(
            pages,
            Frame::containing(region.start),
            Prot::DEVICE,
            Fit::Pages,
        )?;
    }
    Ok(())
}

/// What this machine's TLBI can do.
fn upkeep() -> Upkeep {
    Upkeep {
        tlb: IdRegisters::read().tlb(),
        repeat_tlbi: false,
    }
}

/// From the early tables to the kernel's: TTBR1 gets the new root, TTBR0 nothing, and writable
/// memory stops being executable whatever its descriptor says (SCTLR_EL1.WXN).
///
/// # Safety
/// 1. `root` maps the image, the stack and everything in use where they are, W^X, and its stores
///    have been published.
/// 2. The early tables are in use, no other core runs, and interrupts are masked.
unsafe fn leave_early_tables(hardware: &Hardware, root: Table) {
    // SAFETY: the two points are the callee's.
    unsafe { lazy_mmu_boot::replace_ttbr1(hardware.address(root).raw()) };
    registers::set_wxn();
    leave_identity_map();
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
