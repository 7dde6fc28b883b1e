//! What is published, to whom, and when that is owed: uses (R1), ends (R8), links (R10).

use crate::lines::*;

const MAP: &str = "store slot=0x3008 va=0xffff000000001000 level=3 old=0x0 new=0x60000040000707";
const LOW: &str = "access read works va=0x1000";
/// A root that core 0 has besides, with ASID 2.
const ROOT: [&str; 2] = ["zero frame=0x8000", "dsb ishst"];

/// TTBR0 is the lower half's alone, and counts from the ISB on.
#[test]
fn a_write_of_ttbr0() {
    let write = "ttbr0 root=0x1000 asid=2";
    assert_eq!(first(LOWER, &[write, LOW]), Some("R1"));
    assert_eq!(first(LOWER, &[write, "isb", LOW]), None);
    assert_eq!(first(LOWER, &[write, "exception-return", LOW]), None);
    assert_eq!(first(LOWER, &["isb", write, LOW]), Some("R1"));
    let start = [LOWER, &[write]].concat();
    let upper = "access read works va=0xffff000000001000";
    assert_eq!(first(&start, &[upper]), None, "the upper half");
    let other = "1:access read retries va=0x1000";
    assert_eq!(first(&start, &[other]), None, "another core's TTBR0");
    let probe = "access read faults va=0x9000";
    assert_eq!(first(&start, &[probe]), Some("R1"));
    assert_eq!(first(&start, &["isb", probe]), None);
    // What it has already is nothing new, but for what may have come between.
    let same = "ttbr0 root=0x1000 asid=1";
    assert_eq!(first(LOWER, &[same, LOW]), None);
    assert_eq!(first(LOWER, &[same, probe]), None);
    assert_eq!(first(LOWER, &[same, write, LOW]), Some("R1"));
    assert_eq!(first(LOWER, &[write, same, LOW]), Some("R1"));
    assert_eq!(first(LOWER, &[write, "isb", write, LOW]), None);
    assert_eq!(first(LOWER, &[write, "isb", same, write, LOW]), Some("R1"));
}

/// What must fault waits for no publication.
#[test]
fn a_probe_waits_for_no_store() {
    let probe = "access read faults va=0xffff000000001000";
    assert_eq!(first(UPPER, &[MAP, probe]), None);
    assert_eq!(first(UPPER, &[MAP, "dsb ishst", probe]), None);
}

/// Of a block each address is published with its descriptor, and none beside it.
#[test]
fn every_address_of_a_block() {
    for (level, slot, va, size) in [
        (2, 0x2ff0, 0xffff_0000_3fc0_0000_u64, 1 << 21),
        (1, 0x7ff0, 0xffff_007f_8000_0000, 1 << 30),
    ] {
        let map =
            format!("store slot={slot:#x} va={va:#x} level={level} old=0x0 new=0x60000040000705");
        for (at, found) in [
            (va - 1, None),
            (va, Some("R1")),
            (va + size / 2, Some("R1")),
            (va + size - 1, Some("R1")),
            (va + size, None),
        ] {
            let access = format!("access read works va={at:#x}");
            assert_eq!(first(UPPER, &[&map, &access]), found, "{access}");
            assert_eq!(first(UPPER, &[&map, "dsb ishst", "isb", &access]), None);
        }
    }
}

/// A store to a space is owed to whoever is in that space.
#[test]
fn a_store_to_another_space() {
    let start = [LOWER, &ROOT, &["ttbr0 root=0x8000 asid=2", "isb"]].concat();
    // Core 0 has left. What it stores to the old space it does not use itself.
    let store = "store slot=0x4010 va=0x2000 level=3 old=0x0 new=0x60000080000f07";
    let access = "access read works va=0x2000";
    assert_eq!(first(&start, &[store, access]), None);
    let there = ["1:ttbr0 root=0x1000 asid=1", "1:isb"];
    let start = [&start[..], &there].concat();
    let other = format!("1:{access}");
    assert_eq!(first(&start, &[store, &other]), Some("R1"));
    assert_eq!(first(LOWER, &[store, access]), Some("R1"));
}

