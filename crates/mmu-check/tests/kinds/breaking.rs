//! Break-before-make: which translations a TLB would have at once, of one address or of one entry, and which it would
//! not mix up.

use crate::lines::*;

const UNLINK: &str = "store slot=0x2000 va=0xffff000000000000 level=2 old=0x3003 new=0x0";
const BACK: &str = "store slot=0x2000 va=0xffff000000000000 level=2 old=0x0 new=0x3003";
/// Sixteen of it are one entry: the second page with the Contiguous bit, and what its neighbours are then.
const RUN: &str = "0x70000040001707";

/// A descriptor of the first last-level table.
fn at(index: u64, old: &str, new: &str) -> String {
    let (slot, va) = (0x3000 + 8 * index, 0xffff_0000_0000_0000 + 4096 * index);
    format!("store slot={slot:#x} va={va:#x} level=3 old={old} new={new}")
}

/// Who stores may be wrong about what was there. What counts is what is there.
#[test]
fn what_is_there_counts_and_not_what_is_believed() {
    let (first_one, second) = (page("0x0", RW), page("0x0", OTHER));
    let both = [&first_one[..], &format!("1:{second}")];
    assert_eq!(first(UPPER, &both), Some("R2"));
    // The other way round nothing is there that could be broken, and the belief is wrong: not R2.
    let believed = [&page("0x0", "0x100")[..], &page(OTHER, RW)];
    assert_eq!(first(UPPER, &believed), Some("R11"));
}

/// The descriptor's place says what it translates; an address inside of that does as well as the first.
#[test]
fn an_address_inside_of_what_the_descriptor_translates() {
    let (map, clear, other) = (
        "store slot=0x2008 va=0xffff000000200000 level=2 old=0x0 new=0x60000040000705",
        "store slot=0x2008 va=0xffff000000200000 level=2 old=0x60000040000705 new=0x0",
        "store slot=0x2008 va=0xffff000000345000 level=2 old=0x0 new=0x60000080000705",
    );
    let paid = [map, "dsb ishst", "isb", clear];
    let found = violation(UPPER, &[&paid[..], &[other]].concat()).unwrap();
    assert_eq!(found.rule.name(), "R2");
    assert_eq!(found.address, 0xffff_0000_0020_0000);
    assert_eq!(found.owes.unwrap().what, event(0, clear).what);
    let all = invalidate("tlbi vaae1is 0xff000000200");
    assert_eq!(first(UPPER, &[&paid[..], &all, &[other]].concat()), None);
    let over =
        "store slot=0x2008 va=0xffff0000003ff000 level=2 old=0x60000040000705 new=0x60000080000705";
    let found = violation(UPPER, &[map, over]).unwrap();
    assert_eq!(
        (found.rule.name(), found.address),
        ("R2", 0xffff_0000_0020_0000)
    );
}

/// Of the same frame too, where a translation's other properties change (Arm ARM D8).
#[test]
fn a_change_of_one_property() {
    let clear = page(RW, "0x0");
    for (new, what) in [
        ("0x60000040000703", "memory type"),
        ("0x60000040000507", "shareability"),
        ("0x60000040000f07", "nG"),
        ("0x60000040001707", "output address"),
    ] {
        let over = page(RW, new);
        assert_eq!(after(&mapped(RW), &[&over]), Some("R2"), "{what}");
        let (broken, made) = (invalidate(TLBI), page("0x0", new));
        let early = [&clear[..], "dsb ishst", TLBI, &made];
        assert_eq!(after(&mapped(RW), &early), Some("R2"), "{what}");
        let right = [&[&clear[..]], &broken[..], &[&made]].concat();
        assert_eq!(after(&mapped(RW), &right), None, "{what}");
    }
    // What the architecture lets change in a live descriptor.
    for (new, what) in [
        (RO, "AP"),
        (RX, "AP and PXN"),
        ("0x7e0000040000707", "software's bits"),
    ] {
        assert_eq!(after(&mapped(RW), &[&page(RW, new)]), None, "{what}");
        let made = page("0x0", new);
        assert_eq!(after(&mapped(RW), &[&clear, &made]), None, "{what}");
    }
}

