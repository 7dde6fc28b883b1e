//! Which descriptor a store is to, what hangs below what, and what a frame is.

use crate::lines::*;
use mmu_check::Checker;

/// Every number has its own bit of what is known: those at the ends of words, and what lies between.
const INDICES: [u64; 10] = [0, 1, 2, 62, 63, 64, 65, 255, 510, 511];

fn at(table: u64, index: u64, old: u64, new: u64) -> String {
    let (slot, va) = (table + 8 * index, 0xffff_0000_0000_0000_u64 + 4096 * index);
    format!("store slot={slot:#x} va={va:#x} level=3 old={old:#x} new={new:#x}")
}

/// Of a table whose zeroing nobody has seen what was stored is known, and nothing else.
#[test]
fn what_is_known_of_a_table() {
    let page = 0x60_0000_4000_0707;
    for stored in INDICES {
        let map = at(0x7000, stored, 0, page);
        for other in INDICES {
            let clear = at(0x7000, other, page + 0x1000, 0);
            let wrong = (stored == other).then_some("R11");
            assert_eq!(first(UPPER, &[&map, &clear]), wrong, "{stored}, {other}");
        }
    }
    // Of one that was zeroed, all of it.
    let zeroed = |index| {
        [
            String::from("zero frame=0x7000"),
            at(0x7000, index, page, 0),
        ]
    };
    for index in INDICES {
        let [zero, store] = zeroed(index);
        assert_eq!(first(UPPER, &[&zero, &store]), Some("R11"), "{index}");
    }
}

/// A level behind the last is what a caller may put into an event: it is the last one's.
#[test]
fn a_level_that_there_is_not() {
    let mut wrong = event(0, &at(0x7000, 1, 0, 0x60_0000_4000_0707));
    if let mmu_check::What::Store { level, .. } = &mut wrong.what {
        *level = 9;
    }
    let mut checker = Checker::new();
    assert_eq!(checker.step(&wrong), Ok(()));
    assert_eq!(
        checker.step(&event(1, "task-end")),
        Ok(()),
        "no leaf, so nothing is owed"
    );
}

/// Each descriptor counts as used by its own uses.
#[test]
fn what_is_used_of_a_table() {
    let tree = [
        "store slot=0x1000 va=0xffff000000000000 level=0 old=0x2003 new=0x2003",
        "store slot=0x2000 va=0xffff000000000000 level=1 old=0x3003 new=0x3003",
        "store slot=0x3000 va=0xffff000000000000 level=2 old=0x4003 new=0x4003",
    ];
    let mut checker = Checker::new();
    let mut hear = |line: &str| {
        // Links that are there from the start on: nothing is said of who zeroed the tables.
        let _ = checker.step(&event(0, line));
        checker.coverage().used_mappings
    };
    for line in tree {
        hear(line);
    }
    for (n, index) in INDICES.into_iter().enumerate() {
        let va = 0xffff_0000_0000_0000_u64 + 4096 * index;
        let access = format!("access read works va={va:#x}");
        assert_eq!(hear(&access), n as u64, "{index} is not mapped");
        hear(&at(0x4000, index, 0, 0x60_0000_4000_0707));
        hear("dsb ishst");
        hear("isb");
        for _ in 0..2 {
            assert_eq!(hear(&access), n as u64 + 1, "{index}");
        }
    }
    // Other addresses, by other descriptors of each level.
    for va in [
        "0xffff000000200000",
        "0xffff000040000000",
        "0xffff008000000000",
    ] {
        let access = format!("access read works va={va}");
        assert_eq!(hear(&access), INDICES.len() as u64, "{va}");
    }
    // What is made anew was not used, and its neighbours were.
    let again = at(0x4000, 63, 0x60_0000_4000_0707, 0x60_0000_4000_0707);
    hear(&again);
    for (index, more) in [(62, 0), (64, 0), (63, 1), (63, 1)] {
        let va = 0xffff_0000_0000_0000_u64 + 4096 * index;
        let used = hear(&format!("access read works va={va:#x}"));
        assert_eq!(used, INDICES.len() as u64 + more, "{index}");
    }
}

