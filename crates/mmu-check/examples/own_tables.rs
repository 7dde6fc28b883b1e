//! A kernel that keeps its own tables: every report stands where `HOOK-UP.md` puts it, inline, and each thing
//! that page-table work needs can be left out, to see which rule notices.
//!
//! `cargo run -p mmu-check --example own_tables` runs it whole; `-- SwitchDsb` and the like leave something out,
//! and end with status 1.
//!
//! Memory is an array, and where a kernel has `asm!` there is a comment.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU64, Ordering::Relaxed};

use mmu_check::event::{AccessKind, Barrier, Call, Expect, What};
use mmu_check::hook::{Checked, Here, Kernel, Shared};
use mmu_check::{Op, Rule, Violation};

// What the rules need of a kernel.
static RULES: Shared = Shared::new();
const LISTENER: Checked<Tiny> = Checked::NEW;
struct Tiny;

impl Kernel for Tiny {
    const RULES: &'static Shared = &RULES;

    fn masked<R>(f: impl FnOnce(Here) -> R) -> R {
        // Masks interrupts in DAIF, and restores it behind f.
        f(Here::at(CORE.load(Relaxed), TASK.load(Relaxed)))
    }

    fn broken(violation: &Violation) {
        FOUND.lock().unwrap().push(violation.clone());
    }
}

static FOUND: Mutex<Vec<Violation>> = Mutex::new(Vec::new());

// What a kernel has: cores, tasks, memory, frames.
static CORE: AtomicU8 = AtomicU8::new(0);
static TASK: AtomicU16 = AtomicU16::new(1);
const MEMORY: u64 = 0x8000_0000;
const FRAMES: usize = 32;
static WORDS: [AtomicU64; 512 * FRAMES] = [const { AtomicU64::new(0) }; 512 * FRAMES];
static FREE: Mutex<Vec<u64>> = Mutex::new(Vec::new());

const ROOT: u64 = MEMORY;
const KERNEL: u64 = 0xffff_0000_0000_0000;
/// A block of 2 MiB that the boot has mapped.
const BLOCK: u64 = KERNEL + 0x20_0000;
const USER: u64 = 0x40_0000;
const TABLE: u64 = 0b11;
const PAGE: u64 = 0x60_0000_0000_0703;
const BLOCK_2M: u64 = 0x60_0000_0000_0701;
const NOT_GLOBAL: u64 = 1 << 11;
const ADDRESS: u64 = 0xffff_ffff_f000;

/// What can be left out, or done wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Site {
    Zeroes,
    LinkDmb,
    PublishDsb,
    PublishIsb,
    OtherCoreIsb,
    Break,
    DsbBeforeTlbi,
    Tlbi,
    TlbiBroadcast,
    TlbiMask,
    DsbAfterTlbi,
    IsbAfterTlbi,
    InvalidationBeforeFree,
    TlbiOfWalkCaches,
    BreakOfBlock,
    SectionEnd,
    HandlerPays,
    RootDsb,
    Ttbr0Isb,
    AsidFlush,
    SwitchDsb,
    OwnerAlone,
}

/// Which rule notices each.
const NOTICED: [(Site, Rule); 22] = [
    (Site::Zeroes, Rule::Zeroes),
    (Site::LinkDmb, Rule::Zeroes),
    (Site::PublishDsb, Rule::Publish),
    (Site::PublishIsb, Rule::Publish),
    (Site::OtherCoreIsb, Rule::Publish),
    (Site::Break, Rule::BreakBeforeMake),
    (Site::DsbBeforeTlbi, Rule::Early),
    (Site::Tlbi, Rule::Done),
    (Site::TlbiBroadcast, Rule::Broadcast),
    (Site::TlbiMask, Rule::Operand),
    (Site::DsbAfterTlbi, Rule::Done),
    (Site::IsbAfterTlbi, Rule::Done),
    (Site::InvalidationBeforeFree, Rule::FrameReuse),
    (Site::TlbiOfWalkCaches, Rule::TableReuse),
    (Site::BreakOfBlock, Rule::BreakBeforeMake),
    (Site::SectionEnd, Rule::Leftover),
    (Site::HandlerPays, Rule::Leftover),
    (Site::RootDsb, Rule::Zeroes),
    (Site::Ttbr0Isb, Rule::Publish),
    (Site::AsidFlush, Rule::Done),
    (Site::SwitchDsb, Rule::Leftover),
    (Site::OwnerAlone, Rule::Ownership),
];

