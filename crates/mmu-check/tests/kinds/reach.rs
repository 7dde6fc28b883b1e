//! Where walkers come, by which ASIDs, how far a barrier reaches, and whose a frame and a descriptor are.

use crate::lines::*;

/// TTBR0 gets another root, with another ASID.
const LEAVE: [&str; 4] = [
    "zero frame=0x8000",
    "dsb ishst",
    "ttbr0 root=0x8000 asid=2",
    "isb",
];
/// Everything of the first ASID is invalidated.
const FLUSH: [&str; 3] = ["tlbi aside1is 0x1000000000000", "dsb ish", "isb"];

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
    let complete = [unlink, "dsb ishst", all, "dsb ish", &clear, "isb", free];
    assert_eq!(after(&mapped(RW), &complete), None);
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
    let clear = "store slot=0x4008 va=0x1000 level=3 old=0x60000040000f07 new=0x0";
    let dead = [&LEAVE[..], &FLUSH, &[clear, free, "free frame=0x4000"]].concat();
    assert_eq!(first(LOWER, &dead), None);
    let alive = [&LEAVE[..], &[clear, free]].concat();
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
    let free = "free frame=0x1000";
    assert_eq!(first(LOWER, &[free]), Some("R5"));
    assert_eq!(first(LOWER, &[&LEAVE[..], &[free]].concat()), Some("R5"));
    assert_eq!(first(LOWER, &[&LEAVE[..], &FLUSH, &[free]].concat()), None);
    let unseen = ["ttbr0 root=0xa000 asid=3", "isb", "free frame=0xa000"];
    assert_eq!(
        first(LOWER, &unseen),
        Some("R5"),
        "nothing was ever stored there"
    );
    let other = ["1:ttbr0 root=0x1000 asid=1", "1:isb"];
    let held = [&other[..], &LEAVE, &FLUSH, &[free]].concat();
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
    let clear = page(RW, "0x0");
    let gone = |access| {
        let lines = [&clear, "dsb ishst", TLBI, "dsb nsh", "isb", access];
        after(&mapped(RW), &lines)
    };
    assert_eq!(
        gone("1:access read faults va=0xffff000000001000"),
        Some("R3")
    );
    assert_eq!(gone("free frame=0x40000000"), Some("R4"));
    assert_eq!(gone(READ_FAULTS), None, "its own TLB is rid of it");
    // Where no other core runs it does.
    let alone = [
        "zero frame=0x5000",
        "dmb nshst",
        "store slot=0x2008 va=0xffff000000200000 level=2 old=0x0 new=0x5003",
    ];
    assert_eq!(first(&[], &alone), None);
}