/// The root of the upper half is linked by TTBR1, which no event says.
#[test]
fn the_root_of_the_upper_half() {
    let root = [
        "zero frame=0x8000",
        "dsb ishst",
        "store slot=0x8008 va=0xffff008000000000 level=0 old=0x0 new=0x9003",
    ];
    // It is walked from its first store on.
    let link = [&["zero frame=0x9000"], &root[..]].concat();
    assert_eq!(first(UPPER, &link), None, "zeroes of both are ordered");
    let late = [root[0], "dmb ishst", "zero frame=0x9000", root[2]];
    assert_eq!(first(UPPER, &late), Some("R10"));
    assert_eq!(first(&link, &["free frame=0x8000"]), Some("R5"));
    assert_eq!(first(&link, &["alloc frame=0x8000"]), Some("R5"));
    // Another table comes and goes: it is the root still.
    let other = ["zero frame=0xa000", "free frame=0xa000"];
    assert_eq!(
        first(&link, &[&other[..], &["free frame=0x8000"]].concat()),
        Some("R5")
    );
    // It is zeroed, so it is a new table, that nothing links: it, and what comes after it.
    assert_eq!(
        first(&link, &["zero frame=0x8000", "free frame=0x8000"]),
        None
    );
    // A level-0 table of the lower half is none.
    let lower = [
        "zero frame=0x9000",
        "dsb ishst",
        "store slot=0x9008 va=0x8000000000 level=0 old=0x0 new=0x100",
        "free frame=0x9000",
    ];
    assert_eq!(first(UPPER, &lower), None);
    let upper_leaf = "store slot=0x9008 va=0xffff000000201000 level=3 old=0x0 new=0x100";
    let upper = [lower[0], lower[1], upper_leaf, lower[3]];
    assert_eq!(first(UPPER, &upper), None);
}

/// A root that maps itself: what hangs below what ends somewhere.
#[test]
fn a_table_that_leads_to_itself() {
    let start = [
        LOWER,
        &[
            "store slot=0x1ff8 va=0xff8000000000 level=0 old=0x0 new=0x1003",
            "dsb ishst",
            "isb",
        ],
    ]
    .concat();
    let unlink = "store slot=0x1ff8 va=0xff8000000000 level=0 old=0x1003 new=0x0";
    let all = [
        "dsb ishst",
        "tlbi aside1is 0x1000000000000",
        "dsb ish",
        "isb",
    ];
    let free = "free frame=0x40000000";
    let gone = [&[unlink][..], &all, &["task-end"]].concat();
    assert_eq!(first(&start, &gone), None);
    assert_eq!(first(&start, &[unlink, "task-end"]), Some("R8"));
    assert_eq!(first(&start, &[unlink, free]), Some("R4"));
}

/// A table that two descriptors link.
#[test]
fn a_table_that_is_linked_twice() {
    let tree = [
        "zero frame=0x5000",
        "dmb ishst",
        "store slot=0x2008 va=0xffff000000200000 level=2 old=0x0 new=0x5003",
        "store slot=0x2010 va=0xffff000000400000 level=2 old=0x0 new=0x5003",
        "dsb ishst",
        "isb",
    ];
    let start = [UPPER, &tree].concat();
    let one = "store slot=0x2008 va=0xffff000000200000 level=2 old=0x5003 new=0x0";
    let two = "store slot=0x2010 va=0xffff000000400000 level=2 old=0x5003 new=0x0";
    let all = ["dsb ishst", "tlbi vmalle1is 0x0", "dsb ish", "isb"];
    let free = "free frame=0x5000";
    assert_eq!(
        first(&start, &[&[one][..], &all, &[free]].concat()),
        Some("R5")
    );
    assert_eq!(
        first(&start, &[&[one, two][..], &all, &[free]].concat()),
        None
    );
    // What was withdrawn by one link leads to the frame as long as by two.
    let half = ["dsb ishst", "tlbi vaae1is 0xff000000200", "dsb ish", "isb"];
    let both = [&[one, two][..], &half, &[free]].concat();
    assert_eq!(first(&start, &both), Some("R5"));
}

/// A descriptor that leads elsewhere now links its first table no more, whatever is wrong with that.
#[test]
fn a_table_that_another_takes_the_place_of() {
    let store = |old: &str, new: &str| {
        format!("store slot=0x2008 va=0xffff000000200000 level=2 old={old} new={new}")
    };
    for new in ["0x5003", "0x200401", "0x60000080000705"] {
        let mut checker = Checker::without(mmu_check::Rule::BreakBeforeMake);
        let (link, over) = (store("0x0", "0x200003"), store("0x200003", new));
        let tables = ["zero frame=0x200000", "zero frame=0x5000", "dmb ishst"];
        let pays = ["dsb ishst", "tlbi vmalle1is 0x0", "dsb ish", "isb"];
        let free = if new == "0x200401" {
            "alloc frame=0x200000"
        } else {
            "free frame=0x200000"
        };
        let program = [&tables[..], &[&link, &over], &pays, &[free]].concat();
        for line in UPPER.iter().chain(&program) {
            assert_eq!(checker.step(&event(0, line)), Ok(()), "{line}, {new}");
        }
    }
}