/// A TLB may hold sixteen descriptors with the Contiguous bit as one: what one of them was is held with the others.
#[test]
fn neighbours_by_the_contiguous_bit() {
    let start = mapped(RUN);
    let start: Vec<&str> = start.iter().map(String::as_str).collect();
    let clear = page(RUN, "0x0");
    let beside = |index, new: &str| {
        let made = at(index, "0x0", new);
        let broken = first(&start, &[&clear, &made]);
        let paid = [&[&clear[..]][..], &invalidate(TLBI), &[&made]].concat();
        assert_eq!(first(&start, &paid), None, "{new} at {index}");
        broken
    };
    // The next one of the sixteen, as the entry says it is; other, by its frame and by the bit alone.
    assert_eq!(beside(2, "0x70000040002707"), None);
    assert_eq!(beside(2, "0x70000040003707"), Some("R2"));
    assert_eq!(beside(2, "0x60000040002707"), Some("R2"));
    // The first and the last of the sixteen, and those outside.
    assert_eq!(beside(0, "0x600000c0000707"), Some("R2"));
    assert_eq!(beside(15, "0x600000c0000707"), Some("R2"));
    assert_eq!(beside(16, "0x600000c0000707"), None);
    assert_eq!(beside(17, "0x700000c0001707"), None);
    // The other way round: what becomes one of sixteen is made over what a neighbour was.
    let start = mapped(RW);
    let start: Vec<&str> = start.iter().map(String::as_str).collect();
    let clear = page(RW, "0x0");
    let run = |index| first(&start, &[&clear, &at(index, "0x0", "0x700000c0000707")]);
    assert_eq!(run(0), Some("R2"));
    assert_eq!(run(15), Some("R2"));
    assert_eq!(run(16), None);
    // Without the bit neighbours have nothing to do with each other.
    let single = at(2, "0x0", "0x600000c0000707");
    assert_eq!(first(&start, &[&clear, &single]), None);
}

/// A block that TLBs may hold, and pages in its place, in a table that was linked before anybody reported.
#[test]
fn a_page_below_a_stale_block() {
    let (map, clear) = (
        "store slot=0x2008 va=0xffff000000200000 level=2 old=0x0 new=0x60000040000705",
        "store slot=0x2008 va=0xffff000000200000 level=2 old=0x60000040000705 new=0x0",
    );
    let below = "store slot=0x7008 va=0xffff000000201000 level=3 old=0x0 new=0x60000040001707";
    let beside = "store slot=0x7008 va=0xffff000000401000 level=3 old=0x0 new=0x60000040001707";
    assert_eq!(first(UPPER, &[map, clear, below]), Some("R2"));
    assert_eq!(first(UPPER, &[map, clear, beside]), None);
    let all = invalidate("tlbi vaae1is 0xff000000200");
    let paid = [&[map, clear][..], &all, &[below]].concat();
    assert_eq!(first(UPPER, &paid), None);
}

/// A table in the place of another, of a block, and the other way round, all three in one frame.
#[test]
fn a_table_and_a_block() {
    let store = |old: &str, new: &str| {
        format!("store slot=0x2008 va=0xffff000000200000 level=2 old={old} new={new}")
    };
    let ready = ["zero frame=0x200000", "zero frame=0x5000", "dmb ishst"];
    // The block's other fields are zero, so it differs from the table in the lowest bits alone.
    let (table, other, block) = ("0x200003", "0x5003", "0x200401");
    for (old, new, found) in [
        (table, other, Some("R2")),
        (table, block, Some("R2")),
        (block, table, Some("R2")),
        (table, table, None),
        (block, block, None),
    ] {
        let (make, over) = (store("0x0", old), store(old, new));
        let program = [&ready[..], &[&make, "dsb ishst", "isb", &over]].concat();
        assert_eq!(first(UPPER, &program), found, "{new} over {old}");
        let (clear, again) = (store(old, "0x0"), store("0x0", new));
        let program = [&ready[..], &[&make, "dsb ishst", "isb", &clear, &again]].concat();
        assert_eq!(first(UPPER, &program), found, "{new} behind {old}");
    }
}

