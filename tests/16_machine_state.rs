//! What the machine is like once the kernel is up, by its registers and its tables, and on every core: properties that code
//! which works does not notice the loss of.
//!
//! Where the linker or the tables say where something is, `layout` is not used.
//!
//! @boot cpu=max,cortex-a72 smp=1,4
//! @boot cpu=cortex-a72 smp=4 gic=3 el2=on args="debug=off"
//! @boot smp=2 mem=64M args="debug=off"
//! @boot args="debug=off check=on"
#![no_std]
#![no_main]

extern crate alloc;
mod common;

use alloc::alloc::{Layout, alloc as take, dealloc as give};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::arch::asm;
use core::hint::black_box;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

use common::ensure;
use lazy_mmu::Policy;
use lazy_mmu_boot::{DEVICE_BASE, KERNEL_BASE, LINEAR_BASE, RAM_BASE};
use lazy_mmu_kernel::arch::{probe, registers, time};
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::base::layout::STACKS_BASE;
use lazy_mmu_kernel::mem::{self, frames, services};
use lazy_mmu_kernel::sched::{self, Join};
use lazy_mmu_kernel::{Boot, println, task};
use stage1_hw::CoreRegisters;
use stage1_paging::{Half, Level, Mapping, Pages, Va};

lazy_mmu_kernel::entry!(main);

const PAGE: u64 = 4096;
/// Output address of a descriptor, and of a TTBR.
const ADDRESS: u64 = 0xFFFF_FFFF_F000;
/// Bytes of an exception frame, and where SP lies in it: as `traps/vectors.s` stores it.
const FRAME: u64 = 288;
const FRAME_SP: u64 = 248;

type Checked<T = ()> = Result<T, String>;

macro_rules! check {
    ($condition:expr, $($message:tt)*) => {
        if !$condition {
            return Err(format!("line {}: {}", line!(), format_args!($($message)*)));
        }
    };
}

/// The linker's own symbols.
struct Linked {
    start: u64,
    stacks: u64,
    end: u64,
    /// Bytes of a stack, and of the guard below it.
    stack: u64,
}

fn linked() -> Linked {
    unsafe extern "C" {
        static __image_start: u8;
        static __stacks_start: u8;
        static __boot_stack_top: u8;
        static __image_end: u8;
    }
    let (stacks, top) = (
        &raw const __stacks_start as u64,
        &raw const __boot_stack_top as u64,
    );
    Linked {
        start: &raw const __image_start as u64,
        stacks,
        end: &raw const __image_end as u64,
        stack: (top - stacks) / 2,
    }
}

fn sp() -> u64 {
    let sp;
    // SAFETY: it reads a register.
    unsafe { asm!("mov {}, sp", out(reg) sp, options(nomem, nostack, preserves_flags)) };
    sp
}

/// Bit 0 M, 2 C, 3 SA, 12 I, 19 WXN; 11, 20, 22, 23, 28 and 29 are RES1 where what they switch is not there.
const SCTLR: u64 = 0x30D8_180D;

/// What of PSTATE masks exceptions.
fn daif() -> u64 {
    let daif;
    // SAFETY: it reads a register.
    unsafe { asm!("mrs {}, daif", out(reg) daif, options(nomem, nostack, preserves_flags)) };
    daif
}

fn root() -> u64 {
    let root: u64;
    // SAFETY: it reads a register.
    unsafe { asm!("mrs {}, ttbr1_el1", out(reg) root, options(nomem, nostack, preserves_flags)) };
    root & ADDRESS
}

/// All mappings of the kernel's half between two addresses.
fn mappings(from: u64, to: u64) -> Checked<Vec<Mapping>> {
    let pages = Pages::new(Va::new(from), (to - from) / PAGE);
    let list = pages.and_then(mem::mappings);
    list.map(Iterator::collect).map_err(|e| format!("{e}"))
}

fn all_mappings() -> Checked<impl Iterator<Item = Mapping>> {
    mem::mappings(Pages::whole(Half::Upper)).map_err(|e| format!("{e}"))
}

