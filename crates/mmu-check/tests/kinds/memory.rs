//! The rules remember what is owed, and the tables that there are. What is paid and gone they forget: a kernel that runs for
//! long under them does not run out of memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use crate::lines::*;
use mmu_check::{Checker, Event};

thread_local! {
    /// Bytes that this test's thread has allocated and not freed.
    static LIVE: Cell<isize> = const { Cell::new(0) };
    /// The most that it has allocated at once.
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

struct Counted;

// SAFETY: each call is handed on to the system's allocator, with what its caller promises.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.set(LIVE.get() + layout.size() as isize);
        LARGEST.set(LARGEST.get().max(layout.size()));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get() - layout.size() as isize);
        // SAFETY: the caller's promise; `alloc` had it from the system.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counted = Counted;

/// A page and a block are mapped, used, changed and unmapped; a table comes and goes, with a page below; a space as well.
const ROUND: [&str; 51] = [
    "alloc frame=0x40000000",
    "store slot=0x3008 va=0xffff000000001000 level=3 old=0x0 new=0x60000040000707",
    "store slot=0x3010 va=0xffff000000002000 level=3 old=0x0 new=0x60000040000707",
    "store slot=0x3018 va=0xffff000000003000 level=3 old=0x0 new=0x40000040000787",
    "store slot=0x2010 va=0xffff000000400000 level=2 old=0x0 new=0x60000080000705",
    "dsb ishst",
    "isb",
    "1:isb",
    "access write works va=0xffff000000001000",
    "store slot=0x3008 va=0xffff000000001000 level=3 old=0x60000040000707 new=0x60000040000787",
    "store slot=0x3008 va=0xffff000000001000 level=3 old=0x60000040000787 new=0x0",
    "store slot=0x3010 va=0xffff000000002000 level=3 old=0x60000040000707 new=0x0",
    "store slot=0x3018 va=0xffff000000003000 level=3 old=0x40000040000787 new=0x0",
    "store slot=0x2010 va=0xffff000000400000 level=2 old=0x60000080000705 new=0x0",
    "dsb ishst",
    "tlbi vmalle1is 0x0",
    "dsb ish",
    "isb",
    "1:isb",
    "free frame=0x40000000",
    "alloc frame=0x5000",
    "zero frame=0x5000",
    "dmb ishst",
    "store slot=0x2008 va=0xffff000000200000 level=2 old=0x0 new=0x5003",
    "1:store slot=0x5000 va=0xffff000000200000 level=3 old=0x0 new=0x60000040000707",
    "1:dsb ish",
    "1:isb",
    "isb",
    "store slot=0x2008 va=0xffff000000200000 level=2 old=0x5003 new=0x0",
    "dsb ishst",
    "tlbi vaae1is 0xff000000200",
    "dsb ish",
    "isb",
    "1:isb",
    "free frame=0x5000",
    "zero frame=0x8000",
    "dsb ishst",
    "ttbr0 root=0x8000 asid=2",
    "isb",
    "ttbr0 root=0x9000 asid=1",
    "isb",
    "tlbi aside1is 0x2000000000000",
    "dsb ish",
    "isb",
    "free frame=0x8000",
    "call enable",
    "call disable",
    "0/9:call enable",
    "0/9:call disable",
    "0/9:task-end",
    "1:isb",
];

#[test]
fn what_is_paid_is_forgotten() {
    let mut checker = Checker::new();
    let root = [
        "zero frame=0x9000",
        "dsb ishst",
        "ttbr0 root=0x9000 asid=1",
        "isb",
    ];
    for line in UPPER.iter().chain(&root) {
        checker.step(&event(0, line)).unwrap();
    }
    let round = ROUND.map(|line| event(0, line));
    let mut live = |rounds: usize| {
        for event in round.iter().cycle().take(rounds * round.len()) {
            assert_eq!(checker.step(event), Ok(()));
        }
        LIVE.get()
    };
    let soon = live(50);
    let late = live(200);
    assert!(late <= soon, "{} bytes after 200 rounds more", late - soon);
}

/// What the thread has more of at the end of all rounds than it had after the first tenth.
fn grown(checker: &mut Checker, round: &[Event], rounds: usize) -> isize {
    let mut live = |rounds: usize| {
        for event in round.iter().cycle().take(rounds * round.len()) {
            // Whether a rule is broken is not the subject.
            let _ = checker.step(event);
        }
        LIVE.get()
    };
    let soon = live(rounds / 10);
    live(rounds) - soon
}