/// A table that is linked again where it was, before its invalidation: what TLBs hold of it is right, but for what
/// has changed in it.
#[test]
fn a_table_that_is_linked_back() {
    assert_eq!(after(&mapped(RW), &[UNLINK, BACK]), None);
    let change = |new: &str| {
        let change = page(RW, new);
        after(&mapped(RW), &[UNLINK, &change, "dmb ishst", BACK])
    };
    assert_eq!(change(RO), None, "a permission");
    assert_eq!(change("0x0"), None, "a hole");
    assert_eq!(change("0x60000040000307"), None, "no access flag");
    assert_eq!(change(OTHER), Some("R2"), "another frame");
    // Nothing is owed any more for the page that is again what TLBs hold; for one that has changed it is.
    let ends = |change: &str| {
        let program = [
            UNLINK,
            change,
            "dmb ishst",
            BACK,
            "dsb ishst",
            "isb",
            "task-end",
        ];
        after(&mapped(RW), &program)
    };
    assert_eq!(ends("owe"), None);
    assert_eq!(ends(&page(RW, RO)), Some("R8"));
    let several = [0, 2, 511].map(|index| at(index, "0x0", "0x600000c0000707"));
    let several = several.each_ref().map(String::as_str);
    let pair = ["dsb ishst", "isb"];
    let program = [&several[..], &pair, &[UNLINK, BACK], &pair, &["task-end"]].concat();
    assert_eq!(after(&mapped(RW), &program), None);
    // The same one level up: the tables below go and come with it.
    let tree = [
        "zero frame=0x5000",
        "zero frame=0x6000",
        "dmb ishst",
        "store slot=0x6000 va=0xffff000040000000 level=3 old=0x0 new=0x60000040000707",
        "store slot=0x5000 va=0xffff000040000000 level=2 old=0x0 new=0x6003",
        "dmb ishst",
        "store slot=0x7008 va=0xffff000040000000 level=1 old=0x0 new=0x5003",
        "dsb ishst",
        "isb",
    ];
    let start = [UPPER, &tree].concat();
    let unlink = "store slot=0x7008 va=0xffff000040000000 level=1 old=0x5003 new=0x0";
    let back = "store slot=0x7008 va=0xffff000040000000 level=1 old=0x0 new=0x5003";
    assert_eq!(first(&start, &[unlink, back]), None);
    let block = "store slot=0x7008 va=0xffff000040000000 level=1 old=0x0 new=0x60000080000705";
    assert_eq!(first(&start, &[unlink, block]), Some("R2"));
}

/// Another space with ASID 2, and a page at its address 0x1000, by tables of its own.
const SECOND: [&str; 11] = [
    "zero frame=0x11000",
    "zero frame=0x12000",
    "zero frame=0x13000",
    "zero frame=0x14000",
    "dsb ishst",
    "1:ttbr0 root=0x11000 asid=2",
    "1:isb",
    "store slot=0x11000 va=0x0 level=0 old=0x0 new=0x12003",
    "store slot=0x12000 va=0x0 level=1 old=0x0 new=0x13003",
    "store slot=0x13000 va=0x0 level=2 old=0x0 new=0x14003",
    "dsb ishst",
];

/// TLBs do not mix up what two ASIDs have, unless one of it is global.
#[test]
fn another_space_at_the_same_address() {
    let start = [LOWER, &SECOND].concat();
    let clear = "store slot=0x4008 va=0x1000 level=3 old=0x60000040000f07 new=0x0";
    let theirs = "store slot=0x14008 va=0x1000 level=3 old=0x0 new=0x60000080000f07";
    let global = "store slot=0x14008 va=0x1000 level=3 old=0x0 new=0x60000080000707";
    let mine = "store slot=0x4008 va=0x1000 level=3 old=0x0 new=0x60000080000f07";
    assert_eq!(first(&start, &[clear, theirs]), None);
    assert_eq!(first(&start, &[clear, global]), Some("R2"));
    assert_eq!(first(&start, &[clear, mine]), Some("R2"));
    let all = invalidate("tlbi vale1is 0x1000000000001");
    assert_eq!(
        first(&start, &[&[clear][..], &all, &[global]].concat()),
        None
    );
    // What was global is in the way of everybody.
    let own = [
        "store slot=0x4010 va=0x2000 level=3 old=0x0 new=0x60000040000707",
        "dsb ishst",
        "isb",
        "store slot=0x4010 va=0x2000 level=3 old=0x60000040000707 new=0x0",
    ];
    let theirs = "store slot=0x14010 va=0x2000 level=3 old=0x0 new=0x60000080000f07";
    assert_eq!(first(&start, &[&own[..], &[theirs]].concat()), Some("R2"));
    let all = invalidate("tlbi vaale1is 0x2");
    let paid = [&own[..], &all, &[theirs]].concat();
    assert_eq!(first(&start, &paid), None);
}