/// TTBR0 has a table that translates nothing, and no TLB entry of the identity map is left, which are global.
fn identity_is_gone() -> Checked {
    let ttbr0 = stage1_hw::read_ttbr0();
    check!(ttbr0 >> 48 == 0, "TTBR0 has an ASID: {ttbr0:#x}");
    for index in 0..PAGE / 8 {
        let at = LINEAR_BASE + (ttbr0 & ADDRESS) + 8 * index;
        let word = probe::read_u64(Va::new(at));
        let invalid = word.as_ref().is_ok_and(|word| word & 1 == 0);
        check!(invalid, "TTBR0 {ttbr0:#x} [{index}]: {word:x?}");
    }
    // Every page of it, as it was executed from one of them.
    let image = linked().start - KERNEL_BASE + RAM_BASE;
    for page in (image..image + (2 << 20)).step_by(PAGE as usize) {
        let word = probe::read_u64(Va::new(page));
        check!(word.is_err(), "{page:#x} still is mapped: {word:x?}");
    }
    Ok(())
}

/// Exception frames that lie in a stretch of a stack: each has, as SP, the first address behind it. Says how many.
fn frames_in(from: u64, to: u64) -> Checked<u32> {
    let mut found = 0;
    for at in (from..to).step_by(8) {
        let word = probe::read_u64(Va::new(at)).map_err(|fault| format!("{at:#x}: {fault:?}"))?;
        if word == at - FRAME_SP + FRAME {
            check!(word % 16 == 0, "an exception frame below {word:#x}");
            found += 1;
        }
    }
    Ok(found)
}

/// Takes an exception so far down the stack that its frame outlives the calls after this one.
#[inline(never)]
fn fault_below() {
    let room = black_box([0_u64; 512]);
    let fault = probe::read_u64(Va::new(room[0]));
    black_box((&room, fault.is_err()));
}

/// The stack that `sp` lies in: aligned, of the linker's size, at an odd multiple of it, with a guard above and below. Returns
/// its lowest address.
fn stack_around(sp: u64) -> Checked<u64> {
    let size = linked().stack;
    check!(sp.is_multiple_of(16), "SP is {sp:#x}");
    let low = sp / size * size;
    check!(low / size % 2 == 1, "SP {sp:#x} is in a guard");
    let stack = mappings(low, low + size)?;
    check!(
        stack.len() as u64 == size / PAGE,
        "{low:#x}: {} pages",
        stack.len()
    );
    for guard in [low - size, low + size] {
        let guards = mappings(guard, guard + size)?;
        check!(guards.is_empty(), "the guard of {low:#x}: {guards:?}");
    }
    Ok(low)
}

static HERE: AtomicU32 = AtomicU32::new(0);

/// What is each core's own, in a task that keeps its core until all have come. Returns the core's number, and the stack.
fn on_a_core(cores: u32) -> Checked<(u8, u64)> {
    HERE.fetch_add(1, SeqCst);
    time::wait_until(60_000_000, || HERE.load(SeqCst) == cores);
    identity_is_gone()?;
    let CoreRegisters { mair, sctlr, .. } = CoreRegisters::read();
    check!(mair & 0xFFFF == 0xFF04, "MAIR {mair:#x}");
    check!(sctlr == SCTLR, "SCTLR {sctlr:#x}");
    let daif = daif();
    check!(daif == 0, "DAIF {daif:#x}: something is masked");
    check!(!registers::interrupts_masked(), "they are not masked");
    let masked = registers::without_interrupts(registers::interrupts_masked);
    check!(masked, "they are masked");
    let sp = sp();
    let low = stack_around(sp)?;
    fault_below();
    check!(frames_in(low, sp)? > 0, "no exception frame");
    Ok((task::core().index, low))
}

