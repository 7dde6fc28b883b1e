//! The kinds of mistakes that page-table code makes and that rules are easily blind for, each with several
//! members: what must be flagged and by which rule, and the next thing to it that is right.

use mmu_check::{Checker, Event};

/// Core 1 runs too, and there is a last-level table for the first addresses of the upper half.
const UPPER: &[&str] = &[
    "zero frame=0x3000",
    "dmb ishst",
    "store slot=0x2000 va=0xffff000000000000 level=2 old=0x0 new=0x3003",
    "dsb ishst",
    "isb",
    "1:core-start",
    "1:isb",
];

/// Core 1 runs too, and core 0 has a space with ASID 1: root 0x1000, tables 0x2000, 0x3000, 0x4000.
const LOWER: &[&str] = &[
    "1:core-start",
    "zero frame=0x1000",
    "zero frame=0x2000",
    "zero frame=0x3000",
    "zero frame=0x4000",
    "dsb ishst",
    "ttbr0 root=0x1000 asid=1",
    "isb",
    "store slot=0x1000 va=0x0 level=0 old=0x0 new=0x2003",
    "store slot=0x2000 va=0x0 level=1 old=0x0 new=0x3003",
    "store slot=0x3000 va=0x0 level=2 old=0x0 new=0x4003",
    "store slot=0x4008 va=0x1000 level=3 old=0x0 new=0x60000040000f07",
    "dsb ishst",
    "isb",
];

/// A page of frame 0x40000000 at the second page of [`UPPER`], read and write; the same read only, executable.
const RW: &str = "0x60000040000707";
const RO: &str = "0x60000040000787";
const RX: &str = "0x40000040000787";
/// Another frame.
const OTHER: &str = "0x60000080000707";
const TLBI: &str = "tlbi vaae1is 0xff000000001";
const READ: &str = "access read works va=0xffff000000001000";
const READ_FAULTS: &str = "access read faults va=0xffff000000001000";
const WRITE_FAULTS: &str = "access write faults va=0xffff000000001000";

/// The store of the second page's descriptor.
fn page(old: &str, new: &str) -> String {
    format!("store slot=0x3008 va=0xffff000000001000 level=3 old={old} new={new}")
}

/// The first rule that `program` breaks after `start`, which breaks none. Each line is `[core:]event`.
fn first(start: &[&str], program: &[&str]) -> Option<&'static str> {
    let mut checker = Checker::new();
    let mut hear = |line: &str| {
        let (core, what) = match line.split_once(':') {
            Some((core, what)) => (core, what),
            None => ("0", line),
        };
        let line = format!("0 core={core} task={core} {what}");
        let event: Event = line.parse().unwrap_or_else(|e| panic!("{line}: {e}"));
        checker.step(&event).map_err(|violation| {
            println!("{violation}\n");
            violation.rule.name()
        })
    };
    for line in start {
        assert_eq!(hear(line), Ok(()), "{line}");
    }
    program.iter().find_map(|line| hear(line).err())
}

/// Maps the page, unless it is mapped read only first, and settles that.
fn mapped(as_what: &str) -> Vec<String> {
    let mut lines: Vec<String> = UPPER.iter().map(|line| line.to_string()).collect();
    lines.extend([page("0x0", as_what), "dsb ishst".into(), "isb".into()]);
    lines.push("1:isb".into());
    lines
}

fn after(start: &[String], program: &[&str]) -> Option<&'static str> {
    let start: Vec<&str> = start.iter().map(String::as_str).collect();
    first(&start, program)
}

/// A TLBI between its two DSBs, and the ISB.
fn invalidate(tlbi: &str) -> [&str; 4] {
    ["dsb ishst", tlbi, "dsb ish", "isb"]
}