/// The upper half is everybody's, in whatever space a core is.
#[test]
fn a_store_to_the_upper_half() {
    let tree = [
        "zero frame=0x21000",
        "zero frame=0x22000",
        "zero frame=0x23000",
        "zero frame=0x24000",
        "dsb ishst",
        "store slot=0x21000 va=0xffff000000000000 level=0 old=0x0 new=0x22003",
        "store slot=0x22000 va=0xffff000000000000 level=1 old=0x0 new=0x23003",
        "store slot=0x23000 va=0xffff000000000000 level=2 old=0x0 new=0x24003",
        "dsb ishst",
        "isb",
    ];
    let start = [LOWER, &tree].concat();
    let map = "store slot=0x24008 va=0xffff000000001000 level=3 old=0x0 new=0x60000040000707";
    let access = "access read works va=0xffff000000001000";
    assert_eq!(first(&start, &[map, access]), Some("R1"));
    assert_eq!(first(&start, &[map, "dsb ishst", "isb", access]), None);
}

/// A section's end, and which: at each depth, or at the outermost alone.
#[test]
fn the_end_of_a_section() {
    let (enable, disable, pause) = ("call enable", "call disable", "call pause");
    let outermost = "contract outermost-exit";
    for (program, found) in [
        (&[enable, MAP, disable][..], true),
        (&[enable, enable, MAP, disable], true),
        (&[outermost, enable, MAP, disable], true),
        (&[outermost, enable, enable, MAP, disable], false),
        (&[outermost, enable, enable, MAP, disable, disable], true),
        (
            &[outermost, enable, enable, enable, MAP, disable, disable],
            false,
        ),
        (
            &[
                outermost,
                "contract every-exit",
                enable,
                enable,
                MAP,
                disable,
            ],
            true,
        ),
        // Who pauses goes on to use what is mapped, at any depth.
        (&[enable, MAP, pause], true),
        (&[outermost, enable, MAP, pause], true),
        (&[outermost, enable, enable, MAP, pause], true),
        // Begin and resumption promise nothing.
        (&[MAP, enable], false),
        (&[enable, pause, MAP, "call resume"], false),
        // Another task's section is not this one's.
        (&[enable, MAP, "1:call enable", "1:call disable"], false),
    ] {
        let broken = found.then_some("R8");
        assert_eq!(first(UPPER, program), broken, "{program:?}");
        let (last, before) = program.split_last().unwrap();
        let paid = [before, &["dsb ishst", "isb", last]].concat();
        assert_eq!(first(UPPER, &paid), None, "{paid:?}");
    }
}

/// A task owes what it has stored, not what an interrupt handler on top of it has, and neither another task's.
#[test]
fn whose_debt_it_is() {
    assert_eq!(first(UPPER, &[MAP, "irq-enter", "irq-exit"]), None);
    assert_eq!(first(UPPER, &[MAP, "irq-enter", "call disable"]), None);
    assert_eq!(
        first(UPPER, &["irq-enter", MAP, "call disable"]),
        Some("R8")
    );
    assert_eq!(first(UPPER, &["irq-enter", MAP, "irq-exit"]), Some("R8"));
    // A handler on top of a handler.
    let nested = ["irq-enter", "irq-enter", "irq-exit", MAP, "irq-exit"];
    assert_eq!(first(UPPER, &nested), Some("R8"));
    assert_eq!(first(UPPER, &[MAP, "1:task-end"]), None);
    assert_eq!(first(UPPER, &[MAP, "task-end"]), Some("R8"));
    // A withdrawn translation is the task's who withdrew it.
    let clear = page(RW, "0x0");
    assert_eq!(after(&mapped(RW), &[&clear, "1:task-end"]), None);
    assert_eq!(after(&mapped(RW), &[&clear, "task-end"]), Some("R8"));
    let irq = ["irq-enter", &clear, "irq-exit", "task-end"];
    assert_eq!(after(&mapped(RW), &irq), None, "a handler's");
}

