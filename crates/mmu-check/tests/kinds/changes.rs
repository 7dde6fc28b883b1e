//! What becomes of a descriptor that is changed, and what TLBs hold of it.

use crate::lines::*;

/// Kind 1: what a TLBI covers, for tables as for leaves.
#[test]
fn what_a_tlbi_covers() {
    let unlink = "store slot=0x2000 va=0xffff000000000000 level=2 old=0x3003 new=0x0";
    let freed = |tlbi: &str| {
        let tail = [
            unlink,
            "dsb ishst",
            tlbi,
            "dsb ish",
            "isb",
            "free frame=0x3000",
        ];
        first(UPPER, &tail)
    };
    assert_eq!(freed("tlbi vaae1is 0xff000000000"), None);
    assert_eq!(freed("tlbi vmalle1is 0x0"), None);
    // A hint names the level of a leaf, and tables are above it.
    assert_eq!(freed("tlbi vaae1is 0x6ff000000000"), Some("R6"));
    assert_eq!(freed("tlbi vaae1is 0x7ff000000000"), Some("R6"));
    assert_eq!(freed("tlbi rvaae1is 0x401000000000"), None);
    assert_eq!(freed("tlbi rvaae1is 0x407000000000"), Some("R6"));
    assert_eq!(
        freed("tlbi rvaae1is 0x401000000800"),
        Some("R5"),
        "the range is elsewhere"
    );
    // For the last level alone.
    assert_eq!(freed("tlbi vaale1is 0xff000000000"), Some("R5"));
    // Walk caches of the upper half may be tagged with any ASID.
    assert_eq!(freed("tlbi vae1is 0xff000000000"), Some("R5"));
    assert_eq!(freed("tlbi aside1is 0x0"), Some("R5"));
    // For one core alone.
    assert_eq!(freed("tlbi vaae1 0xff000000000"), Some("R7"));

    let unlink = "store slot=0x3000 va=0x0 level=2 old=0x4003 new=0x0";
    let clear = "store slot=0x4008 va=0x1000 level=3 old=0x60000040000f07 new=0x0";
    let freed = |tlbi: &str| {
        let tail = [
            clear,
            unlink,
            "dsb ishst",
            tlbi,
            "dsb ish",
            "isb",
            "free frame=0x4000",
        ];
        first(LOWER, &tail)
    };
    assert_eq!(freed("tlbi vae1is 0x1000000000001"), None);
    assert_eq!(freed("tlbi aside1is 0x1000000000000"), None);
    assert_eq!(
        freed("tlbi vae1is 0x2000000000001"),
        Some("R5"),
        "another ASID"
    );
    assert_eq!(freed("tlbi vale1is 0x1000000000001"), Some("R5"));

    // A global leaf goes by address under any ASID, and not with the ASID.
    let unmap = page(RW, "0x0");
    let gone = |tlbi: &str| {
        let tail = [&unmap, "dsb ishst", tlbi, "dsb ish", "isb", READ_FAULTS];
        after(&mapped(RW), &tail)
    };
    assert_eq!(gone("tlbi vae1is 0x5000ff000000001"), None);
    assert_eq!(gone("tlbi aside1is 0x5000000000000"), Some("R3"));
}

