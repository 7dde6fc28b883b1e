//! What relies on a translation being gone, on which one, and which rule that breaks first.

use crate::lines::*;
use mmu_check::{Checker, Rule, Step};

const CLEAR: &str = "store slot=0x3008 va=0xffff000000001000 level=3 old=0x60000040000707 new=0x0";
const UNLINK: &str = "store slot=0x2000 va=0xffff000000000000 level=2 old=0x3003 new=0x0";
const DONE: &str = "done va=0xffff000000001000 pages=1 asid=0 tables=0";
const FREE: &str = "free frame=0x40000000";
/// The page in the space with ASID 1.
const LOW: &str = "store slot=0x4008 va=0x1000 level=3 old=0x60000040000f07 new=0x0";
/// Core 1 goes to a space with ASID 2.
const SECOND: [&str; 4] = [
    "zero frame=0x8000",
    "dsb ishst",
    "1:ttbr0 root=0x8000 asid=2",
    "1:isb",
];

fn of(start: &str, program: &[&str]) -> Option<&'static str> {
    after(&mapped(start), program)
}

/// "Done" is about what the same owner has withdrawn, in the space and at the addresses that it names.
#[test]
fn whose_invalidation_is_called_complete() {
    assert_eq!(of(RW, &[CLEAR, DONE]), Some("R3"));
    assert_eq!(of(RW, &[CLEAR, &format!("1:{DONE}")]), None, "another task");
    let handler = [CLEAR, "irq-enter", DONE];
    assert_eq!(of(RW, &handler), None, "a handler is not its task");
    let own = ["irq-enter", CLEAR, DONE];
    assert_eq!(of(RW, &own), Some("R3"));
    // An ASID is that of a space in the lower half, and nothing in the upper.
    let done = |asid: u16| format!("done va=0x1000 pages=1 asid={asid} tables=0");
    assert_eq!(first(LOWER, &[LOW, &done(1)]), Some("R3"));
    assert_eq!(first(LOWER, &[LOW, &done(2)]), None);
    let upper = "done va=0xffff000000001000 pages=1 asid=9 tables=0";
    assert_eq!(of(RW, &[CLEAR, upper]), Some("R3"));
    // Global in the lower half: of whatever ASID.
    let global = [
        "store slot=0x4010 va=0x2000 level=3 old=0x0 new=0x60000040000707",
        "dsb ishst",
        "isb",
        "store slot=0x4010 va=0x2000 level=3 old=0x60000040000707 new=0x0",
        "done va=0x2000 pages=1 asid=9 tables=0",
    ];
    assert_eq!(first(LOWER, &global), Some("R3"));
    // The pages beside it.
    for (va, pages, found) in [
        (0x1000, 1, true),
        (0x0000, 2, true),
        (0x1000, 9, true),
        (0x0000, 1, false),
        (0x2000, 9, false),
    ] {
        let va = 0xffff_0000_0000_0000_u64 + va;
        let done = format!("done va={va:#x} pages={pages} asid=0 tables=0");
        assert_eq!(of(RW, &[CLEAR, &done]).is_some(), found, "{done}");
    }
}

/// What is said of leaves alone is not said of walk caches.
#[test]
fn leaves_are_done_and_tables_not_yet() {
    let done = |tables: u8| format!("done va=0xffff000000000000 pages=512 asid=0 tables={tables}");
    assert_eq!(first(UPPER, &[UNLINK, &done(0)]), None);
    assert_eq!(first(UPPER, &[UNLINK, &done(1)]), Some("R5"));
    assert_eq!(of(RW, &[CLEAR, &done(1)]), Some("R3"));
    let leaves = ["dsb ishst", "tlbi vaale1is 0xff000000001", "dsb ish", "isb"];
    let both = |last: &str| of(RW, &[&[CLEAR, UNLINK][..], &leaves, &[last]].concat());
    assert_eq!(both(&done(0)), None);
    assert_eq!(both(&done(1)), Some("R5"));
}