static LEFT_OUT: Mutex<Option<Site>> = Mutex::new(None);

/// Whether it is done: everything but the one that is left out.
fn does(site: Site) -> bool {
    *LEFT_OUT.lock().unwrap() != Some(site)
}

// The instructions. Interrupts are masked from the instruction to its report.

fn dsb(kind: Barrier) {
    LISTENER.undisturbed(|| {
        // asm!("dsb …"), and then its report: what it waits for is complete.
        LISTENER.hear(What::Dsb(kind));
    });
}

fn dmb(kind: Barrier) {
    LISTENER.undisturbed(|| {
        // asm!("dmb …")
        LISTENER.hear(What::Dmb(kind));
    });
}

fn isb() {
    LISTENER.undisturbed(|| {
        LISTENER.hear(What::Isb);
        // asm!("isb")
    });
}

fn tlbi(op: Op, operand: u64) {
    LISTENER.undisturbed(|| {
        LISTENER.hear(What::tlbi(op, operand));
        // asm!("tlbi …, {}", in(reg) operand)
    });
}

fn write_ttbr0(root: u64, asid: u16) {
    LISTENER.undisturbed(|| {
        LISTENER.hear(What::Ttbr0 { root, asid });
        // asm!("msr ttbr0_el1, {}", in(reg) root | u64::from(asid) << 48)
    });
    if does(Site::Ttbr0Isb) {
        isb();
    }
}

/// A store to a table: its report is one with it.
fn store(table: u64, level: u8, va: u64, new: u64) {
    let slot = table + 8 * index(va, level);
    LISTENER.hear_with(|| {
        let old = word(slot).load(Relaxed);
        word(slot).store(new, Relaxed);
        let va = va & !(size(level) - 1);
        What::Store {
            slot,
            va,
            level,
            old,
            new,
        }
    });
}

fn word(pa: u64) -> &'static AtomicU64 {
    &WORDS[(pa - MEMORY) as usize / 8]
}

fn size(level: u8) -> u64 {
    1 << (39 - 9 * level)
}

fn index(va: u64, level: u8) -> u64 {
    va / size(level) % 512
}

// Frames.

fn alloc() -> u64 {
    let frame = FREE.lock().unwrap().pop().expect("frames for all of this");
    LISTENER.hear(What::Alloc { frame });
    frame
}

fn free(frame: u64) {
    LISTENER.hear(What::Free { frame });
    FREE.lock().unwrap().push(frame);
}

fn alloc_table() -> u64 {
    let frame = alloc();
    if does(Site::Zeroes) {
        LISTENER.hear_with(|| {
            (0..512).for_each(|n| word(frame + 8 * n).store(0, Relaxed));
            What::Zero { frame }
        });
    }
    frame
}

// Tables.

/// The table of `level` on the way to `va`, made where there is none.
fn table(root: u64, va: u64, level: u8) -> u64 {
    (0..level).fold(root, |table, level| {
        let entry = word(table + 8 * index(va, level)).load(Relaxed);
        if entry & 1 != 0 {
            return entry & ADDRESS;
        }
        let below = alloc_table();
        if does(Site::LinkDmb) {
            dmb(Barrier::Ishst);
        }
        store(table, level, va, below | TABLE);
        below
    })
}

fn publish() {
    if does(Site::PublishDsb) {
        dsb(Barrier::Ishst);
    }
    if does(Site::PublishIsb) {
        isb();
    }
}

fn map(va: u64, frame: u64) {
    store(table(ROOT, va, 3), 3, va, frame | PAGE);
}

/// Ends what TLBs hold of this page; with `tables` what walk caches hold of the tables that lead to it.
fn invalidate(va: u64, tables: bool) {
    if does(Site::DsbBeforeTlbi) {
        dsb(Barrier::Ishst);
    }
    let mask = if does(Site::TlbiMask) { 44 } else { 52 };
    let op = match tables && does(Site::TlbiOfWalkCaches) {
        _ if !does(Site::TlbiBroadcast) => Op::VAAE1,
        true => Op::VAAE1IS,
        false => Op::VAALE1IS,
    };
    if does(Site::Tlbi) {
        tlbi(op, va >> 12 & ((1 << mask) - 1));
    }
    if does(Site::DsbAfterTlbi) {
        dsb(Barrier::Ish);
    }
    if does(Site::IsbAfterTlbi) {
        isb();
    }
    // From here on somebody relies on it.
    LISTENER.hear(What::Done {
        va,
        pages: 1,
        asid: 0,
        tables,
    });
}

