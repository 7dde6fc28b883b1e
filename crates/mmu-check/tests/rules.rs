//! Each rule on a short trace: what breaks it, and the same with what was missing put back.

use mmu_check::{Checker, Event, Rule};

const TABLE3: &str = "
    0 core=0 task=1 zero frame=0x3000
    0 core=0 task=1 dmb ishst
    0 core=0 task=1 store slot=0x2000 va=0xffff000000000000 level=2 old=0x0 new=0x3003
    0 core=0 task=1 dsb ishst
    0 core=0 task=1 isb
    0 core=1 task=2 core-start
    0 core=1 task=2 isb
";

/// A page of the upper half at this frame, read-write.
const MAP: &str = "store slot=0x3008 va=0xffff000000001000 level=3 old=0x0 new=0x40000000009707";
const UNMAP: &str = "store slot=0x3008 va=0xffff000000001000 level=3 old=0x40000000009707 new=0x0";
const USE: &str = "access read works va=0xffff000000001008";
const RETRY: &str = "access read retries va=0xffff000000001008";
const PROBE: &str = "access read faults va=0xffff000000001008";
const DONE: &str = "done va=0xffff000000001000 pages=1 asid=0 tables=0";
const TLBI: &str = "tlbi vaale1is 0xff000000001";

/// The first rule that the lines break, each `[core:]event`, after the tables are made.
fn first(lines: &[&str]) -> Option<&'static str> {
    first_behind(TABLE3, lines)
}

fn first_behind(tables: &str, lines: &[&str]) -> Option<&'static str> {
    let mut checker = Checker::new();
    for line in tables.lines().filter(|l| !l.trim().is_empty()) {
        checker.step(&line.trim().parse().unwrap()).unwrap();
    }
    for (n, line) in lines.iter().enumerate() {
        let (core, what) = match line.split_once(':') {
            Some((core, what)) => (core.parse().unwrap(), what),
            None => (0, *line),
        };
        let event: Event = format!("{n} core={core} task={} {what}", core + 1)
            .parse()
            .unwrap_or_else(|e| panic!("{line}: {e}"));
        assert_eq!(event.to_string().parse(), Ok(event));
        if let Err(violation) = checker.step(&event) {
            println!("{violation}\n");
            return Some(violation.rule.name());
        }
    }
    None
}

/// A mapping, published.
fn mapped<'a>(then: &[&'a str]) -> Vec<&'a str> {
    let mut lines = vec![MAP, "dsb ishst", "isb", USE];
    lines.extend(then);
    lines
}

#[test]
fn r1_publish() {
    assert_eq!(first(&[MAP, USE]), Some("R1"));
    assert_eq!(first(&[MAP, "isb", USE]), Some("R1"));
    assert_eq!(first(&[MAP, "dsb ishst", USE]), Some("R1"));
    assert_eq!(first(&[MAP, "isb", "dsb ishst", USE]), Some("R1"));
    assert_eq!(first(&[MAP, "dsb ishst", "isb", USE]), None);
    assert_eq!(first(&[MAP, "dsb ish", "exception-entry", USE]), None);
    assert_eq!(
        first(&[MAP, "dsb ishld", "isb", USE]),
        Some("R1"),
        "waits for loads"
    );
    assert_eq!(
        first(&[MAP, "dsb nshst", "isb", USE]),
        None,
        "its own walker is reached"
    );
    assert_eq!(
        first(&[
            MAP,
            "1:dsb ishst",
            "1:isb",
            "1:access read works va=0xffff000000001000"
        ]),
        Some("R1"),
        "not the core of the store"
    );
}