/// Of all that is relied on the first rule counts, and of that the first page.
#[test]
fn several_at_once() {
    let map = "store slot=0x3010 va=0xffff000000002000 level=3 old=0x0 new=0x600000c0000707";
    let clear = "store slot=0x3010 va=0xffff000000002000 level=3 old=0x600000c0000707 new=0x0";
    let done = "done va=0xffff000000001000 pages=2 asid=0 tables=0";
    let (one, two) = (TLBI, "tlbi vaae1is 0xff000000002");
    let start = |program: &[&str]| {
        let start = mapped(RW);
        let mut lines: Vec<&str> = start.iter().map(String::as_str).collect();
        lines.extend([map, "dsb ishst", "isb"]);
        violation(&lines, program).map(|found| (found.rule.name(), found.address))
    };
    let (first_page, second) = (0xffff_0000_0000_1000, 0xffff_0000_0000_2000);
    let both = start(&[clear, CLEAR, "dsb ish", done]);
    assert_eq!(both, Some(("R3", first_page)));
    // One had its TLBI too early, the other none: R3 is before R9, whichever it is of.
    let early = start(&[CLEAR, clear, one, "dsb ish", "isb", done]);
    assert_eq!(early, Some(("R3", second)));
    let early = start(&[CLEAR, clear, two, "dsb ish", "isb", done]);
    assert_eq!(early, Some(("R3", first_page)));
    let early = start(&[CLEAR, clear, one, two, "dsb ish", "isb", done]);
    assert_eq!(early, Some(("R9", first_page)));
}

/// A TLBI that came before its store: the same task's, about the same address, and not long ago.
#[test]
fn a_tlbi_before_its_store() {
    let early = |before: &[&str]| of(RW, &[before, &[CLEAR, "dsb ish", "isb", DONE]].concat());
    assert_eq!(early(&[TLBI]), Some("R9"));
    assert_eq!(early(&[]), Some("R3"));
    assert_eq!(early(&["tlbi vaae1is 0xff000000002"]), Some("R3"));
    assert_eq!(early(&[&format!("1:{TLBI}")]), Some("R3"), "another task's");
    // Sixteen are remembered.
    let other = ["tlbi vaae1is 0xff000000002"; 16];
    assert_eq!(early(&[&[TLBI], &other[..1]].concat()), Some("R9"));
    assert_eq!(early(&[&[TLBI], &other[..15]].concat()), Some("R9"));
    assert_eq!(early(&[&[TLBI], &other[..]].concat()), Some("R3"));
    // One that another store needed was for that.
    let beside = "store slot=0x3010 va=0xffff000000002000 level=3 old=0x0 new=0x600000c0000707";
    let clear = "store slot=0x3010 va=0xffff000000002000 level=3 old=0x600000c0000707 new=0x0";
    let all = [beside, clear, "dsb ishst", "tlbi vmalle1is 0x0"];
    assert_eq!(early(&all), Some("R3"));
}

/// Two rules may be broken at once. The one with the smaller number is named, and at equal ones what was withdrawn.
#[test]
fn a_mapping_that_is_left_and_one_that_is_withdrawn() {
    let beside = "store slot=0x3010 va=0xffff000000002000 level=3 old=0x0 new=0x60000040000707";
    let start = mapped(RW);
    let mut start: Vec<&str> = start.iter().map(String::as_str).collect();
    start.extend([beside, "dsb ishst", "isb"]);
    let found = violation(&start, &[CLEAR, FREE]).unwrap();
    assert_eq!(
        (found.rule, found.owes),
        (Rule::FrameReuse, Some(event(start.len(), CLEAR)))
    );
    // The TLBI came early, which is R9; the other mapping is left, which is R4.
    let early = [CLEAR, TLBI, "dsb ish", "isb", FREE];
    let found = violation(&start, &early).unwrap();
    assert_eq!((found.rule, found.owes), (Rule::FrameReuse, None));
    // A table whose link is withdrawn is R5; that a leaf still maps its frame is R4.
    let table = "store slot=0x3010 va=0xffff000000002000 level=3 old=0x0 new=0x60000000003707";
    let found = first(
        UPPER,
        &[table, "dsb ishst", "isb", UNLINK, "free frame=0x3000"],
    );
    assert_eq!(found, Some("R4"));
}