fn unmap(va: u64) {
    let table = table(ROOT, va, 3);
    let frame = word(table + 8 * index(va, 3)).load(Relaxed) & ADDRESS;
    store(table, 3, va, 0);
    if !does(Site::InvalidationBeforeFree) {
        free(frame);
        return invalidate(va, false);
    }
    invalidate(va, false);
    free(frame);
}

/// Another frame for a live page.
fn replace(va: u64, frame: u64) {
    let table = table(ROOT, va, 3);
    let before = word(table + 8 * index(va, 3)).load(Relaxed) & ADDRESS;
    if does(Site::Break) {
        store(table, 3, va, 0);
        invalidate(va, false);
    }
    map(va, frame);
    publish();
    free(before);
}

/// Pages for a block: a table is made first, and linked when the block is gone.
fn split(va: u64) {
    let parent = table(ROOT, va, 2);
    let block = word(parent + 8 * index(va, 2)).load(Relaxed);
    let pages = alloc_table();
    for n in 0..512 {
        let page = va + n * 0x1000;
        store(pages, 3, page, ((block & ADDRESS) + n * 0x1000) | PAGE);
    }
    dmb(Barrier::Ishst);
    if does(Site::BreakOfBlock) {
        store(parent, 2, va, 0);
        // By any of its addresses, of the whole block.
        invalidate(va, true);
    }
    store(parent, 2, va, pages | TABLE);
    publish();
}

/// Unlinks a last table whose pages are unmapped, and frees it.
fn free_table(va: u64) {
    let (parent, table) = (table(ROOT, va, 2), table(ROOT, va, 3));
    store(parent, 2, va, 0);
    invalidate(va, true);
    free(table);
}

fn read(va: u64) {
    LISTENER.hear(What::Access {
        va,
        kind: AccessKind::Read,
        expect: Expect::Works,
    });
    // ptr::read_volatile
}

/// The tables that the boot has made before there was a heap. They stay in use, so the rules are given what they have:
/// each table with its descriptors, before the link that leads to it.
fn adopt(table: u64, level: u8, first: u64) {
    LISTENER.hear(What::Zero { frame: table });
    for n in 0..512 {
        let (slot, va) = (table + 8 * n, first + n * size(level));
        let new = word(slot).load(Relaxed);
        if level < 3 && new & TABLE == TABLE {
            adopt(new & ADDRESS, level + 1, va);
        }
        if new & 1 != 0 {
            let old = 0;
            LISTENER.hear(What::Store {
                slot,
                va,
                level,
                old,
                new,
            });
        }
    }
    LISTENER.hear(What::Dsb(Barrier::Ish));
}

/// Three tables and a block, as a boot's assembly makes them: nobody reports.
fn boot() {
    WORDS.iter().for_each(|word| word.store(0, Relaxed));
    let frames = (3..FRAMES as u64).map(|n| MEMORY + n * 0x1000);
    *FREE.lock().unwrap() = frames.collect();
    word(ROOT).store((ROOT + 0x1000) | TABLE, Relaxed);
    word(ROOT + 0x1000).store((ROOT + 0x2000) | TABLE, Relaxed);
    let slot = ROOT + 0x2000 + 8 * index(BLOCK, 2);
    word(slot).store(0x4000_0000 | BLOCK_2M, Relaxed);
}

/// What happens on another core meanwhile.
fn on_core_1(act: impl FnOnce()) {
    let (core, task) = (CORE.swap(1, Relaxed), TASK.swap(2, Relaxed));
    act();
    CORE.store(core, Relaxed);
    TASK.store(task, Relaxed);
}

fn pages() {
    let (va, frame, second) = (KERNEL + 0x1000, alloc(), alloc());
    map(va, frame);
    publish();
    read(va);
    on_core_1(|| {
        if does(Site::OtherCoreIsb) {
            isb();
        }
        read(va);
    });
    replace(va, second);
    unmap(va);
    free_table(va);
    split(BLOCK);
    read(BLOCK + 0x3000);
}