/// A core and its walker are one non-shareable domain: what a core does for itself needs no more than that.
#[test]
fn a_core_is_reached_by_its_own_barriers() {
    let (map, clear) = (page("0x0", RW), page(RW, "0x0"));
    let there =
        |core: usize, access: &str| format!("{core}:access read {access} va=0xffff000000001000");
    let maps =
        |barrier: &str, last: &[&str]| first(UPPER, &[&[&map[..], barrier, "isb"], last].concat());
    let other = there(1, "works");
    for barrier in ["dsb nsh", "dsb nshst"] {
        assert_eq!(maps(barrier, &[READ]), None, "{barrier}");
        assert_eq!(maps(barrier, &["1:isb", &other]), Some("R1"), "{barrier}");
        assert_eq!(maps(barrier, &["1:dsb ish", "1:isb", &other]), Some("R1"));
        assert_eq!(maps(barrier, &["dsb ishst", "1:isb", &other]), None);
        // The own ISB may stand between the two.
        assert_eq!(maps(barrier, &["dsb ishst", READ]), None, "{barrier}");
    }
    for barrier in ["dmb nsh", "dmb nshst", "dmb ish", "dsb ishld", "1:dsb nsh"] {
        assert_eq!(maps(barrier, &[READ]), Some("R1"), "{barrier}");
    }
    assert_eq!(first(UPPER, &[&map, "dsb nshst", READ]), Some("R1"));
    assert_eq!(first(UPPER, &[&map, "isb", "dsb nshst", READ]), Some("R1"));
    let again = [&map, "dsb nshst", "isb", &clear, &map, "isb", READ];
    assert_eq!(first(UPPER, &again), Some("R1"), "it is of another store");

    // Linux `local_flush_tlb_all`.
    let all = "tlbi vmalle1 0x0";
    let gone = |lines: [&str; 4], last: &[&str]| {
        after(&mapped(RW), &[&[&clear[..]], &lines[..], last].concat())
    };
    let local = ["dsb nshst", all, "dsb nsh", "isb"];
    let other = there(1, "faults");
    let free = "free frame=0x40000000";
    for tlbi in [all, "tlbi vaae1 0xff000000001", TLBI] {
        let rule = if tlbi == TLBI { "R9" } else { "R7" };
        for dsb in ["dsb nsh", "dsb ish"] {
            let lines = ["dsb nshst", tlbi, dsb, "isb"];
            assert_eq!(gone(lines, &[READ_FAULTS]), None, "{tlbi} {dsb}");
            assert_eq!(gone(lines, &["1:isb", &other]), Some(rule), "{tlbi}");
            assert_eq!(gone(lines, &[free]), Some(rule), "{tlbi} {dsb}");
            let whole = ["dsb ishst", TLBI, "dsb ish", "isb", "1:isb", &other, free];
            assert_eq!(gone(lines, &whole), None, "{tlbi} {dsb}");
        }
    }
    for (lines, rule) in [
        (["owe", all, "dsb nsh", "isb"], "R9"),
        (["dmb nshst", all, "dsb nsh", "isb"], "R9"),
        (["1:dsb nshst", all, "dsb nsh", "isb"], "R9"),
        ([all, "dsb nshst", "dsb nsh", "isb"], "R9"),
        (["dsb nshst", "1:tlbi vmalle1 0x0", "dsb nsh", "isb"], "R9"),
        (["dsb nshst", all, "dsb nshst", "isb"], "R7"),
        (["dsb nshst", all, "dsb nsh", "owe"], "R3"),
        (["dsb nshst", TLBI, "dsb nsh", "owe"], "R3"),
    ] {
        assert_eq!(gone(lines, &[READ_FAULTS]), Some(rule), "{lines:?}");
    }
    // Each core for itself, behind a DSB that reaches both.
    let each = ["1:tlbi vmalle1 0x0", "1:dsb nsh", "1:isb", &other];
    let ish = ["dsb ishst", all, "dsb nsh", "isb"];
    assert_eq!(gone(ish, &each), None);
    assert_eq!(gone(local, &each), Some("R9"));
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
    // Its last report stands right before the DSB: the exception may have been taken in between.
    let between = [&clear, "dsb ishst", TLBI, "1:owe", "dsb ish", entry, fetch];
    assert_eq!(after(&mapped(RX), &between), Some("R3"));
}

/// In an unlinked table, to which a TLBI of another address leaves one core no way, a page is withdrawn once more: that core holds it
/// since the first time still.
#[test]
fn what_is_withdrawn_twice_below_an_unlinked_table() {
    let unlink = "store slot=0x2000 va=0xffff000000000000 level=2 old=0x3003 new=0x0";
    let (clear, again) = (page(RW, "0x0"), page("0x0", RW));
    let local = ["tlbi vaae1 0xff000000001", "dsb nsh", "isb"];
    let at_1 = ["1:tlbi vaae1 0xff000000001", "1:dsb nsh", "1:isb"];
    let twice = [
        unlink,
        &clear,
        "dsb ishst",
        "tlbi vaae1 0xff000000000",
        "dsb nsh",
        "isb",
        &again,
        &clear,
        "dsb ishst",
    ];
    let free = "free frame=0x40000000";
    let freed = |how: &[&str]| after(&mapped(RW), &[&twice[..], how, &[free]].concat());
    assert!(freed(&at_1).is_some());
    assert!(freed(&local).is_some());
    assert_eq!(freed(&[at_1, local].concat()), None);
    // The other core has completed what there was the first time, and may have begun an access before that.
    let other = ["1:tlbi vaae1 0xff000000000", "1:dsb nsh", "1:isb"];
    let begun = |isb: &[&str]| {
        let first = [unlink, &clear, "dsb ishst"];
        let second = [&again, &clear, "dsb ishst"];
        let program = [
            &first,
            &other[..],
            &at_1[..2],
            &second,
            &local,
            isb,
            &[free],
        ];
        after(&mapped(RW), &program.concat())
    };
    assert_eq!(begun(&[]), Some("R4"));
    assert_eq!(begun(&["1:isb"]), None);
}