/// A rule that is left out hides nothing of the others.
#[test]
fn without_a_rule() {
    let names = |rule, program: &[&str]| {
        let mut checker = Checker::without(rule);
        let start = mapped(RW);
        let lines = start.iter().map(String::as_str);
        let lines = lines.chain(program.iter().copied()).enumerate();
        let found = lines.filter_map(|(n, line)| checker.step(&event(n, line)).err());
        found.map(|found| found.rule.name()).collect::<Vec<_>>()
    };
    let program = [CLEAR, DONE, FREE, UNLINK, "alloc frame=0x3000"];
    assert_eq!(names(Rule::Zeroes, &program), ["R3", "R4", "R5"]);
    assert_eq!(names(Rule::Done, &program), ["R4", "R5"]);
    assert_eq!(names(Rule::FrameReuse, &program), ["R3", "R5"]);
    assert_eq!(names(Rule::TableReuse, &program), ["R3", "R4"]);
    let early = [CLEAR, TLBI, "dsb ish", "isb", DONE];
    assert_eq!(names(Rule::Early, &early), [""; 0]);
    assert_eq!(names(Rule::Done, &early), ["R9"]);
}

/// What a stale leaf lets through, holds up, or has let the core fetch.
#[test]
fn what_an_access_shows() {
    let access = |kind: &str, expect: &str| format!("access {kind} {expect} va=0xffff000000001000");
    let shown = |from: &str, to: &str, kind: &str, expect: &str| {
        of(
            from,
            &[&page(from, to), "dsb ish", "isb", &access(kind, expect)],
        )
    };
    // A leaf lets through what it permits.
    assert_eq!(shown(RO, "0x0", "read", "faults"), Some("R3"));
    assert_eq!(shown(RO, "0x0", "write", "faults"), None);
    assert_eq!(shown(RW, "0x0", "write", "faults"), Some("R3"));
    assert_eq!(shown(RW, "0x0", "execute", "faults"), None);
    assert_eq!(shown(RX, "0x0", "execute", "faults"), Some("R3"));
    // It holds up what it does not permit.
    for expect in ["works", "retries"] {
        assert_eq!(shown(RO, RW, "write", expect), Some("R3"));
        assert_eq!(shown(RO, RW, "read", expect), None);
        assert_eq!(shown(RW, RX, "execute", expect), Some("R3"));
        assert_eq!(shown(RX, RW, "write", expect), Some("R3"));
        assert_eq!(shown(RX, RW, "read", expect), None);
    }
    // Only at its own addresses.
    let beside = "access read faults va=0xffff000000002000";
    assert_eq!(of(RW, &[CLEAR, "dsb ish", "isb", beside]), None);
    // After the DSB of the TLBI this core may still have begun ahead, which its ISB ends, and a retry cures.
    let ahead = |expect: &str| {
        let gain = page(RO, RW);
        let program = [
            &gain,
            "dsb ishst",
            TLBI,
            "dsb ish",
            &access("write", expect),
        ];
        of(RO, &program)
    };
    assert_eq!(ahead("works"), Some("R3"));
    assert_eq!(ahead("retries"), None);
    let probe = [
        CLEAR,
        "dsb ishst",
        TLBI,
        "dsb ish",
        "access read faults va=0xffff000000001000",
    ];
    assert_eq!(of(RW, &probe), Some("R3"));
    assert_eq!(
        of(
            RW,
            &[&probe[..4], &["1:access read faults va=0xffff000000001000"]].concat()
        ),
        None
    );
    assert_eq!(of(RW, &[&probe[..4], &["isb"], &probe[4..]].concat()), None);
}

