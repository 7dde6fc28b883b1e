//! A minimal AArch64 kernel for lazy MMU mode: everything that needs the machine.
//!
//! A store to a page table owes the machine something. Every module here creates that debt, defers
//! it, pays it, or checks that nobody uses a mapping before it is paid. They stand on floors, and each
//! imports only from those above it here (`docs/floors.md`; a test holds it):
//!
//! | module | what | debt |
//! |---|---|---|
//! | [`arch`] | raw registers, the switch of stacks, probes, what an exception leaves, timer | |
//! | [`base`] | the lock, the layout of addresses, limits, the verdict | |
//! | [`machine`] | device tree, console, exit, interrupt controller, PSCI | |
//! | [`task`] | tasks and cores, and what each made the machine do | carries it along |
//! | [`observe`] | the seam to the machine's instructions (`stage1-hw`), and all that watches it: counts, checker, ring, replay | pays, checks |
//! | [`mode`] | the four calls on the current task | defers |
//! | [`mem`] | frames and the debug page allocator, tables, heap, areas, spaces, stacks | creates |
//! | [`sched`], [`irq`] | who runs, interrupts | carries it along |
//! | [`traps`] | exceptions: what is over, what waits, the report | |
//! | [`cores`] | the other cores, started and stopped | |
//! | [`report`] | rows as data, table, JSON | |
//! | [`workloads`] | vmap, remap, zap, protect: page-table work in sections | creates, checks |
//! | [`arguments`], [`run`] | the command line, and the product's run of it | |
//!
//! An image is this library and a `main`: see [`entry!`].
#![no_std]
#![cfg_attr(test, no_main)]

extern crate alloc;

pub mod arch;
pub mod arguments;
pub mod base;

pub mod cores;

pub mod irq;
pub mod machine;
pub mod mem;
pub mod mode;
pub mod observe;
pub mod report;
pub mod run;
pub mod sched;

pub mod task;
pub mod traps;
pub mod workloads;

use alloc::string::String;
use core::fmt::Display;

use dtoolkit::fdt::Fdt;
use lazy_mmu_boot::{EARLY_WINDOW, RAM_BASE};
use stage1_hw::CoreRegisters;
use stage1_paging::Pa;

use arguments::Arguments;
use base::{Verdict, layout};
use machine::{Machine, TreeError, console, exit};

/// Declares the function that an image runs once the kernel is up: `fn(&Boot) -> Verdict`. With
/// `keys = ["a", "b"]` the command line may have `a=` and `b=`, which are the image's own
/// ([`Arguments::own`]).
#[macro_export]
macro_rules! entry {
    ($main:path $(, keys = [$($key:literal),*])?) => {
        #[unsafe(no_mangle)]
        static KERNEL_OWN_KEYS: &[&str] = &[$($($key),*)?];

        #[unsafe(no_mangle)]
        fn kernel_main(boot: &$crate::Boot) -> $crate::base::Verdict {
            let main: fn(&$crate::Boot) -> $crate::base::Verdict = $main;
            main(boot)
        }
    };
}

/// What an image is started with.
pub struct Boot {
    /// What the device tree says.
    pub machine: Machine,
    /// The command line, parsed.
    pub arguments: Arguments,
    /// How many cores take part.
    pub cores: usize,
}

unsafe extern "Rust" {
    fn kernel_main(boot: &Boot) -> Verdict;
    static KERNEL_OWN_KEYS: &'static [&'static str];
}

/// From the boot code: brings the kernel up, runs the image's `main`, and ends the boot with its
/// verdict.
///
/// # Safety
/// Called once, by `boot/src/entry.s`, on the early tables and the boot stack. `tree` is what the
/// loader passed: the physical address of a device tree, or 0.
#[unsafe(no_mangle)]
unsafe extern "C" fn kernel_entry(tree: u64) -> ! {
    // SAFETY: the first thing of all, on the only core: it boots in task 0.
    unsafe { task::adopt(0, 0) };
    // SAFETY: the caller's promise is this one's.
    let verdict = match unsafe { bring_up(tree) } {
        Ok(boot) => {
            observe::rules::begin_run();
            // SAFETY: `entry!` defined it, with this signature.
            unsafe { kernel_main(&boot) }
        }
        Err(verdict) => verdict,
    };
    // Nobody writes to the console, or to what is reported, from here on.
    let verdict = verdict.and(Verdict::of(cores::stop()));
    let verdict = verdict.and(observe::rules::finish());
    let written = report::write_windows().inspect_err(|error| println!("{error}"));
    exit::exit(verdict.and(Verdict::of(written.is_ok())))
}