/// Attributes by address, and nothing where nothing belongs. With the MAIR of above: index 0 Device, index 1 Normal.
fn memory_types(boot: &Boot) -> Checked {
    let ram = boot.machine.ram.start.raw()..boot.machine.ram.end().raw();
    let uart = boot.machine.uart.map(|uart| [uart, uart]);
    let gic = boot.machine.gic.map(|gic| [gic.distributor, gic.cores]);
    let regions: Vec<_> = uart.into_iter().chain(gic).flatten().collect();
    let mut devices = Vec::new();
    for mapping in all_mappings()? {
        let (va, bits) = (mapping.va.raw(), mapping.desc.bits());
        let (first, bytes) = (mapping.frame().pa().raw(), mapping.frames() * PAGE);
        let (index, shareable) = (bits >> 2 & 7, bits >> 8 & 3);
        if (DEVICE_BASE..KERNEL_BASE).contains(&va) {
            check!(index == 0, "{mapping:?} is no device's");
            check!(bits >> 53 & 3 == 3, "{mapping:?}: PXN and UXN");
            check!(va - DEVICE_BASE == first, "{mapping:?} is elsewhere");
            check!(
                first >= ram.end || first + bytes <= ram.start,
                "{mapping:?} is RAM"
            );
            devices.extend((first..first + bytes).step_by(PAGE as usize));
            continue;
        }
        check!(index == 1, "{mapping:?} is not Normal");
        check!(shareable == 3, "{mapping:?} is not inner shareable");
        check!(
            ram.contains(&first) && first + bytes <= ram.end,
            "{mapping:?} is no RAM"
        );
        check!(
            (LINEAR_BASE + first == va) == (va < LINEAR_BASE + ram.end),
            "{mapping:?} is elsewhere in the linear map"
        );
    }
    let is_known = |page: &u64| {
        let holds = |region: &lazy_mmu_kernel::machine::Region| {
            (region.start.raw()..region.end().raw()).contains(page)
        };
        regions.iter().any(holds)
    };
    check!(
        devices.iter().all(is_known),
        "a device that is not used: {devices:x?}"
    );
    for region in regions {
        let first = region.start.raw();
        check!(devices.contains(&first), "{region:?} is not mapped");
    }
    Ok(())
}

/// The stacks of the image, by the linker's symbols: each is mapped and has nothing mapped below it.
fn image_stacks() -> Checked {
    let linked = linked();
    let blocks = (linked.end - linked.stacks) / (2 * linked.stack);
    check!(blocks == 9, "the boot stack and eight, not {blocks}");
    for block in 0..blocks {
        let guard = linked.stacks + block * 2 * linked.stack;
        let (stack, end) = (guard + linked.stack, guard + 2 * linked.stack);
        let guards = mappings(guard, stack)?;
        check!(guards.is_empty(), "{guard:#x}: {guards:?}");
        let pages = mappings(stack, end)?;
        check!(
            pages.len() as u64 == linked.stack / PAGE,
            "{stack:#x}: {pages:?}"
        );
        for page in pages {
            let pa = page.va.raw() - KERNEL_BASE + RAM_BASE;
            check!(page.frame().pa().raw() == pa, "{page:?}");
        }
    }
    let behind = mappings(linked.end, u64::MAX - PAGE + 1)?;
    check!(behind.is_empty(), "behind the image: {behind:?}");
    Ok(())
}

/// What a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Use {
    Unknown,
    Image,
    Heap,
    Table,
    Stack,
    Free,
}

/// What each frame of RAM is.
struct Uses {
    start: u64,
    frames: Vec<Use>,
}

impl Uses {
    fn claim(&mut self, pa: u64, what: Use) -> Checked {
        let index = pa.wrapping_sub(self.start) / PAGE;
        let Some(found) = self.frames.get_mut(index as usize) else {
            return Err(format!("{pa:#x} is {what:?} and no RAM"));
        };
        check!(*found == Use::Unknown, "{pa:#x} is {found:?} and {what:?}");
        *found = what;
        Ok(())
    }

    fn claim_all(&mut self, start: u64, end: u64, what: Use) -> Checked {
        (start..end)
            .step_by(PAGE as usize)
            .try_for_each(|pa| self.claim(pa, what))
    }