/// Executable pages: what was fetched through one is executed until the core synchronises, unless it was never allowed.
#[test]
fn what_was_fetched_ahead() {
    let gone = ["dsb ishst", TLBI, "dsb ish", "isb"];
    let fetch = |expect: &str| format!("1:access execute {expect} va=0xffff000000001000");
    let read = |expect: &str| format!("1:access read {expect} va=0xffff000000001000");
    let with = |from: &str, to: &str, last: &str| {
        let change = page(from, to);
        of(from, &[&[&change[..]], &gone[..], &[last]].concat())
    };
    for expect in ["works", "retries"] {
        assert_eq!(with(RX, RO, &read(expect)), None);
        assert_eq!(with(RW, RX, &fetch(expect)), None, "it was not executable");
    }
    assert_eq!(with(RX, RO, &fetch("faults")), Some("R3"));
    assert_eq!(with(RX, "0x0", &read("faults")), None);
    // Other text in its place: the old one may be executed as long as the core's TLB holds it, as it may have begun
    // ahead, and as it may have fetched.
    let other = page("0x0", "0x40000080000787");
    let fetched = |between: &[&str], last: &str| {
        let clear = page(RX, "0x0");
        let start = mapped(RX);
        let lines = start.iter().map(String::as_str);
        let lines = lines.chain([&clear[..], "dsb ishst"]);
        let lines = lines.chain(between.iter().copied());
        let lines = lines.chain([&other[..], "dsb ish", last]).enumerate();
        let mut checker = Checker::without(Rule::BreakBeforeMake);
        let found: Vec<_> = lines
            .filter_map(|(n, line)| checker.step(&event(n, line)).err())
            .collect();
        found.first().map(|found| found.rule.name())
    };
    let (own, others) = (
        "access execute retries va=0xffff000000001000",
        fetch("retries"),
    );
    assert_eq!(fetched(&[], own), Some("R3"), "held");
    assert_eq!(fetched(&[TLBI, "dsb ish"], own), Some("R3"), "begun ahead");
    assert_eq!(fetched(&[TLBI, "dsb ish", "isb"], own), None);
    assert_eq!(
        fetched(&[TLBI, "dsb ish", "isb"], &others),
        Some("R3"),
        "fetched"
    );
    let itself = ["1:tlbi vmalle1 0x0", "1:dsb nsh", TLBI, "dsb ish", "isb"];
    assert_eq!(
        fetched(&itself, &others),
        Some("R3"),
        "begun ahead and fetched"
    );
    let itself = [&itself[..], &["1:isb"]].concat();
    assert_eq!(fetched(&itself, &others), None);
}

/// A table that is unlinked: a walk cache goes on through it, to whatever it has.
#[test]
fn what_an_unlinked_table_leads_to() {
    let access = |kind: &str, expect: &str| format!("access {kind} {expect} va=0xffff000000001000");
    let shown = |from: &str, change: &str, kind: &str, expect: &str| {
        let access = access(kind, expect);
        let gone = ["dsb ishst", "tlbi vaale1is 0xff000000001", "dsb ish", "isb"];
        // The leaf itself is invalidated, and its table's walk caches are not.
        of(from, &[&[UNLINK, change][..], &gone, &[&access]].concat())
    };
    let kept = "owe";
    assert_eq!(shown(RO, kept, "read", "faults"), Some("R5"));
    assert_eq!(shown(RO, kept, "write", "faults"), None);
    assert_eq!(shown(RX, kept, "execute", "faults"), Some("R5"));
    assert_eq!(shown(RW, kept, "execute", "faults"), None);
    let clear = |from: &str| page(from, "0x0");
    assert_eq!(shown(RW, &clear(RW), "read", "faults"), None, "a hole");
    assert_eq!(
        shown(RW, &page(RW, "0x60000040000307"), "read", "faults"),
        None,
        "no AF"
    );
    // It holds up what goes another way now.
    let other = "store slot=0x2000 va=0xffff000000000000 level=2 old=0x0 new=0x5003";
    let filled = [
        "zero frame=0x5000",
        "store slot=0x5008 va=0xffff000000001000 level=3 old=0x0 new=0x60000040000707",
        "dmb ishst",
    ];
    let instead = |clear: &str, expect: &str| {
        let mut checker = Checker::without(Rule::BreakBeforeMake);
        let access = access("read", expect);
        let tail = [UNLINK, clear, other, "dsb ishst", "isb", &access];
        let start = mapped(RW);
        let start: Vec<&str> = start.iter().map(String::as_str).collect();
        let lines = [&start[..], &filled, &tail].concat();
        let mut lines = lines.into_iter().enumerate();
        lines.find_map(|(n, line)| checker.step(&event(n, line)).err().map(|v| v.rule.name()))
    };
    for expect in ["works", "retries"] {
        assert_eq!(instead(&clear(RW), expect), Some("R5"), "{expect}");
        assert_eq!(
            instead(kept, expect),
            None,
            "{expect}: the old way permits it too"
        );
    }
}