/// A lazy mode of the kernel's own: in a section the pair is owed, and its end pays it.
fn section() {
    LISTENER.hear(What::Call(Call::Enable));
    map(KERNEL + 0x40_0000, alloc());
    map(KERNEL + 0x40_1000, alloc());
    if does(Site::SectionEnd) {
        publish();
    }
    LISTENER.hear(What::Call(Call::Disable));
    publish();
}

fn interrupt() {
    LISTENER.hear(What::ExceptionEntry);
    LISTENER.hear(What::IrqEnter);
    map(KERNEL + 0x40_2000, alloc());
    if does(Site::HandlerPays) {
        publish();
    }
    LISTENER.hear(What::IrqExit);
    LISTENER.hear(What::ExceptionReturn);
    // asm!("eret")
}

/// A space of a task, whose ASID another one gets afterwards.
fn spaces() {
    let empty = space();
    write_ttbr0(empty, 0);
    let (first, second) = (space(), space());
    write_ttbr0(first, 1);
    read(USER);
    write_ttbr0(empty, 0);
    if does(Site::AsidFlush) {
        tlbi(Op::ASIDE1IS, 1 << 48);
        dsb(Barrier::Ish);
        isb();
    }
    write_ttbr0(second, 1);
    read(USER);
    write_ttbr0(empty, 0);
}

/// A root with a page in it, which no walker has come to yet: a DSB, and the ISB behind TTBR0.
fn space() -> u64 {
    let root = alloc_table();
    store(table(root, USER, 3), 3, USER, MEMORY | PAGE | NOT_GLOBAL);
    if does(Site::RootDsb) {
        dsb(Barrier::Ishst);
    }
    root
}

fn switch_to(task: u16) {
    if does(Site::SwitchDsb) {
        dsb(Barrier::Ish);
    }
    LISTENER.hear(What::Switch { to: task });
    TASK.store(task, Relaxed);
    // The switch's assembly.
}

/// The whole life of the kernel. Returns what broke a rule.
fn run() -> Vec<Violation> {
    boot();
    RULES.start();
    LISTENER.hear(What::CoreStart);
    adopt(ROOT, 0, KERNEL);
    isb();
    on_core_1(|| {
        LISTENER.hear(What::CoreStart);
        isb();
    });
    pages();
    if !does(Site::OwnerAlone) {
        // Somebody who owns other pages.
        word(table(ROOT, BLOCK, 3) + 8 * 4).store(0, Relaxed);
    }
    store(table(ROOT, BLOCK, 3), 3, BLOCK + 0x4000, 0);
    invalidate(BLOCK + 0x4000, false);
    section();
    interrupt();
    map(KERNEL + 0x40_3000, alloc());
    switch_to(3);
    switch_to(1);
    publish();
    spaces();
    LISTENER.hear(What::TaskEnd);
    let coverage = LISTENER.stop();
    assert!(coverage.is_some_and(|c| c.used_mappings > 3 && c.frees > 2));
    std::mem::take(&mut FOUND.lock().unwrap())
}

fn main() -> ExitCode {
    if let Some(name) = std::env::args().nth(1) {
        let known = NOTICED.iter().map(|(site, _)| *site);
        let Some(site) = known.clone().find(|site| format!("{site:?}") == name) else {
            eprintln!("{name}: not one of {:?}", known.collect::<Vec<_>>());
            return ExitCode::from(2);
        };
        *LEFT_OUT.lock().unwrap() = Some(site);
    }
    let violations = run();
    for violation in &violations {
        println!("{violation}");
    }
    println!("violations: {}", violations.len());
    ExitCode::from(u8::from(!violations.is_empty()))
}

/// One after the other, as memory and rules are statics.
#[cfg(test)]
#[test]
fn each_thing_left_out_is_noticed_by_its_rule() {
    let shown = |violations: &[Violation]| -> Vec<String> {
        violations.iter().map(Violation::to_string).collect()
    };
    let whole = run();
    assert!(whole.is_empty(), "{:#?}", shown(&whole));
    for (site, rule) in NOTICED {
        *LEFT_OUT.lock().unwrap() = Some(site);
        let first = run().first().map(|violation| violation.rule);
        assert_eq!(first, Some(rule), "{site:?}");
    }
    *LEFT_OUT.lock().unwrap() = None;
    assert!(run().is_empty(), "whole again");
}