/// Stored to before it is zeroed, or never: who links it is to have zeroed it.
#[test]
fn a_table_that_was_never_zeroed() {
    let fill = "store slot=0x5000 va=0xffff000000200000 level=3 old=0x0 new=0x60000040000707";
    let link = "store slot=0x2008 va=0xffff000000200000 level=2 old=0x0 new=0x5003";
    for barrier in ["dmb ishst", "dsb ishst", "isb"] {
        assert_eq!(
            first(UPPER, &[fill, barrier, link]),
            Some("R10"),
            "{barrier}"
        );
    }
    let zeroed = [fill, "zero frame=0x5000", "dmb ishst", link];
    assert_eq!(first(UPPER, &zeroed), None);
    // Freed, it is no table: its zeroes are gone.
    let freed = ["zero frame=0x5000", "dmb ishst", "free frame=0x5000", link];
    assert_eq!(first(UPPER, &freed), Some("R10"));
    // A DSB of this core orders its own stores, and not another's.
    let other = ["1:zero frame=0x5000", "dsb ishst", link];
    assert_eq!(first(UPPER, &other), Some("R10"));
    let own = ["1:zero frame=0x5000", "1:dsb ishst", link];
    assert_eq!(first(UPPER, &own), None);
    // A DMB does for a link, and the DSB behind it for a root.
    let root = "ttbr0 root=0x5000 asid=1";
    let dmb = ["zero frame=0x5000", "dmb ishst", root];
    assert_eq!(first(UPPER, &dmb), Some("R10"));
    let dsb = ["zero frame=0x5000", "dmb ishst", "dsb ishst", root];
    assert_eq!(first(UPPER, &dsb), None);
    // A root that nobody has seen zeroed is taken as it is.
    let store = "store slot=0x8000 va=0x0 level=0 old=0x0 new=0x100";
    assert_eq!(first(UPPER, &[store, "ttbr0 root=0x8000 asid=1"]), None);
}

/// A frame that was taken from the allocator: its owner's mappings are those that were made since.
#[test]
fn what_maps_a_frame() {
    let (alloc, free) = ("alloc frame=0x40000000", "free frame=0x40000000");
    let block = |old: &str, new: &str| {
        format!("store slot=0x2010 va=0xffff000000400000 level=2 old={old} new={new}")
    };
    let (map, clear) = (
        block("0x0", "0x60000040000705"),
        block("0x60000040000705", "0x0"),
    );
    let other = block("0x0", "0x60000080000705");
    let all = ["dsb ishst", "tlbi vmalle1is 0x0", "dsb ish", "isb"];
    // A block, made before and since.
    assert_eq!(first(UPPER, &[&map, alloc, free]), None);
    assert_eq!(first(UPPER, &[alloc, &map, free]), Some("R4"));
    assert_eq!(first(UPPER, &[alloc, &other, free]), None, "other frames");
    let cleared = [&[alloc, &map, &clear][..], &all, &[free]].concat();
    assert_eq!(first(UPPER, &cleared), None);
    assert_eq!(
        first(UPPER, &[&map, free]),
        Some("R4"),
        "its allocation was not seen"
    );
    // A page of one frame is not the next one's.
    let page = page("0x0", RW);
    for (frame, found) in [
        ("0x3ffff000", None),
        ("0x40000000", Some("R4")),
        ("0x40001000", None),
    ] {
        let (alloc, free) = (
            format!("alloc frame={frame}"),
            format!("free frame={frame}"),
        );
        assert_eq!(first(UPPER, &[&page, &free]), found, "{frame}");
        assert_eq!(first(UPPER, &[&alloc, &page, &free]), found, "{frame}");
    }
    // Given back and taken again: what was made for its first owner is not the second's.
    let mut checker = Checker::new();
    let twice = [UPPER, &[alloc, &page, free, alloc, free]].concat();
    let found = twice
        .iter()
        .map(|line| checker.step(&event(0, line)).is_err());
    let found: Vec<_> = found.collect();
    assert_eq!(found[UPPER.len()..], [false, false, true, false, false]);
    let beside = at(0x3000, 2, 0, 0x60_0000_4000_0707);
    let lines = [alloc, &page, &beside, free, alloc, free];
    let mut checker = Checker::new();
    let twice = [UPPER, &lines].concat();
    let found = twice
        .iter()
        .map(|line| checker.step(&event(0, line)).is_err());
    let found: Vec<_> = found.collect();
    assert_eq!(
        found[UPPER.len()..],
        [false, false, false, true, false, false]
    );
    // Given back twice: whose it is then nobody knows, and what maps it since long ago counts.
    assert_eq!(first(UPPER, &[&page, alloc, free, free]), Some("R4"));
    // Three pages, taken away one by one in each order.
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let store = |index, old, new| at(0x3000, index, old, new);
        let bits = 0x60_0000_4000_0707;
        let maps = [3, 4, 5].map(|index| store(index, 0, bits));
        let clears = order.map(|n| store(3 + n, bits, 0));
        for cleared in 0..=3 {
            let mut lines = vec![alloc];
            lines.extend(maps.iter().map(String::as_str));
            lines.extend(clears[..cleared].iter().map(String::as_str));
            lines.extend(all);
            lines.push(free);
            let left = (cleared < 3).then_some("R4");
            assert_eq!(first(UPPER, &lines), left, "{order:?}, {cleared} of them");
        }
    }
}