/// A core that is in another space uses nothing of this one, but for what is global.
#[test]
fn what_another_space_shows() {
    let low = [0, 1].map(|core| format!("{core}:access read faults va=0x1000"));
    assert_eq!(first(LOWER, &[LOW, &low[0]]), Some("R3"));
    assert_eq!(
        first(LOWER, &[LOW, &low[1]]),
        Some("R3"),
        "where it is nobody knows"
    );
    assert_eq!(first(LOWER, &[&SECOND[..], &[LOW, &low[1]]].concat()), None);
    assert_eq!(
        first(LOWER, &[&SECOND[..], &[LOW, &low[0]]].concat()),
        Some("R3")
    );
    // The same space under another ASID: what this core has is tagged with that.
    let alias = ["1:ttbr0 root=0x1000 asid=2", "1:isb"];
    let both = ["dsb ishst", "tlbi vae1is 0x1000000000001", "dsb ish", "isb"];
    let other = [&alias[..], &[LOW], &both, &[&low[1]]].concat();
    assert_eq!(first(LOWER, &other), Some("R3"));
    let own = [&alias[..], &[LOW], &both, &[&low[0]]].concat();
    assert_eq!(first(LOWER, &own), None);
    // Global.
    let global = [
        "store slot=0x4010 va=0x2000 level=3 old=0x0 new=0x60000040000707",
        "dsb ishst",
        "isb",
        "store slot=0x4010 va=0x2000 level=3 old=0x60000040000707 new=0x0",
        "1:access read faults va=0x2000",
    ];
    assert_eq!(first(LOWER, &[&SECOND[..], &global].concat()), Some("R3"));
    // The upper half is everybody's.
    let upper = [
        &SECOND[..],
        &[CLEAR, "1:access read faults va=0xffff000000001000"],
    ]
    .concat();
    assert_eq!(of(RW, &upper), Some("R3"));
    // A leaf whose root nobody knows may be this one's. One whose root is known, and was in no TTBR0, is not.
    let table = "store slot=0x7008 va=0x1000 level=3 old=0x60000040000f07 new=0x0";
    let unknown = [&SECOND[..], &[table, &low[1]]].concat();
    assert_eq!(first(UPPER, &unknown), Some("R3"));
    let links = [
        "store slot=0xa000 va=0x0 level=0 old=0xb003 new=0xb003",
        "store slot=0xb000 va=0x0 level=1 old=0x7003 new=0x7003",
        "store slot=0x7000 va=0x0 level=2 old=0x9003 new=0x9003",
        "store slot=0x9010 va=0x2000 level=3 old=0x60000040000f07 new=0x0",
    ];
    let probe = "access read faults va=0x2000";
    assert_eq!(first(LOWER, &[&links[..], &[probe]].concat()), None);
    let nowhere = format!("1:{probe}");
    assert_eq!(
        first(LOWER, &[&links[..], &[&nowhere]].concat()),
        Some("R3")
    );
    let there = ["ttbr0 root=0xa000 asid=3", "isb", probe];
    assert_eq!(first(LOWER, &[&links[..], &there].concat()), Some("R3"));
    // Frames begin at 0: a root there is not where a table of the upper half comes from.
    let zero = [
        "zero frame=0x0",
        "dsb ishst",
        "ttbr0 root=0x0 asid=3",
        "isb",
    ];
    let away = ["ttbr0 root=0xa000 asid=4", "isb", UNLINK, "dsb ishst"];
    let leaf = ["tlbi vaale1is 0xff000000001", "dsb ish", "isb"];
    let probe = "access read faults va=0xffff000000001000";
    let program = [&zero[..], &away, &leaf, &[probe]].concat();
    assert_eq!(of(RW, &program), Some("R5"));
}