/// Barriers may never come: a kernel that has forgotten one is found out, and does not take all memory.
#[test]
fn what_no_barrier_pays_is_remembered_once() {
    let [clear, twice] = [
        "store slot=0x3008 va=0xffff000000001000 level=3 old=0x40000040000707 new=0x0",
        "store slot=0x3008 va=0xffff000000001000 level=3 old=0x0 new=0x40000040000707",
    ];
    let text = twice.replace("40000040000707", "40000040000787");
    let clear_text = clear.replace("40000040000707", "40000040000787");
    let tlbi = "tlbi vmalle1is 0x0";
    let link = "store slot=0x2008 va=0xffff000000200000 level=2 old=0x0 new=0x5003";
    let unlink = "store slot=0x2008 va=0xffff000000200000 level=2 old=0x5003 new=0x0";
    let below = "store slot=0x5000 va=0xffff000000200000 level=3 old=0x0 new=0x60000040000707";
    let clear_below =
        "store slot=0x5000 va=0xffff000000200000 level=3 old=0x60000040000707 new=0x0";
    let begin = [
        "zero frame=0x5000",
        "dmb ishst",
        link,
        below,
        "1:isb",
        twice,
        "dsb ishst",
        "isb",
        unlink,
        clear,
        "dsb ishst",
    ];
    let rounds: [&[&str]; 13] = [
        // A table that comes and goes, with a page below; and that page, where the table is unlinked.
        &[link, "dsb ishst", "isb", unlink, "dsb ishst"],
        &[clear_below, below],
        // TLBIs without their DSB, for all cores, for one, and with a DSB of the core alone.
        &[tlbi],
        &["tlbi vmalle1 0x0"],
        &["tlbi vmalle1 0x0", tlbi, "1:tlbi vmalle1is 0x0"],
        &[tlbi, "dsb nsh"],
        &[
            "tlbi aside1is 0x1000000000000",
            "tlbi aside1 0x2000000000000",
        ],
        // Roots without an ISB.
        &["ttbr0 root=0x9000 asid=1", "ttbr0 root=0xa000 asid=2"],
        // Stores without a DSB: to one table, and to two in turn.
        &[twice, clear],
        &[
            "store slot=0x3010 va=0xffff000000002000 level=3 old=0x0 new=0x0",
            "zero frame=0x7000",
        ],
        // Pages below the links of another core.
        &["1:zero frame=0x8000", "zero frame=0x7000"],
        // Invalidations without an ISB, and text that another core may have fetched.
        &[twice, "dsb ishst", clear, "dsb ishst", tlbi, "dsb ish"],
        &[
            &text,
            "dsb ishst",
            &clear_text,
            "dsb ishst",
            tlbi,
            "dsb ish",
            "isb",
        ],
    ];
    for round in rounds {
        let mut checker = Checker::new();
        for line in UPPER.iter().chain(&begin) {
            let _ = checker.step(&event(0, line));
        }
        let events: Vec<Event> = round.iter().map(|line| event(0, line)).collect();
        let grown = grown(&mut checker, &events, 20_000);
        // Some thousand published stores are remembered for cores that stay away; a number for each round is 256 KiB.
        assert!(grown < 1 << 17, "{grown} bytes more: {round:?}");
    }
}

/// More pages than a queue has without being looked through, mapped and unmapped for ever: each is in it about once.
#[test]
fn stores_to_many_pages_without_a_dsb_are_remembered_once() {
    let mut checker = Checker::new();
    for line in UPPER {
        checker.step(&event(0, line)).unwrap();
    }
    let [set, clear] = [("0x0", "0x60000040000707"), ("0x60000040000707", "0x0")];
    let stores = |(old, new): (&str, &str)| {
        let page = |n: u64| {
            let (slot, va) = (0x3000 + 8 * n, 0xffff_0000_0000_0000 + (n << 12));
            event(
                0,
                &format!("store slot={slot:#x} va={va:#x} level=3 old={old} new={new}"),
            )
        };
        (0..100).map(page).collect::<Vec<Event>>()
    };
    let round = [stores(set), stores(clear)].concat();
    let grown = grown(&mut checker, &round, 1000);
    assert!(grown < 1 << 17, "{grown} bytes more");
}

/// A kernel without a DSB in its pair owes for all of its linear map as it boots. Its heap has room for that debt, but not for a copy
/// of it: then it ends in a panic, and no rule is named.
#[test]
fn a_debt_that_grows_is_not_copied() {
    let mut checker = Checker::new();
    for line in UPPER {
        checker.step(&event(0, line)).unwrap();
    }
    LARGEST.set(0);
    let before = LIVE.get();
    for n in 8..140_u64 {
        let (frame, va) = (0x10_0000 + 0x1000 * n, 0xffff_0000_0000_0000 + (n << 21));
        let lines = [
            format!("zero frame={frame:#x}"),
            "dmb ishst".to_owned(),
            format!(
                "store slot={:#x} va={va:#x} level=2 old=0x0 new={:#x}",
                0x2000 + 8 * n,
                frame | 3
            ),
            format!(
                "stores slot={frame:#x} va={va:#x} level=3 old=0x0 new=0x60000040000707 old-step=0x0 new-step=0x1000 count=512"
            ),
        ];
        for single in lines.iter().flat_map(|line| event(0, line).singles()) {
            assert_eq!(checker.step(&single), Ok(()));
        }
    }
    let owed = LIVE.get() - before;
    assert!(owed > 5 << 20, "{owed} bytes are owed");
    // What a limit on it is held against is what was allocated, but for room to grow.
    let known = checker.memory() as isize;
    assert!((owed / 4 * 3..=owed).contains(&known), "{known} of {owed}");
    assert!(LARGEST.get() <= 1 << 20, "{} bytes at once", LARGEST.get());
}