    fn count(&self, what: Use) -> u64 {
        self.frames.iter().filter(|found| **found == what).count() as u64
    }

    /// The table at `pa`, and all below it.
    fn claim_tables(&mut self, pa: u64, level: u8) -> Checked {
        self.claim(pa, Use::Table)?;
        for index in 0..if level == 3 { 0 } else { PAGE / 8 } {
            let word = probe::read_u64(Va::new(LINEAR_BASE + pa + 8 * index));
            let word = word.map_err(|fault| format!("table {pa:#x}: {fault:?}"))?;
            if word & 3 == 3 {
                self.claim_tables(word & ADDRESS, level + 1)?;
            }
        }
        Ok(())
    }
}

/// The physical address where the heap ends, to 64 bytes: found by taking all of it, in ever smaller pieces.
fn heap_end() -> Checked<u64> {
    let start = LINEAR_BASE + linked().end - KERNEL_BASE + RAM_BASE;
    let (mut last, mut end, mut outside) = (core::ptr::null_mut::<(*mut u8, Layout)>(), start, 0);
    for size in [0x10000, 0x1000, 64] {
        let Ok(layout) = Layout::from_size_align(size, 64) else {
            continue;
        };
        loop {
            // SAFETY: the size is not 0.
            let piece = unsafe { take(layout) }.cast::<(*mut u8, Layout)>();
            if piece.is_null() {
                break;
            }
            // SAFETY: it has room for this, and is aligned to more.
            unsafe { piece.write((last.cast(), layout)) };
            last = piece;
            outside += u32::from((piece as u64) < start);
            end = end.max(piece as u64 + size as u64);
        }
    }
    while !last.is_null() {
        // SAFETY: written above.
        let (next, layout) = unsafe { last.read() };
        // SAFETY: from `take`, of this layout, and given back once.
        unsafe { give(last.cast(), layout) };
        last = next.cast();
    }
    check!(outside == 0, "{outside} pieces lie before the heap");
    Ok(end - LINEAR_BASE)
}

/// RAM to the page: every frame is the image's, the heap's, a table's, a stack's or free, and one of them.
fn accounts(boot: &Boot, stacks: u64) -> Checked {
    let (ram, linked) = (boot.machine.ram, linked());
    let mut uses = Uses {
        start: ram.start.raw(),
        frames: vec![Use::Unknown; (ram.bytes / PAGE) as usize],
    };
    let free = frames::free_count();
    let mut all = Vec::with_capacity(free as usize + 1);
    let image = linked.start - KERNEL_BASE + RAM_BASE;
    let heap = linked.end - KERNEL_BASE + RAM_BASE;
    uses.claim_all(image, heap, Use::Image)?;
    uses.claim_all(heap, heap_end()?.next_multiple_of(PAGE), Use::Heap)?;
    uses.claim_tables(root(), 0)?;
    for page in mappings(STACKS_BASE, DEVICE_BASE)? {
        uses.claim(page.frame().pa().raw(), Use::Stack)?;
    }
    // What the linear map has, before the frames that are free are allocated.
    let mut mapped = vec![false; uses.frames.len()];
    for mapping in mappings(LINEAR_BASE, LINEAR_BASE + ram.end().raw())? {
        let first = (mapping.frame().pa().raw() - uses.start) / PAGE;
        mapped[first as usize..][..mapping.frames() as usize].fill(true);
    }
    all.extend(core::iter::from_fn(frames::alloc));
    let claimed = all
        .iter()
        .try_for_each(|frame| uses.claim(frame.frame().pa().raw(), Use::Free));
    frames::free_all(all);
    claimed?;

    let unknown = uses.frames.iter().position(|found| *found == Use::Unknown);
    check!(
        unknown.is_none(),
        "{} frames are nobody's, frame {unknown:?} first",
        uses.count(Use::Unknown)
    );
    for (index, (found, mapped)) in uses.frames.iter().zip(mapped).enumerate() {
        let expected = *found != Use::Free || !boot.arguments.debug;
        check!(mapped == expected, "frame {index}, {found:?}: {mapped}");
    }
    let counted = [Use::Free, Use::Table, Use::Stack].map(|what| uses.count(what));
    let said = [free, services::table_count(), stacks * linked.stack / PAGE];
    check!(
        counted == said,
        "free, tables, stacks: {counted:?}, said to be {said:?}"
    );
    // Not more than it needs: heap.rs argues the number.
    let rules = (ram.bytes / 64 + (12 << 20)) * u64::from(boot.arguments.check);
    let size = (ram.bytes / 128 + ram.bytes / 400 + (2 << 20) + rules) / PAGE;
    let heap = uses.count(Use::Heap);
    check!(heap == size, "the heap has {heap} pages, not {size}");
    println!("{counted:?} frames are free, tables and stacks, {heap} are the heap");
    Ok(())
}