/// An unlinked table is still walked by the cores that hold a link on the way to it, and by those that have
/// begun a walk and not synchronised their context since. What is stored there is stale for them, and for no other core.
#[test]
fn whose_walkers_come_to_an_unlinked_table() {
    let own = [UNLINK, "dsb nsh", "tlbi vaae1 0xff000000001", "dsb nsh"];
    let probe = [0, 1].map(|core| format!("{core}:{READ_FAULTS}"));
    let cleared = [&own[..], &["isb", CLEAR]].concat();
    for (core, found) in [(0, false), (1, true)] {
        let seen = of(RW, &[&cleared[..], &[&probe[core]]].concat());
        assert_eq!(seen.is_some(), found, "{core}: {seen:?}");
    }
    // A page that is mapped and unmapped there.
    let (map, clear) = (page("0x0", OTHER), page(OTHER, "0x0"));
    let both = [&map[..], &clear];
    let map = [&map[..]];
    let whole = [UNLINK, "dsb ishst", TLBI, "dsb ish"];
    let leaves = [
        UNLINK,
        "dsb ishst",
        "tlbi vaale1is 0xff000000001",
        "dsb ish",
    ];
    let isb = &["isb"][..];
    for (name, program, found) in [
        ("a walk begun", [&whole[..], &both, &[]], [true, false]),
        ("synchronised before", [&whole, isb, &both], [false; 2]),
        ("synchronised behind", [&whole, &both, isb], [false; 2]),
        ("the other core's link", [&own, isb, &both], [false, true]),
        ("its own walk too", [&own, &both, &[]], [true; 2]),
        ("but its own link", [&own, &both, isb], [false, true]),
        ("the link of all", [&leaves, isb, &both], [true; 2]),
    ] {
        for core in [0, 1] {
            let seen = first(UPPER, &[&program.concat()[..], &[&probe[core]]].concat());
            assert_eq!(seen.is_some(), found[core], "{name}, core {core}: {seen:?}");
        }
    }
    // A page that is mapped there and stays: it is stale from the store on, for whoever still walks there.
    let freed = "free frame=0x80000000";
    for (name, program, found) in [
        (
            "before the DSB",
            [&whole[..3], &map, &whole[3..]],
            [true; 2],
        ),
        (
            "and the ISB",
            [&whole[..3], &map, &["dsb ish", "isb"]],
            [true; 2],
        ),
        ("a walk begun", [&whole[..], &map, &[]], [true, false]),
        ("the other core's link", [&own, isb, &map], [false, true]),
        ("rid of it before", [&whole, isb, &map], [false; 2]),
    ] {
        for core in [0, 1] {
            let seen = first(UPPER, &[&program.concat()[..], &[&probe[core]]].concat());
            assert_eq!(seen.is_some(), found[core], "{name}, core {core}: {seen:?}");
        }
        let rule = found.contains(&true).then_some("R4");
        let seen = first(UPPER, &[&program.concat()[..], &[freed]].concat());
        assert_eq!(seen, rule, "{name}");
    }
    // A page that has led to the table's frame is no way to what the table translates.
    let alias = |old: &str, new: &str| {
        format!("store slot=0x3010 va=0xffff000000002000 level=3 old={old} new={new}")
    };
    let frame = "0x60000000003707";
    let (make, drop) = (alias("0x0", frame), alias(frame, "0x0"));
    let stale = [&make, "dsb ishst", "isb", &drop];
    for probe in &probe {
        let program = [&stale[..], &whole, isb, &both, &[probe]].concat();
        assert_eq!(first(UPPER, &program), None, "{probe}");
    }
    // The link above it is gone, and its own is not.
    for (tlbi, rule) in [
        ("tlbi vae1is 0x1000000000201", Some("R3")),
        ("tlbi vae1is 0x1000000000002", None),
    ] {
        let program = [
            "store slot=0x2000 va=0x0 level=1 old=0x3003 new=0x0",
            "dsb ishst",
            tlbi,
            "dsb ish",
            "isb",
            "store slot=0x4010 va=0x2000 level=3 old=0x0 new=0x60000080000f07",
            "store slot=0x4010 va=0x2000 level=3 old=0x60000080000f07 new=0x0",
            "access read faults va=0x2000",
        ];
        assert_eq!(first(LOWER, &program), rule, "{tlbi}");
    }
}

/// A core that is rid of a translation before the others, and has synchronised its context behind that, need not do
/// so again when the others are rid of it.
#[test]
fn a_core_that_is_rid_of_it_before_the_others() {
    let local = "tlbi vaae1 0xff000000001";
    let probe = [0, 1].map(|core| format!("{core}:{READ_FAULTS}"));
    for (name, own, found) in [
        ("by a DSB for itself", &[TLBI, "dsb nsh", "isb"][..], None),
        (
            "by a TLBI for itself",
            &[local, "dsb nsh", "isb", TLBI],
            None,
        ),
        ("and not synchronised", &[TLBI, "dsb nsh"], Some("R3")),
        ("nor so", &[local, "dsb nsh", TLBI], Some("R3")),
        ("nor before", &["isb", TLBI, "dsb nsh"], Some("R3")),
    ] {
        let program = [&[CLEAR, "dsb ishst"], own, &["dsb ish"]].concat();
        let with = |last: &str| of(RW, &[&program[..], &[last]].concat());
        assert_eq!(with(&probe[0]), found, "{name}");
        assert_eq!(with(DONE), found, "{name}");
        assert_eq!(with(FREE), found.map(|_| "R4"), "{name}");
        assert_eq!(with(&probe[1]), None, "{name}");
        let unfinished = of(RW, &[&program[..program.len() - 1], &[FREE]].concat());
        assert!(unfinished.is_some(), "{name}: the others");
    }
}