/// # Safety
/// As [`kernel_entry`].
unsafe fn bring_up(tree: u64) -> Result<Boot, Verdict> {
    // SAFETY: the early tables are in use, which map the device tree's place; nothing writes to RAM
    // before it has been read.
    let tree = unsafe { find_tree(tree) }.map_err(cannot_run)?;
    if let Some(chosen) = tree.chosen()
        && let Ok(Some(line)) = chosen.bootargs()
    {
        exit::take_mark(line);
    }
    if let Some(uart) = machine::uart(tree) {
        // SAFETY: 1. From the device tree; the early tables map the first GiB of devices, and the
        // kernel's map this one. 2. The console's alone.
        unsafe { console::init(uart.start) };
    }
    // A report can be made from here on.
    arch::registers::unmask_errors();
    let line = machine::command_line(tree).map_err(|error| {
        println!("bad argument: {error}");
        Verdict::BadArguments
    })?;
    let machine = Machine::from_tree(tree).map_err(cannot_run)?;
    let core = CoreRegisters::read();
    stage1_hw::check_walks(core.tcr, core.mair).map_err(cannot_run)?;
    // SAFETY: once, on the early tables, first of all users of RAM.
    let heap =
        unsafe { mem::start_heap(&machine, Arguments::has_check(line)) }.map_err(cannot_run)?;
    // There is a heap from here on. The line lies in the tree, whose frames are given away below.
    let line = String::from(line);
    // SAFETY: `entry!` defined it, and nobody changes it.
    let own_keys = unsafe { KERNEL_OWN_KEYS };
    let pages_max = (machine.ram.bytes / layout::PAGE_SIZE / 4) as usize;
    let arguments = Arguments::parse(&line, pages_max, own_keys).map_err(|error| {
        println!("bad argument {error}");
        Verdict::BadArguments
    })?;
    observe::ring::set_recording(arguments.trace.is_some());
    mem::SETTLES.store(arguments.settle, core::sync::atomic::Ordering::Relaxed);
    if arguments.check {
        let trace = arguments.trace;
        observe::rules::start(trace.map(|extent| (extent, report::trace_file())));
        if arguments.debug {
            // Half a minute with 4 GiB, before anything else is said. No `progress: ` line: a boot that is ended quotes the last of
            // those, and this one is soon out of date.
            println!(
                "the linear map, {} pages, goes before the rules",
                machine.ram.bytes / layout::PAGE_SIZE
            );
        }
    }
    let (debug, poison) = (arguments.debug, arguments.poison);
    // SAFETY: 1. Once, first core, early tables; the boot code masked interrupts. 2. `machine` is a
    // copy. 3. It is.
    unsafe { mem::enter_kernel_tables(&machine, heap, debug, poison) }.map_err(cannot_run)?;
    let cores = cores::start(&machine).map_err(cannot_run)?;
    Ok(Boot {
        machine,
        arguments,
        cores,
    })
}

fn cannot_run(why: impl Display) -> Verdict {
    println!("this machine cannot run the kernel: {why}");
    Verdict::CannotRun
}

/// # Safety
/// The device tree's place is mapped and not written to.
unsafe fn find_tree(passed: u64) -> Result<Fdt<'static>, TreeError> {
    // QEMU passes no address to an ELF image; it puts the tree at the start of RAM.
    let at = Pa::new(if passed == 0 { RAM_BASE } else { passed }).ok_or(TreeError::Malformed)?;
    if !(RAM_BASE..RAM_BASE + EARLY_WINDOW).contains(&at.raw()) {
        return Err(TreeError::Malformed);
    }
    let data = layout::linear(at).raw() as *const u8;
    // SAFETY: the caller's promise for the start of it; a tree that claims to be longer than the
    // window is one that QEMU did not make, and is checked to parse before it is used.
    unsafe { Fdt::from_raw(data) }.map_err(|_| TreeError::Malformed)
}