/// Kind 2: everything that was cacheable since the last complete invalidation may be in a TLB.
#[test]
fn what_tlbs_hold_over_several_changes() {
    let executable = "0x40000040000787";
    let changes = [
        page(RW, RO),
        page(RO, executable),
        page(executable, "0x0"),
        page("0x0", RO),
    ];
    let mut program: Vec<&str> = changes.iter().map(String::as_str).collect();
    program.extend(["dsb ish", "isb"]);
    let execute_faults = "access execute faults va=0xffff000000001000";
    for access in [WRITE_FAULTS, execute_faults] {
        let with = [&program[..], &[access]].concat();
        assert_eq!(after(&mapped(RW), &with), Some("R3"), "{access}");
        let paid = [&program[..], &invalidate(TLBI), &[access]].concat();
        assert_eq!(after(&mapped(RW), &paid), None, "{access}");
    }
    // What comes back is right again, and nothing else is.
    let toggled = [page(RW, RO), page(RO, RW)];
    let write = "access write works va=0xffff000000001000";
    let toggled: Vec<&str> = toggled.iter().map(String::as_str).collect();
    let with = [&toggled[..], &["dsb ish", "isb", write]].concat();
    assert_eq!(
        after(&mapped(RW), &with),
        Some("R3"),
        "a TLB may hold the read-only one"
    );
    // The invalidation between two changes has no ISB yet.
    let (one, two) = (page(RW, RO), page(RO, "0x0"));
    let open = [
        &one,
        "dsb ishst",
        TLBI,
        "dsb ish",
        &two,
        "dsb ishst",
        WRITE_FAULTS,
    ];
    assert_eq!(after(&mapped(RW), &open), Some("R3"));
    let closed = [&one, "dsb ishst", TLBI, "dsb ish", "isb", WRITE_FAULTS];
    assert_eq!(after(&mapped(RW), &closed), None);
}

/// Kind 3: break-before-make across levels, and what else the architecture lists.
#[test]
fn break_before_make_across_levels() {
    let clear = page(RW, "0x0");
    let unlink = "store slot=0x2000 va=0xffff000000000000 level=2 old=0x3003 new=0x0";
    let block = "store slot=0x2000 va=0xffff000000000000 level=2 old=0x0 new=0x60000080000705";
    let made = |tlbi: &str, tail: &[&str]| {
        let head = [&clear, unlink, "dsb ishst", tlbi, "dsb ish", "isb"];
        after(&mapped(RW), &[&head[..], tail].concat())
    };
    assert_eq!(
        made("tlbi vaae1is 0xff000000000", &[block]),
        Some("R2"),
        "the table, and not the page"
    );
    assert_eq!(
        made(TLBI, &[block]),
        None,
        "the page, and the table by its address"
    );
    assert_eq!(made("tlbi vmalle1is 0x0", &[block]), None);
    // A table that maps the page otherwise, filled before it is linked.
    let table = [
        "zero frame=0x5000",
        "store slot=0x5008 va=0xffff000000001000 level=3 old=0x0 new=0x60000080000707",
        "dmb ishst",
        "store slot=0x2000 va=0xffff000000000000 level=2 old=0x0 new=0x5003",
    ];
    assert_eq!(made("tlbi vaae1is 0xff000000000", &table), Some("R2"));
    assert_eq!(made(TLBI, &table), None);

    // A block split into pages.
    let whole = "store slot=0x2008 va=0xffff000000200000 level=2 old=0x0 new=0x60000080000705";
    let start = [UPPER, &[whole, "dsb ishst", "isb", "1:isb"]].concat();
    let split = [
        "zero frame=0x5000",
        "store slot=0x5000 va=0xffff000000200000 level=3 old=0x0 new=0x60000080000707",
        "dmb ishst",
        "store slot=0x2008 va=0xffff000000200000 level=2 old=0x60000080000705 new=0x0",
    ];
    let link = "store slot=0x2008 va=0xffff000000200000 level=2 old=0x0 new=0x5003";
    let invalidated = invalidate("tlbi vaae1is 0xff000000200");
    assert_eq!(first(&start, &[&split[..], &[link]].concat()), Some("R2"));
    assert_eq!(
        first(&start, &[&split[..], &invalidated, &[link]].concat()),
        None
    );

    // nG and Contiguous.
    let not_global = page(RW, "0x60000040000f07");
    assert_eq!(after(&mapped(RW), &[&not_global]), Some("R2"));
    let contiguous = page(RW, "0x70000040000707");
    assert_eq!(after(&mapped(RW), &[&contiguous]), Some("R2"));
    let made = page("0x0", "0x60000040000f07");
    assert_eq!(after(&mapped(RW), &[&clear, &made]), Some("R2"));
    let paid = [&[&clear[..]][..], &invalidate(TLBI), &[&made]].concat();
    assert_eq!(after(&mapped(RW), &paid), None);
    // One of sixteen is cleared, and its neighbour becomes something else: a TLB may hold them as one.
    let clear = page("0x70000040000707", "0x0");
    let beside = "store slot=0x3010 va=0xffff000000002000 level=3 old=0x0 new=0x600000c0000707";
    let start = mapped("0x70000040000707");
    assert_eq!(after(&start, &[&clear, beside]), Some("R2"));
    let paid = [&[&clear[..]][..], &invalidate(TLBI), &[beside]].concat();
    assert_eq!(after(&start, &paid), None);
    // AF = 0 breaks as well as an invalid descriptor.
    let (old, new) = (
        page(RW, "0x60000040000307"),
        page("0x60000040000307", OTHER),
    );
    let broken = [&[&old[..]][..], &invalidate(TLBI), &[&new]].concat();
    assert_eq!(after(&mapped(RW), &broken), None);
    assert_eq!(after(&mapped(RW), &[&old, &new]), Some("R2"));
}