/// The core of the TLBI may use the old translation until it has synchronised its context, so until then nobody has
/// the frame, whoever frees or allocates it.
#[test]
fn a_frame_behind_another_cores_tlbi() {
    let page = ("free frame=0x40000000", CLEAR, "R4");
    let table = ("free frame=0x3000", UNLINK, "R5");
    for (free, store, rule) in [page, table] {
        for by in [0, 1] {
            let on = |what: &str| format!("{by}:{what}");
            let (tlbi, dsb, isb) = (on(TLBI), on("dsb ish"), on("isb"));
            for who in [0, 1] {
                for event in [free.to_owned(), free.replace("free", "alloc")] {
                    let reuse = format!("{who}:{event}");
                    let done = [store, "dsb ishst", &tlbi, &dsb];
                    assert_eq!(of(RW, &[&done[..], &[&reuse]].concat()), Some(rule));
                    assert_eq!(of(RW, &[&done[..], &[&isb, &reuse]].concat()), None);
                }
            }
        }
    }
}

/// A retry cures a fault that was begun ahead. Where the old translation permits the access there is none, and it
/// leads to the old frame.
#[test]
fn a_retry_where_nothing_faults() {
    let access = [0, 1].map(|core| format!("{core}:access read retries va=0xffff000000001000"));
    for (new, isbs, core, found) in [
        (OTHER, [false, false], 0, Some("R3")),
        (OTHER, [true, false], 0, None),
        (OTHER, [false, true], 0, None),
        (OTHER, [false, false], 1, None),
        (RO, [false, false], 0, None),
    ] {
        let isb = |at: usize| &["isb"][..usize::from(isbs[at])];
        let make = page("0x0", new);
        let program = [
            &[CLEAR, "dsb ishst", TLBI, "dsb ish"],
            isb(0),
            &[&make, "dsb ishst"],
            isb(1),
            &[&access[core]],
        ];
        assert_eq!(of(RW, &program.concat()), found, "{new} {isbs:?} {core}");
    }
}

/// What an access that is begun ahead has in its place now is what the tables lead to, and not what the table has that was
/// unlinked.
#[test]
fn a_retry_where_a_block_is_in_the_place_of_a_table() {
    let broken = [
        "store slot=0x4008 va=0x1000 level=3 old=0x60000040000f07 new=0x0",
        "store slot=0x3000 va=0x0 level=2 old=0x4003 new=0x0",
        "dsb ishst",
        "tlbi aside1is 0x1000000000000",
        "dsb ish",
    ];
    let made = [
        "store slot=0x3000 va=0x0 level=2 old=0x0 new=0x60000080000f05",
        "dsb ishst",
        "access read retries va=0x1000",
    ];
    for (isb, found) in [(&[][..], Some("R3")), (&["isb"], None)] {
        assert_eq!(
            first(LOWER, &[&broken, isb, &made].concat()),
            found,
            "{isb:?}"
        );
    }
}

/// A DSB for the storing core alone makes the store visible to that core's walker. A broadcast TLBI behind it, of another
/// core too, takes the translation from that core, and from no other.
#[test]
fn a_broadcast_tlbi_behind_a_dsb_for_the_storing_core() {
    let probe = [0, 1].map(|core| format!("{core}:{READ_FAULTS}"));
    let tlbi = format!("1:{TLBI}");
    for (program, found) in [
        ([CLEAR, "dsb nshst", &tlbi, "1:dsb ish"], [false, true]),
        ([CLEAR, "dsb nsh", &tlbi, "1:dsb sy"], [false, true]),
        ([CLEAR, &tlbi, "dsb nshst", "1:dsb ish"], [true, true]),
        ([CLEAR, "dsb nshst", &tlbi, "1:dsb nsh"], [true, true]),
        ([CLEAR, "dsb nshst", &tlbi, "1:dsb ishst"], [true, true]),
        ([CLEAR, "1:dsb nshst", &tlbi, "1:dsb ish"], [true, true]),
        (
            [
                CLEAR,
                "dsb nshst",
                "1:tlbi vaae1 0xff000000001",
                "1:dsb ish",
            ],
            [true, true],
        ),
    ] {
        for core in [0, 1] {
            let seen = of(RW, &[&program[..], &[&probe[core]]].concat());
            assert_eq!(seen.is_some(), found[core], "{program:?} {core}: {seen:?}");
        }
        assert!(of(RW, &[&program[..], &[FREE]].concat()).is_some());
    }
    // What it may have fetched it has to lose by itself.
    let fetch = "access execute faults va=0xffff000000001000";
    let program = [CLEAR, "dsb nshst", &tlbi, "1:dsb ish"];
    let clear = page(RX, "0x0");
    let of_text = |isb: &[&str]| {
        let program = [&[clear.as_str()], &program[1..], isb, &[fetch]].concat();
        of(RX, &program)
    };
    assert_eq!(of_text(&[]), Some("R3"));
    assert_eq!(of_text(&["isb"]), None);
}