#[test]
fn r1_on_another_core() {
    let published = [MAP, "dsb ishst", "isb"];
    let and = |then: &[&'static str]| first(&[&published[..], then].concat());
    assert_eq!(
        and(&["1:access read works va=0xffff000000001000"]),
        Some("R1")
    );
    assert_eq!(
        and(&["1:isb", "1:access read works va=0xffff000000001000"]),
        None
    );
    assert_eq!(and(&["1:access read retries va=0xffff000000001000"]), None);
    assert_eq!(
        first(&[MAP, RETRY]),
        Some("R1"),
        "no retry makes up for the DSB"
    );
}

#[test]
fn r1_behind_another_cores_link() {
    // Core 1 stores behind the link of core 0, so it has read it; its own pair does for both.
    let zero = "zero frame=0x4000";
    let link = "store slot=0x2008 va=0xffff000000200000 level=2 old=0x0 new=0x4003";
    let leaf = "1:store slot=0x4000 va=0xffff000000200000 level=3 old=0x0 new=0x40000000009707";
    let access = "1:access read works va=0xffff000000200000";
    let lines = [
        zero,
        "dmb ishst",
        link,
        leaf,
        "1:dsb ishst",
        "1:isb",
        access,
    ];
    assert_eq!(first(&lines), None);
    let lines = [zero, "dmb ishst", link, leaf, "1:isb", access];
    assert_eq!(first(&lines), Some("R1"));
}

#[test]
fn r2_break_before_make() {
    let other =
        "store slot=0x3008 va=0xffff000000001000 level=3 old=0x40000000009707 new=0x4000000000a707";
    let make = "store slot=0x3008 va=0xffff000000001000 level=3 old=0x0 new=0x4000000000a707";
    let same = "store slot=0x3008 va=0xffff000000001000 level=3 old=0x0 new=0x40000000009707";
    assert_eq!(first(&mapped(&[other])), Some("R2"));
    assert_eq!(first(&mapped(&[UNMAP, make])), Some("R2"));
    assert_eq!(
        first(&mapped(&[UNMAP, "dsb ishst", TLBI, make])),
        Some("R2")
    );
    assert_eq!(
        first(&mapped(&[UNMAP, "dsb ishst", TLBI, "dsb ish", make])),
        None
    );
    assert_eq!(first(&mapped(&[UNMAP, same])), None, "made again");
}

#[test]
fn r3_done() {
    let invalidated = [UNMAP, "dsb ishst", TLBI, "dsb ish", "isb", DONE];
    assert_eq!(first(&mapped(&invalidated)), None);
    for missing in [2, 3, 4] {
        let mut lines = invalidated.to_vec();
        lines.remove(missing);
        assert_eq!(first(&mapped(&lines)), Some("R3"), "{lines:?}");
    }
    assert_eq!(
        first(&mapped(&[
            UNMAP,
            "dsb ishst",
            TLBI,
            "dsb ishst",
            "isb",
            DONE
        ])),
        Some("R3"),
        "stores alone"
    );
    assert_eq!(first(&mapped(&[UNMAP, "dsb ishst", PROBE])), Some("R3"));
}

#[test]
fn r3_with_another_cores_tlbi() {
    // Core 1's happens to cover the page as well. Whichever DSB comes first, each for its own.
    let other = "1:tlbi vmalle1is 0x0";
    let (dsb, isb) = ("dsb ish", "isb");
    for lines in [
        vec![UNMAP, "dsb ishst", other, TLBI, dsb, isb, DONE],
        vec![UNMAP, "dsb ishst", TLBI, other, dsb, isb, DONE],
        vec![UNMAP, "dsb ishst", other, "1:dsb ish", TLBI, dsb, isb, DONE],
        vec![UNMAP, "dsb ishst", other, TLBI, "1:dsb ish", isb, DONE],
    ] {
        assert_eq!(first(&mapped(&lines)), None, "{lines:?}");
    }
    let lines = [UNMAP, "dsb ishst", other, dsb, isb, DONE];
    assert_eq!(first(&mapped(&lines)), Some("R3"), "not its own TLBI");
}

#[test]
fn r3_permissions() {
    let lose =
        "store slot=0x3008 va=0xffff000000001000 level=3 old=0x40000000009707 new=0x40000000009787";
    let probe = "access write faults va=0xffff000000001000";
    assert_eq!(first(&mapped(&[lose, USE])), None, "reading stays allowed");
    assert_eq!(
        first(&mapped(&[lose, "dsb ishst", "isb", probe])),
        Some("R3")
    );
    let gain =
        "store slot=0x3008 va=0xffff000000001000 level=3 old=0x40000000009787 new=0x40000000009707";
    let write = "access write works va=0xffff000000001000";
    let map = "store slot=0x3008 va=0xffff000000001000 level=3 old=0x0 new=0x40000000009787";
    let unpaid = [map, "dsb ishst", "isb", gain, "dsb ishst", "isb", write];
    assert_eq!(first(&unpaid), Some("R3"));
    let paid = [map, gain, "dsb ishst", TLBI, "dsb ish", "isb", write];
    assert_eq!(first(&paid), None);
}

#[test]
fn r4_and_r5_reuse() {
    assert_eq!(first(&mapped(&[UNMAP, "free frame=0x9000"])), Some("R4"));
    assert_eq!(first(&mapped(&[UNMAP, "alloc frame=0x9000"])), Some("R4"));
    assert_eq!(first(&mapped(&[UNMAP, "free frame=0xa000"])), None);
    let unlink = "store slot=0x2000 va=0xffff000000000000 level=2 old=0x3003 new=0x0";
    let free = "free frame=0x3000";
    assert_eq!(first(&["free frame=0x3000"]), Some("R5"), "still linked");
    let leaf_only = [unlink, "dsb ishst", TLBI, "dsb ish", "isb", free];
    assert_eq!(first(&leaf_only), Some("R5"));
    let walks = [
        unlink,
        "dsb ishst",
        "tlbi vaae1is 0xff000000001",
        "dsb ish",
        "isb",
        free,
    ];
    assert_eq!(first(&walks), None);
    // What hangs below an unlinked table goes with it: one address does not do.
    let live = mapped(&[
        "store slot=0x3010 va=0xffff000000002000 level=3 old=0x0 new=0x4000000000b707",
        unlink,
        "dsb ishst",
        "tlbi vaae1is 0xff000000001",
        "dsb ish",
        "isb",
        "free frame=0xb000",
    ]);
    assert_eq!(first(&live), Some("R4"));
}

#[test]
fn r6_operand() {
    // Shifted and not masked.
    assert_eq!(first(&["tlbi vaale1is 0xffff000000001"]), Some("R6"));
    // A hint for level 2 where the leaf is at level 3.
    let hint = [
        UNMAP,
        "dsb ishst",
        "tlbi vaale1is 0x6ff000000001",
        "dsb ish",
        "isb",
        DONE,
    ];
    assert_eq!(first(&mapped(&hint)), Some("R6"));
    // A range of two pages; the same with another granule.
    let range = "tlbi rvaale1is 0x400010000000001";
    let _ = range;
    assert_eq!(first(&["tlbi rvaale1is 0x1000000000"]), Some("R6"));
}

#[test]
fn r7_broadcast() {
    let local = [
        UNMAP,
        "dsb ishst",
        "tlbi vmalle1 0x0",
        "dsb ish",
        "isb",
        DONE,
    ];
    assert_eq!(first(&mapped(&local)), Some("R7"));
}

#[test]
fn r8_leftover() {
    assert_eq!(first(&["call enable", MAP, "call disable"]), Some("R8"));
    let no_isb = ["call enable", MAP, "dsb ishst", "call disable"];
    assert_eq!(first(&no_isb), Some("R8"));
    let paid = ["call enable", MAP, "dsb ishst", "isb", "call disable"];
    assert_eq!(first(&paid), None);
    assert_eq!(first(&["call enable", MAP, "switch to=5"]), Some("R8"));
    assert_eq!(first(&["call enable", MAP, "dsb ish", "switch to=5"]), None);
    assert_eq!(
        first(&["call enable", MAP, "dsb ish", "task-end"]),
        Some("R8")
    );
    assert_eq!(first(&["irq-enter", MAP, "irq-exit"]), Some("R8"));
    let inner = ["call enable", "call enable", MAP, "call disable"];
    assert_eq!(first(&inner), Some("R8"));
    let outermost = [&["contract outermost-exit"][..], &inner].concat();
    assert_eq!(first(&outermost), None);
    // An interrupt's section is not the task's.
    let handler = [
        "call enable",
        MAP,
        "irq-enter",
        "call enable",
        "call disable",
        "irq-exit",
    ];
    assert_eq!(first(&handler), None);
}

#[test]
fn r9_early() {
    let before_store = ["dsb ishst", TLBI, UNMAP, "dsb ish", "isb", DONE];
    assert_eq!(first(&mapped(&before_store)), Some("R9"));
    let before_dsb = [UNMAP, TLBI, "dsb ish", "isb", DONE];
    assert_eq!(first(&mapped(&before_dsb)), Some("R9"));
}

#[test]
fn r10_zeroes() {
    let link = "store slot=0x2008 va=0xffff000000200000 level=2 old=0x0 new=0x4003";
    assert_eq!(first(&["zero frame=0x4000", link]), Some("R10"));
    assert_eq!(first(&[link]), Some("R10"));
    assert_eq!(first(&["zero frame=0x4000", "dmb ishst", link]), None);
    let fill = "store slot=0x4000 va=0xffff000000200000 level=3 old=0x0 new=0x40000000009707";
    let filled = ["zero frame=0x4000", "dmb ishst", fill, link];
    assert_eq!(first(&filled), Some("R10"), "filled after the barrier");
    assert_eq!(
        first(&["zero frame=0x5000", "dmb ishst", "ttbr0 root=0x5000 asid=1"]),
        Some("R10"),
        "TTBR0 takes a DSB"
    );
    let root = ["zero frame=0x5000", "dsb ishst", "ttbr0 root=0x5000 asid=1"];
    assert_eq!(first(&root), None);
}

#[test]
fn asid_reuse() {
    let lines = [
        "ttbr0 root=0x5000 asid=1",
        "ttbr0 root=0x6000 asid=2",
        "ttbr0 root=0x7000 asid=1",
    ];
    assert_eq!(first(&lines), Some("R3"));
    let flush = ["tlbi aside1is 0x1000000000000", "dsb ish", "isb"];
    let early = [&lines[..2], &flush, &lines[2..]].concat();
    assert_eq!(
        first(&early),
        Some("R3"),
        "the old root is walked until the ISB"
    );
    let left = [&lines[..2], &["isb"], &flush, &lines[2..]].concat();
    assert_eq!(first(&left), None);
}

#[test]
fn a_rule_can_be_left_out() {
    for rule in Rule::ALL {
        let mut checker = Checker::without(rule);
        let broken = "0 core=0 task=0 store slot=0x2008 va=0x0 level=2 old=0x0 new=0x4003";
        let found = checker.step(&broken.parse().unwrap());
        assert_eq!(found.is_ok(), rule == Rule::Zeroes);
    }
}

#[test]
fn bad_lines_say_what_is_expected() {
    for (line, text) in [
        ("", "no event: a sequence number expected at word 1"),
        (
            "1 core=0 task=0 dsb",
            "no event: a barrier expected at word 5",
        ),
        (
            "1 core=0 task=0 dance",
            "no event: an event's name expected at word 4",
        ),
        (
            "1 core=0 task=0 isb now",
            "no event: the end of the line expected at word 5",
        ),
        (
            "1 core=900 task=0 isb",
            "no event: core= expected at word 2",
        ),
    ] {
        assert_eq!(line.parse::<Event>().unwrap_err().to_string(), text);
    }
}

/// A second change before the invalidation: what the first took away may still be in a TLB.
#[test]
fn r3_sees_past_a_second_change() {
    let protect =
        "store slot=0x3008 va=0xffff000000001000 level=3 old=0x40000000009707 new=0x40000000009787";
    let again =
        "store slot=0x3008 va=0xffff000000001000 level=3 old=0x40000000009787 new=0xc0000000009787";
    let write = "access write faults va=0xffff000000001008";
    let changed = [protect, again, "dsb ishst", "isb", write];
    assert_eq!(first(&mapped(&changed)), Some("R3"));
    let paid = [protect, again, "dsb ishst", TLBI, "dsb ish", "isb", write];
    assert_eq!(first(&mapped(&paid)), None);
    // Paid in between, the first is gone.
    let in_between = [
        protect,
        "dsb ishst",
        TLBI,
        "dsb ish",
        "isb",
        again,
        "dsb ishst",
        "isb",
        write,
    ];
    assert_eq!(first(&mapped(&in_between)), None);
}

#[test]
fn every_frame_of_a_block_waits_for_the_invalidation() {
    let block = "store slot=0x2008 va=0xffff000000200000 level=2 old=0x0 new=0x60000080000705";
    let unmap = "store slot=0x2008 va=0xffff000000200000 level=2 old=0x60000080000705 new=0x0";
    let freed = |frame| first(&[block, "dsb ishst", "isb", unmap, frame]);
    assert_eq!(freed("free frame=0x80000000"), Some("R4"), "its first");
    assert_eq!(freed("free frame=0x80003000"), Some("R4"), "inside");
    assert_eq!(freed("free frame=0x801ff000"), Some("R4"), "its last");
    assert_eq!(freed("alloc frame=0x80003000"), Some("R4"));
    assert_eq!(freed("free frame=0x80200000"), None, "behind it");
    assert_eq!(freed("free frame=0x7ffff000"), None, "in front of it");
}

#[test]
fn a_local_tlbi_does_where_no_other_core_runs() {
    let alone: String = TABLE3
        .lines()
        .filter(|line| !line.contains("core=1"))
        .map(|line| format!("{line}\n"))
        .collect();
    let local = mapped(&[
        UNMAP,
        "dsb ishst",
        "tlbi vmalle1 0x0",
        "dsb nsh",
        "isb",
        DONE,
    ]);
    assert_eq!(first_behind(&alone, &local), None);
    assert_eq!(first(&local), Some("R7"));
    let late = [&["1:core-start", "1:isb"][..], &local].concat();
    assert_eq!(first_behind(&alone, &late), Some("R7"), "it has come");
}

#[test]
fn a_change_of_software_bits_owes_nothing() {
    // Bits 58..55, one by one; beside them the change of a permission.
    for bit in 55..59 {
        let new = 0x40_0000_0000_9707_u64 ^ 1 << bit;
        let change = format!(
            "store slot=0x3008 va=0xffff000000001000 level=3 old=0x40000000009707 new={new:#x}"
        );
        for then in [DONE, "switch to=5", "task-end", USE] {
            assert_eq!(first(&mapped(&[&change, then])), None, "bit {bit}, {then}");
        }
    }
    let read_only =
        "store slot=0x3008 va=0xffff000000001000 level=3 old=0x40000000009707 new=0x40000000009787";
    assert_eq!(first(&mapped(&[read_only, DONE])), Some("R3"));
}

#[test]
fn a_store_into_a_table_that_is_not_linked_owes_nothing() {
    let zero = "zero frame=0x5000";
    let store = "store slot=0x5008 va=0xffff000000201000 level=3 old=0x0 new=0x40000000009707";
    let link = "store slot=0x2008 va=0xffff000000200000 level=2 old=0x0 new=0x5003";
    for then in ["switch to=5", "task-end", "call disable"] {
        assert_eq!(first(&["call enable", zero, store, then]), None, "{then}");
    }
    // The link owes for both; and what is stored afterwards owes by itself.
    assert_eq!(
        first(&[zero, store, "dmb ishst", link, "task-end"]),
        Some("R8")
    );
    let paid = [
        zero,
        store,
        "dmb ishst",
        link,
        "dsb ishst",
        "isb",
        "task-end",
    ];
    assert_eq!(first(&paid), None);
}

/// Its descriptors were stored before the rules were there: what they are is not known, and nothing is accused for it. What is
/// stored there from now on is judged.
#[test]
fn a_root_that_nothing_is_known_of() {
    let root = "ttbr0 root=0x8000 asid=1";
    for access in [
        "access read works va=0x1000",
        "access read faults va=0x1000",
    ] {
        assert_eq!(first(&[root, "isb", access]), None, "{access}");
    }
    let link = "store slot=0x8000 va=0x0 level=0 old=0x0 new=0x9003";
    assert_eq!(first(&[root, "isb", link]), Some("R10"));
    let linked = [root, "isb", "zero frame=0x9000", "dmb ishst", link];
    assert_eq!(first(&linked), None);
    assert_eq!(first(&[&linked[..], &["task-end"]].concat()), Some("R8"));
}