/// Kind 4: a retry cures what was begun ahead, never what a TLB holds.
#[test]
fn retries() {
    let more = page(RO, RW);
    let write = "1:access write retries va=0xffff000000001000";
    assert_eq!(after(&mapped(RO), &[&more, "dsb ish", write]), Some("R3"));
    let paid = [&more, "dsb ishst", TLBI, "dsb ish", write];
    assert_eq!(after(&mapped(RO), &paid), None);
    let unfinished = [&more, "dsb ishst", TLBI, write];
    assert_eq!(after(&mapped(RO), &unfinished), Some("R3"));
    let map = page("0x0", RW);
    let read = "1:access read retries va=0xffff000000001000";
    assert_eq!(first(UPPER, &[&map, "dsb ish", read]), None);
    assert_eq!(first(UPPER, &[&map, read]), Some("R1"));
    let fetch = "1:access execute retries va=0xffff000000001000";
    let unpaid = [&page(RW, RX), "dsb ish", fetch];
    assert_eq!(after(&mapped(RW), &unpaid), Some("R3"));
}

/// A fetch takes the core's own synchronisation.
#[test]
fn fetches_of_another_core() {
    let clear = page(RX, "0x0");
    let gone = [&clear, "dsb ishst", TLBI, "dsb ish", "isb"];
    let fetch = "1:access execute faults va=0xffff000000001000";
    let read = "1:access read faults va=0xffff000000001000";
    assert_eq!(after(&mapped(RX), &[&gone[..], &[read]].concat()), None);
    assert_eq!(
        after(&mapped(RX), &[&gone[..], &[fetch]].concat()),
        Some("R3")
    );
    assert_eq!(
        after(&mapped(RX), &[&gone[..], &["1:isb", fetch]].concat()),
        None
    );
    assert_eq!(
        after(&mapped(RX), &[&gone[..], &["0:isb", fetch]].concat()),
        Some("R3")
    );
    let early = [&clear, "dsb ishst", TLBI, "1:isb", "dsb ish", fetch];
    assert_eq!(after(&mapped(RX), &early), Some("R3"), "before it was gone");
    // Other text in its place: it may still be the old one that is executed.
    let new = page("0x0", "0x40000080000787");
    let replaced = [&gone[..], &[&new, "dsb ishst", "isb"]].concat();
    let execute = "1:access execute retries va=0xffff000000001000";
    assert_eq!(
        after(&mapped(RX), &[&replaced[..], &[execute]].concat()),
        Some("R3")
    );
    assert_eq!(
        after(&mapped(RX), &[&replaced[..], &["1:isb", execute]].concat()),
        None
    );
    // What was never executable was not fetched through.
    let gone = [&page(RW, "0x0"), "dsb ishst", TLBI, "dsb ish", "isb", fetch];
    assert_eq!(after(&mapped(RW), &gone), None);
}
