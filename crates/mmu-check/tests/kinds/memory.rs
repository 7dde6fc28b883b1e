//! The rules remember what is owed, and the tables that there are. What is paid and gone they forget: a kernel that runs for
//! long under them does not run out of memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use crate::lines::*;
use mmu_check::Checker;

thread_local! {
    /// Bytes that this test's thread has allocated and not freed.
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

struct Counted;

// SAFETY: each call is handed on to the system's allocator, with what its caller promises.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.set(LIVE.get() + layout.size() as isize);
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