#[test]
fn the_handed_traces() {
    let expected = [
        ("fn1_ttl_of_a_freed_table", Some("R6")),
        ("fn2_block_over_stale_pages", Some("R2")),
        ("fn3_asid_changed_before_tlbi", Some("R4")),
        ("fn_older_leaf_forgotten", Some("R3")),
        ("fn_retry_after_lost_tlbi", Some("R3")),
        ("fp1_detached_table_emptied", None),
        ("fp2_table_corrected_before_link", None),
        ("fp3_table_moved", None),
        ("fp4_range_over_the_top", None),
    ];
    for (name, rule) in expected {
        let path = format!("{}/tests/traces/{name}.trace", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        let mut checker = Checker::new();
        let broken = text.lines().find_map(|line| {
            let event: Event = line.parse().unwrap();
            checker.step(&event).err()
        });
        assert_eq!(
            broken.map(|violation| violation.rule.name()),
            rule,
            "{name}"
        );
    }
}

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

/// Kind 5: where no walker comes, nothing is owed.
#[test]
fn reachability() {
    // Filled, corrected and emptied before it is linked, in sections that end.
    let fill = "store slot=0x5000 va=0xffff000000200000 level=3 old=0x0 new=0x60000040000707";
    let correct =
        "store slot=0x5000 va=0xffff000000200000 level=3 old=0x60000040000707 new=0x60000040001707";
    let clear = "store slot=0x5000 va=0xffff000000200000 level=3 old=0x60000040001707 new=0x0";
    let enclosed = [
        "zero frame=0x5000",
        "call enable",
        fill,
        correct,
        "call disable",
    ];
    assert_eq!(first(UPPER, &enclosed), None);
    assert_eq!(
        first(
            UPPER,
            &[&enclosed[..], &[clear, "free frame=0x40001000"]].concat()
        ),
        None
    );
    let link = "store slot=0x2008 va=0xffff000000200000 level=2 old=0x0 new=0x5003";
    assert_eq!(
        first(UPPER, &[&enclosed[..], &[link]].concat()),
        Some("R10")
    );
    assert_eq!(
        first(UPPER, &[&enclosed[..], &["dmb ishst", link]].concat()),
        None
    );
    // Unlinked: until the invalidation is complete walkers come there still.
    let unlink = "store slot=0x2000 va=0xffff000000000000 level=2 old=0x3003 new=0x0";
    let (clear, free) = (page(RW, "0x0"), "free frame=0x40000000");
    let all = "tlbi vmalle1is 0x0";
    let detached = [
        unlink,
        "dsb ishst",
        all,
        "dsb ish",
        "isb",
        &clear,
        free,
        "free frame=0x3000",
    ];
    assert_eq!(after(&mapped(RW), &detached), None);
    let early = [unlink, "dsb ishst", all, &clear, "dsb ish", "isb", free];
    assert_eq!(after(&mapped(RW), &early), Some("R4"));
    // Moved, back, and with new contents in between.
    let back = "store slot=0x2000 va=0xffff000000000000 level=2 old=0x0 new=0x3003";
    let moved = [
        &[unlink][..],
        &invalidate(all),
        &[back, "dsb ishst", "isb", READ],
    ]
    .concat();
    assert_eq!(after(&mapped(RW), &moved), None);
    let other = page(RW, OTHER);
    let changed = [&[unlink][..], &invalidate(all), &[&other, back]].concat();
    assert_eq!(after(&mapped(RW), &changed), Some("R10"));
    let changed = [
        &[unlink][..],
        &invalidate(all),
        &[&other, "dmb ishst", back],
    ]
    .concat();
    assert_eq!(after(&mapped(RW), &changed), None);
    // A tree that is linked by its top alone, with something unordered at its bottom.
    let tree = [
        "zero frame=0x5000",
        "zero frame=0x6000",
        "dmb ishst",
        "store slot=0x5000 va=0xffff000040000000 level=2 old=0x0 new=0x6003",
        "dmb ishst",
        "store slot=0x6000 va=0xffff000040000000 level=3 old=0x0 new=0x60000040000707",
    ];
    let link = "store slot=0x7008 va=0xffff000040000000 level=1 old=0x0 new=0x5003";
    assert_eq!(first(UPPER, &[&tree[..], &[link]].concat()), Some("R10"));
    assert_eq!(
        first(UPPER, &[&tree[..], &["dmb ishst", link]].concat()),
        None
    );
    // A space that is in no TTBR0 and whose ASID was invalidated.
    let leave = [
        "zero frame=0x8000",
        "dsb ishst",
        "ttbr0 root=0x8000 asid=2",
        "isb",
    ];
    let flush = ["tlbi aside1is 0x1000000000000", "dsb ish", "isb"];
    let clear = "store slot=0x4008 va=0x1000 level=3 old=0x60000040000f07 new=0x0";
    let dead = [&leave[..], &flush, &[clear, free, "free frame=0x4000"]].concat();
    assert_eq!(first(LOWER, &dead), None);
    let alive = [&leave[..], &[clear, free]].concat();
    assert_eq!(first(LOWER, &alive), Some("R4"));
    // A space that TTBR0 has never had, and that something is stored to just before.
    let fresh = [
        "zero frame=0x8000",
        "zero frame=0x9000",
        "dsb ishst",
        "store slot=0x8000 va=0x0 level=0 old=0x0 new=0x9003",
    ];
    let enter = ["ttbr0 root=0x8000 asid=2", "isb"];
    assert_eq!(first(LOWER, &[&fresh[..], &enter].concat()), Some("R10"));
    assert_eq!(
        first(LOWER, &[&fresh[..], &["dmb ishst"], &enter].concat()),
        Some("R10")
    );
    assert_eq!(
        first(LOWER, &[&fresh[..], &["dsb ishst"], &enter].concat()),
        None
    );
}

/// Kind 5, the other way: a root that is freed while a TTBR0 has it, or may have it.
#[test]
fn a_root_that_is_freed() {
    let leave = [
        "zero frame=0x8000",
        "dsb ishst",
        "ttbr0 root=0x8000 asid=2",
        "isb",
    ];
    let flush = ["tlbi aside1is 0x1000000000000", "dsb ish", "isb"];
    let free = "free frame=0x1000";
    assert_eq!(first(LOWER, &[free]), Some("R5"));
    assert_eq!(first(LOWER, &[&leave[..], &[free]].concat()), Some("R5"));
    assert_eq!(first(LOWER, &[&leave[..], &flush, &[free]].concat()), None);
    let unseen = ["ttbr0 root=0xa000 asid=3", "isb", "free frame=0xa000"];
    assert_eq!(
        first(LOWER, &unseen),
        Some("R5"),
        "nothing was ever stored there"
    );
    let other = ["1:ttbr0 root=0x1000 asid=1", "1:isb"];
    let held = [&other[..], &leave, &flush, &[free]].concat();
    assert_eq!(first(LOWER, &held), Some("R5"), "the other core has it");
}

/// Kind 6: ASIDs.
#[test]
fn asids() {
    let clear = "store slot=0x4008 va=0x1000 level=3 old=0x60000040000f07 new=0x0";
    let second = ["1:ttbr0 root=0x1000 asid=2", "1:isb"];
    let free = "free frame=0x40000000";
    let (one, two) = (
        "tlbi vale1is 0x1000000000001",
        "tlbi vale1is 0x2000000000001",
    );
    let both = ["dsb ishst", one, two, "dsb ish", "isb", free];
    let before = [&second[..], &[clear], &invalidate(one), &[free]].concat();
    assert_eq!(first(LOWER, &before), Some("R4"));
    assert_eq!(first(LOWER, &[&second[..], &[clear], &both].concat()), None);
    let between = [&[clear][..], &second, &invalidate(one), &[free]].concat();
    assert_eq!(first(LOWER, &between), Some("R4"));
    let visible = [
        &[clear, "dsb ishst"][..],
        &second,
        &invalidate(one),
        &[free],
    ]
    .concat();
    assert_eq!(first(LOWER, &visible), None, "no walker finds it any more");
    let all = [
        &second[..],
        &[clear],
        &invalidate("tlbi vaale1is 0x1"),
        &[free],
    ]
    .concat();
    assert_eq!(first(LOWER, &all), None);

    // Roll-over: each core that had the ASID invalidates for itself.
    let away = |core: usize| {
        [
            format!("{core}:ttbr0 root=0x8000 asid=3"),
            format!("{core}:isb"),
            format!("{core}:tlbi vmalle1 0x0"),
            format!("{core}:dsb nsh"),
            format!("{core}:isb"),
        ]
    };
    let root = [
        "zero frame=0x8000",
        "dsb ishst",
        "1:ttbr0 root=0x1000 asid=1",
        "1:isb",
    ];
    let reuse = ["zero frame=0x9000", "dsb ishst", "ttbr0 root=0x9000 asid=1"];
    let with = |cores: &[usize]| {
        let left: Vec<String> = cores.iter().flat_map(|core| away(*core)).collect();
        let left: Vec<&str> = left.iter().map(String::as_str).collect();
        first(LOWER, &[&root[..], &left, &reuse].concat())
    };
    assert_eq!(with(&[0, 1]), None);
    assert_eq!(with(&[0]), Some("R3"));
    assert_eq!(with(&[1]), Some("R3"));
}

/// Kind 7: ends that wrap.
#[test]
fn the_top_of_the_address_space() {
    let start = [
        UPPER,
        &[
            "zero frame=0x5000",
            "dmb ishst",
            "store slot=0x2ff8 va=0xffffffffffe00000 level=2 old=0x0 new=0x5003",
            "store slot=0x5ff8 va=0xfffffffffffff000 level=3 old=0x0 new=0x60000040000707",
            "dsb ishst",
            "isb",
        ],
    ]
    .concat();
    let clear = "store slot=0x5ff8 va=0xfffffffffffff000 level=3 old=0x60000040000707 new=0x0";
    let free = "free frame=0x40000000";
    let over = "tlbi rvaae1is 0x409ffffffffd";
    let with = |tlbi: &str, last: &str| {
        let tail = [clear, "dsb ishst", tlbi, "dsb ish", "isb", last];
        first(&start, &tail)
    };
    assert_eq!(with(over, free), None);
    assert_eq!(with("tlbi rvaae1is 0x401ffffffffe", free), None);
    assert_eq!(
        with("tlbi rvaae1is 0x401ffffffffc", free),
        Some("R4"),
        "ends before it"
    );
    assert_eq!(with("tlbi vaae1is 0xfffffffffff", free), None);
    let done = "done va=0xfffffffffffff000 pages=9 asid=0 tables=0";
    assert_eq!(with(over, done), None);
    assert_eq!(with("tlbi vaae1is 0xffffffffffe", done), Some("R3"));
    // Nothing wraps to the bottom.
    let done = "done va=0xffff000000001000 pages=1 asid=0 tables=0";
    let below = [&page(RW, "0x0"), "dsb ishst", over, "dsb ish", "isb", done];
    assert_eq!(after(&mapped(RW), &below), Some("R3"));
}

/// Kind 8: a barrier for one core orders nothing for another's walker.
#[test]
fn barriers_of_one_core() {
    let link = "store slot=0x2008 va=0xffff000000200000 level=2 old=0x0 new=0x5003";
    let linked = |barrier: &str| first(UPPER, &["zero frame=0x5000", barrier, link]);
    for barrier in [
        "dmb nsh",
        "dmb nshst",
        "dsb nsh",
        "dsb nshst",
        "dmb ishld",
        "dsb ishld",
    ] {
        assert_eq!(linked(barrier), Some("R10"), "{barrier}");
    }
    for barrier in ["dmb ishst", "dmb ish", "dmb sy", "dsb ishst", "dsb st"] {
        assert_eq!(linked(barrier), None, "{barrier}");
    }
    let map = page("0x0", RW);
    assert_eq!(first(UPPER, &[&map, "dsb nsh", "isb", READ]), Some("R1"));
    let clear = page(RW, "0x0");
    let gone = [&clear, "dsb ishst", TLBI, "dsb nsh", "isb", READ_FAULTS];
    assert_eq!(after(&mapped(RW), &gone), Some("R3"));
    let gone = [&clear, "dsb nshst", TLBI, "dsb ish", "isb", READ_FAULTS];
    assert_eq!(after(&mapped(RW), &gone), Some("R9"));
    // Where no other core runs it is enough.
    let alone = [
        "zero frame=0x5000",
        "dmb nshst",
        "store slot=0x2008 va=0xffff000000200000 level=2 old=0x0 new=0x5003",
    ];
    assert_eq!(first(&[], &alone), None);
}

/// Kind 9: frames and owners.
#[test]
fn frames_and_owners() {
    let free = "free frame=0x40000000";
    assert_eq!(
        after(&mapped(RW), &[free]),
        Some("R4"),
        "nobody has unmapped it"
    );
    // What maps it since before it was allocated is not its owner's: the linear map.
    let alloc = "alloc frame=0x40000000";
    assert_eq!(after(&mapped(RW), &[alloc, free]), None);
    let beside = "store slot=0x3010 va=0xffff000000002000 level=3 old=0x0 new=0x60000040000707";
    let third = "store slot=0x3018 va=0xffff000000003000 level=3 old=0x0 new=0x60000040000707";
    let clear = "store slot=0x3018 va=0xffff000000003000 level=3 old=0x60000040000707 new=0x0";
    assert_eq!(after(&mapped(RW), &[alloc, beside, free]), Some("R4"));
    let twice = [alloc, beside, third, clear];
    let all = invalidate("tlbi vmalle1is 0x0");
    let left = [&twice[..], &all, &[free]].concat();
    assert_eq!(after(&mapped(RW), &left), Some("R4"), "one of two is left");
    // A block maps each of its frames.
    let block = "store slot=0x2008 va=0xffff000000200000 level=2 old=0x0 new=0x60000040000705";
    let inside = [block, "dsb ishst", "isb", "free frame=0x40123000"];
    assert_eq!(first(UPPER, &inside), Some("R4"));
    let inside = ["alloc frame=0x40123000", block, "free frame=0x40123000"];
    assert_eq!(first(UPPER, &inside), Some("R4"));
    // A table that is linked.
    assert_eq!(first(UPPER, &["free frame=0x3000"]), Some("R5"));

    // Two who change one descriptor, each by what it has seen.
    let (mine, theirs) = (page(RW, RO), page(RW, "0x0"));
    assert_eq!(
        after(&mapped(RW), &[&mine, &format!("1:{theirs}")]),
        Some("R11")
    );
    let (mine, theirs) = (page("0x0", RW), page("0x0", RW));
    assert_eq!(first(UPPER, &[&mine, &format!("1:{theirs}")]), Some("R11"));
    // Of a table whose first words nobody has seen, the first store is believed.
    let unseen = "store slot=0x7008 va=0xffff000040000000 level=1 old=0x5003 new=0x0";
    assert_eq!(first(UPPER, &[unseen]), None);
}

/// Kind 10: an exception entry that is reported late counts for what was settled before the report before it.
#[test]
fn exception_entries() {
    let map = page("0x0", RW);
    let (dsb, entry) = ("dsb ishst", "1:exception-entry");
    let access = "1:access read works va=0xffff000000001000";
    assert_eq!(first(UPPER, &[&map, dsb, entry, access]), Some("R1"));
    assert_eq!(first(UPPER, &[&map, dsb, "1:owe", entry, access]), None);
    assert_eq!(
        first(UPPER, &[&map, dsb, entry, "1:exception-return", access]),
        None
    );
    assert_eq!(
        first(UPPER, &[&map, "1:owe", dsb, entry, access]),
        Some("R1")
    );
    // The same for what was fetched.
    let clear = page(RX, "0x0");
    let gone = [&clear, "dsb ishst", TLBI, "dsb ish", "isb"];
    let fetch = "1:access execute faults va=0xffff000000001000";
    assert_eq!(
        after(&mapped(RX), &[&gone[..], &[entry, fetch]].concat()),
        Some("R3")
    );
    assert_eq!(
        after(&mapped(RX), &[&gone[..], &["1:owe", entry, fetch]].concat()),
        None
    );
}