/// Without the debug page allocator it is in blocks but for its ends and those of text and rodata, whoever listens.
fn linear_map(boot: &Boot) -> Checked {
    let all = mappings(LINEAR_BASE, LINEAR_BASE + boot.machine.ram.end().raw())?;
    let pages = all.iter().filter(|mapping| mapping.level == Level::L3);
    let pages = pages.count();
    check!(
        boot.arguments.debug || pages < 6 * 512,
        "{pages} of {} mappings are pages",
        all.len()
    );
    Ok(())
}

/// A task on each core but this one; and the stacks of all of them while they are there.
fn every_core(boot: &Boot) -> Checked {
    let cores = boot.cores as u32;
    let joins: Vec<Join<_>> = (1..cores)
        .filter_map(|_| sched::spawn_held(Policy::V3, move || on_a_core(cores)).ok())
        .collect();
    stacks_in_use(u64::from(cores - 1 + cores))?;
    joins.iter().for_each(Join::start);
    // This task's stack is the boot stack.
    let mut seen = vec![on_a_core(cores)?];
    for join in joins {
        seen.push(join.join().value?);
    }
    seen.sort_unstable();
    for (index, (core, _)) in seen.iter().enumerate() {
        check!(usize::from(*core) == index, "{seen:x?}");
    }
    seen.sort_unstable_by_key(|(_, stack)| *stack);
    seen.dedup_by_key(|(_, stack)| *stack);
    check!(seen.len() == boot.cores, "two have one stack");
    check!(sched::quiesce(), "a core is busy");
    // What is left are the stacks that cores idle on. What they do next may overwrite the frame of the interrupt that woke them.
    for low in stacks_in_use(u64::from(cores))? {
        let found = frames_in(low, low + linked().stack)?;
        println!("{found} exception frames on the stack at {low:#x}");
    }
    Ok(())
}

/// All stacks that are mapped outside of the image, which must be that many.
fn stacks_in_use(count: u64) -> Checked<Vec<u64>> {
    let size = linked().stack;
    let pages = mappings(STACKS_BASE, DEVICE_BASE)?;
    let mut lows: Vec<u64> = pages
        .iter()
        .map(|page| page.va.raw() / size * size)
        .collect();
    lows.dedup();
    check!(
        lows.len() as u64 == count,
        "{} stacks, not {count}",
        lows.len()
    );
    for low in &lows {
        check!(stack_around(*low)? == *low, "{low:#x}");
    }
    Ok(lows)
}

fn main(boot: &Boot) -> Verdict {
    // First of all: a switch would empty TTBR0 as well.
    for (what, checked) in [
        ("the identity map", identity_is_gone()),
        ("memory types", memory_types(boot)),
        ("the image's stacks", image_stacks()),
        ("the linear map", linear_map(boot)),
        ("every core", every_core(boot)),
        ("RAM", accounts(boot, boot.cores as u64)),
    ] {
        ensure!(checked.is_ok(), "{what}: {checked:?}");
    }
    Verdict::Good
}