/// Of several blocks that are withdrawn each waits for its own invalidation.
#[test]
fn several_stale_blocks() {
    let store = |index: u64, old: u64, new: u64| {
        let (slot, va) = (0x2000 + 8 * index, 0xffff_0000_0000_0000 + (index << 21));
        format!("store slot={slot:#x} va={va:#x} level=2 old={old:#x} new={new:#x}")
    };
    let bits = |index: u64| 0x60_0000_4000_0705 + (index << 21);
    for (gone, kept) in [(1, 2), (2, 1), (1, 3), (3, 2)] {
        let maps = [1, 2, 3].map(|index| store(index, 0, bits(index)));
        let clears = [1, 2, 3].map(|index| store(index, bits(index), 0));
        let tlbi = format!("tlbi vaae1is {:#x}", 0xff0_0000_0000_u64 + (gone << 9));
        let frame = |index: u64| format!("free frame={:#x}", 0x4000_3000 + (index << 21));
        let program = |last: &str| {
            let lines = maps.iter().chain(&clears).map(String::as_str);
            let pays = ["dsb ishst", &tlbi, "dsb ish", "isb", last];
            first(UPPER, &lines.chain(pays).collect::<Vec<_>>())
        };
        assert_eq!(program(&frame(gone)), None, "{gone}, {kept}");
        assert_eq!(program(&frame(kept)), Some("R4"), "{gone}, {kept}");
    }
}

/// A block that a table takes the place of, and one whose table is gone, map nothing any more.
#[test]
fn many_blocks() {
    let (alloc, free) = ("alloc frame=0x40000000", "free frame=0x40000000");
    let mut lines: Vec<String> = UPPER.iter().map(|line| line.to_string()).collect();
    lines.push(alloc.into());
    let store = |index: u64, old: u64, new: u64| {
        let (slot, va) = (0x2000 + 8 * index, 0xffff_0000_0000_0000 + (index << 21));
        format!("store slot={slot:#x} va={va:#x} level=2 old={old:#x} new={new:#x}")
    };
    let bits = |index: u64| 0x60_0000_4000_0705 + ((index % 7) << 21);
    let all = ["dsb ishst", "tlbi vmalle1is 0x0", "dsb ish", "isb"];
    lines.extend((1..100).map(|index| store(index, 0, bits(index))));
    let start: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(first(&start, &[free]), Some("R4"));
    let clears: Vec<String> = (1..100).map(|index| store(index, bits(index), 0)).collect();
    let last = clears
        .iter()
        .rposition(|line| line.ends_with("new=0x0") && line.contains("old=0x60000040000705"));
    let clears: Vec<&str> = clears.iter().map(String::as_str).collect();
    let gone = [&clears[..], &all, &[free]].concat();
    assert_eq!(first(&start, &gone), None);
    let mut but_one = clears.clone();
    but_one.remove(last.unwrap());
    assert_eq!(
        first(&start, &[&but_one[..], &all, &[free]].concat()),
        Some("R4")
    );
}