/// An exception entry between a core's report and another core's DSB: the exception may have been taken before that.
#[test]
fn a_debt_that_another_core_has_ordered() {
    let store = MAP.replace("store", "0/7:store");
    // Task 7 goes on on core 1, and core 0 executes the DSB. What comes before it counts for nothing.
    let ends = |before: &[&str], after: &[&str]| {
        let lines = [&[&store[..]], before, &["0/8:dsb ishst"], after];
        first(
            UPPER,
            &[&lines.concat()[..], &["1/7:call disable"]].concat(),
        )
    };
    assert_eq!(ends(&[], &["1/7:owe", "1/7:exception-entry"]), None);
    assert_eq!(ends(&["1/7:owe"], &["1/7:exception-entry"]), Some("R8"));
    assert_eq!(ends(&["1/7:owe"], &["1/7:isb"]), None);
    assert_eq!(ends(&["1/7:isb"], &[]), Some("R8"));
}

/// A switch waits for what its own core has stored, not for what it has only read.
#[test]
fn what_a_switch_waits_for() {
    let tree = [
        "zero frame=0x5000",
        "dmb ishst",
        "store slot=0x2008 va=0xffff000000200000 level=2 old=0x0 new=0x5003",
    ];
    let behind = "1:store slot=0x5000 va=0xffff000000200000 level=3 old=0x0 new=0x60000040000707";
    let clear = "1:store slot=0x5000 va=0xffff000000200000 level=3 old=0x60000040000707 new=0x0";
    let start = [UPPER, &tree, &[behind]].concat();
    assert_eq!(first(&start, &["1:switch to=5"]), Some("R8"));
    assert_eq!(first(&start, &["switch to=5"]), Some("R8"), "it has linked");
    // What core 1 has stored is taken back. The link that it has read is core 0's to order.
    let gone = [
        clear,
        "1:dsb nsh",
        "1:tlbi vaae1is 0xff000000200",
        "1:dsb ish",
    ];
    let taken_back = [&start[..], &[clear]].concat();
    assert_eq!(first(&taken_back, &["switch to=5"]), Some("R8"));
    let found = violation(&taken_back, &["1:switch to=5"]).unwrap();
    assert_eq!(
        found.owes.unwrap().what,
        event(0, clear).what,
        "not the link"
    );
    assert_eq!(
        first(&start, &[&gone[..], &["1:switch to=5"]].concat()),
        None
    );
    // A TLBI is complete on the core that has executed it.
    let clear = page(RW, "0x0");
    let issued = [&clear[..], "dsb ishst", TLBI, "1:dsb ish", "switch to=5"];
    assert_eq!(after(&mapped(RW), &issued), Some("R8"));
    let other = [&clear[..], "dsb ishst", TLBI, "1:switch to=5"];
    assert_eq!(after(&mapped(RW), &other), None);
    let complete = [&clear[..], "dsb ishst", TLBI, "dsb ish", "switch to=5"];
    assert_eq!(after(&mapped(RW), &complete), None);
}