/// Of three cores: what the others invalidate for themselves is not the storing core's.
#[test]
fn what_two_cores_invalidate_for_themselves() {
    let program = [
        "2:core-start",
        "2:isb",
        CLEAR,
        "dsb ishst",
        "1:tlbi vmalle1 0x0",
        "1:dsb nsh",
        "1:isb",
        "2:tlbi vmalle1 0x0",
        "2:dsb ish",
        "2:isb",
        READ_FAULTS,
    ];
    assert!(of(RW, &program).is_some());
}

/// A broadcast TLBI that counts for the storing core alone is completed by its own core, whatever another one completes in
/// between.
#[test]
fn a_tlbi_for_the_storing_core_waits_for_its_dsb() {
    let tlbi = format!("1:{TLBI}");
    let between = ["dsb ishst", "2:tlbi vmalle1 0x0", "2:dsb nsh"];
    let start = ["2:core-start", "2:isb", CLEAR, "dsb nshst", &tlbi];
    let complete = ["1:dsb ish", READ_FAULTS];
    assert_eq!(of(RW, &[&start[..], &between, &complete].concat()), None);
    assert!(of(RW, &[&start[..], &between, &[READ_FAULTS]].concat()).is_some());
}

/// A core that starts when the store is visible has fetched nothing through what was there.
#[test]
fn a_core_that_starts_later_has_fetched_nothing() {
    let clear = page(RX, "0x0");
    let program = [
        clear.as_str(),
        "dsb ishst",
        "tlbi vmalle1 0x0",
        "dsb nsh",
        "isb",
        "2:core-start",
        TLBI,
        "dsb ish",
        "isb",
        "2:access execute faults va=0xffff000000001000",
    ];
    assert_eq!(of(RX, &program), None);
}

/// What is missing is a TLBI where its owner is now, and an ISB where a retry does not help.
#[test]
fn what_is_missing_is_said_with_its_core() {
    let start = mapped(RW);
    let start: Vec<&str> = start.iter().map(String::as_str).collect();
    let missing = |program: &[&str]| violation(&start, program).unwrap().missing;
    for (relying, core) in [("1/0", 1), ("1/1", 0)] {
        let steps = missing(&[CLEAR, "dsb ishst", &format!("{relying}:{READ_FAULTS}")]);
        let tlbi = |step: &Step| matches!(step, Step::Tlbi { core: at, .. } if *at == core);
        assert!(steps.iter().any(tlbi), "{relying}: {steps:?}");
        assert!(
            steps.contains(&Step::Complete(core)),
            "{relying}: {steps:?}"
        );
    }
    // The core that has completed its TLBI is not the one that frees.
    for (invalidates, frees) in [(0, 1), (1, 0)] {
        let [tlbi, dsb] = [TLBI, "dsb ish"].map(|step| format!("{invalidates}:{step}"));
        let steps = missing(&[CLEAR, "dsb ishst", &tlbi, &dsb, &format!("{frees}:{FREE}")]);
        assert_eq!(steps, [Step::Isb(invalidates)]);
    }
    let (make, retries) = (
        page("0x0", OTHER),
        "access read retries va=0xffff000000001000",
    );
    let broken = [CLEAR, "dsb ishst", TLBI, "dsb ish", &make, "dsb ishst"];
    let steps = missing(&[&broken[..], &[retries]].concat());
    assert_eq!(steps, [Step::Isb(0)]);
}