/// A link makes a walker read the table's contents. Where it led there before, nothing new is read.
#[test]
fn what_a_link_leads_to() {
    let fill = "store slot=0x3008 va=0xffff000000001000 level=3 old=0x0 new=0x60000040000707";
    // APTable: the same table, under other permissions.
    let relink =
        "store slot=0x2000 va=0xffff000000000000 level=2 old=0x3003 new=0x2000000000003003";
    assert_eq!(first(UPPER, &[fill, relink]), None);
    // An invalid descriptor, and a block, lead to no table.
    let block = "store slot=0x2008 va=0xffff000000200000 level=2 old=0x0 new=0x60000000000705";
    assert_eq!(first(UPPER, &["zero frame=0x5000", block]), None);
    let away = "store slot=0x2008 va=0xffff000000200000 level=2 old=0x0 new=0x5000";
    assert_eq!(first(UPPER, &["zero frame=0x5000", away]), None);
    // Prepared, and then made valid: it is a link from then on.
    let prepare = "store slot=0x2008 va=0xffff000000200000 level=2 old=0x0 new=0x200002";
    let valid = "store slot=0x2008 va=0xffff000000200000 level=2 old=0x200002 new=0x200003";
    let zero = "zero frame=0x200000";
    assert_eq!(first(UPPER, &[zero, prepare]), None);
    assert_eq!(first(UPPER, &[zero, prepare, valid]), Some("R10"));
    assert_eq!(first(UPPER, &[zero, prepare, "dmb ishst", valid]), None);
    // Linked a second time: who has linked it first has answered for what it held.
    let again = "store slot=0x2010 va=0xffff000000400000 level=2 old=0x0 new=0x5003";
    let one = "store slot=0x2008 va=0xffff000000200000 level=2 old=0x0 new=0x5003";
    assert_eq!(first(UPPER, &[again]), Some("R10"));
    assert_eq!(
        first(UPPER, &["zero frame=0x5000", "dmb ishst", one, again]),
        None
    );
    // A root that nobody has seen zeroed and TTBR0 had, linked into itself to be mapped.
    let recursive = [
        "ttbr0 root=0x9000 asid=3",
        "isb",
        "store slot=0x9ff8 va=0xff8000000000 level=0 old=0x0 new=0x9003",
    ];
    assert_eq!(first(UPPER, &recursive), None);
    // The upper root likewise: its zeroing was not seen, and that it is one was.
    let upper = [
        "store slot=0xa008 va=0xffff008000000000 level=0 old=0x0 new=0x6000000000000700",
        "store slot=0xaff8 va=0xffffff8000000000 level=0 old=0x0 new=0xa003",
    ];
    assert_eq!(first(UPPER, &upper), None);
}

/// A space that is entered with something not complete below it; one that a core is in already.
#[test]
fn what_a_root_leads_to() {
    let unordered = "store slot=0x4010 va=0x2000 level=3 old=0x0 new=0x60000080000f07";
    let enter = "1:ttbr0 root=0x1000 asid=1";
    assert_eq!(
        first(LOWER, &[unordered, enter]),
        None,
        "it is walked already"
    );
    let left = [
        &ROOT[..],
        &["ttbr0 root=0x8000 asid=2", "isb"],
        &["tlbi aside1is 0x1000000000000", "dsb ish", "isb"],
    ]
    .concat();
    let start = [LOWER, &left].concat();
    assert_eq!(first(&start, &[unordered, enter]), Some("R10"));
    assert_eq!(first(&start, &[unordered, "dmb ishst", enter]), Some("R10"));
    assert_eq!(first(&start, &[unordered, "dsb ishst", enter]), None);
    let upper = "store slot=0x9008 va=0xffff000000001000 level=3 old=0x0 new=0x60000040000707";
    assert_eq!(
        first(&start, &["zero frame=0x9000", upper, enter]),
        None,
        "nothing of it"
    );
}

/// Who changes a descriptor: by its place, whatever the others of its table are.
#[test]
fn whose_descriptor_it_is() {
    let second = |old: &str, new: &str| page(old, new);
    let third = "store slot=0x3010 va=0xffff000000002000 level=3 old=0x0 new=0x600000c0000707";
    let start = mapped(RW);
    assert_eq!(after(&start, &[third, &second(RW, RO)]), None);
    assert_eq!(
        after(&start, &[third, &second("0x600000c0000707", RO)]),
        Some("R11")
    );
    assert_eq!(after(&start, &[third, &second("0x0", RO)]), Some("R11"));
    // Of a table that nothing is known of, nothing is believed wrong but what was stored.
    let unseen = "store slot=0x9008 va=0xffff008000001000 level=3 old=0x60000040000707 new=0x0";
    let beside = "store slot=0x9010 va=0xffff008000002000 level=3 old=0x600000c0000707 new=0x0";
    assert_eq!(first(UPPER, &[unseen, beside]), None);
    assert_eq!(first(UPPER, &[unseen, unseen]), Some("R11"));
}
