//! Cores that start, tasks that end, tables that are no tables any more: what is owed then, and by whom.

use crate::lines::*;

const MAP: &str = "store slot=0x3008 va=0xffff000000001000 level=3 old=0x0 new=0x60000040000707";

/// A core that starts while a walker may still read what was withdrawn may have it as well.
#[test]
fn a_core_that_starts() {
    let clear = page(RW, "0x0");
    let (start, order) = ("2:core-start", "dsb ishst");
    let each = [0, 1]
        .map(|core| ["tlbi vmalle1 0x0", "dsb nsh", "isb"].map(|line| format!("{core}:{line}")));
    let each: Vec<&str> = each.iter().flatten().map(String::as_str).collect();
    let freed = |first: &[&str]| {
        after(
            &mapped(RW),
            &[first, &each, &["free frame=0x40000000"]].concat(),
        )
    };
    assert_eq!(freed(&[&clear, order]), None, "both cores have invalidated");
    assert_eq!(freed(&[&clear, start, order]), Some("R7"));
    assert_eq!(
        freed(&[&clear, order, start]),
        None,
        "nothing to be found any more"
    );
    assert_eq!(freed(&[start, &clear, order]), Some("R7"));
    // To be heard of is to have started, and to start twice is nothing.
    assert_eq!(freed(&[&clear, "2:owe", order]), Some("R7"));
    assert_eq!(freed(&[&clear, order, "1:core-start"]), None);
}

/// Whichever core it is that is alone.
#[test]
fn a_core_that_is_alone() {
    for core in [0, 1, 7] {
        let lines = [
            "zero frame=0x5000",
            "dmb nshst",
            "store slot=0x2008 va=0xffff000000200000 level=2 old=0x0 new=0x5003",
            "dsb nshst",
            "isb",
            "access read works va=0xffff000000200000",
        ];
        let lines = lines.map(|line| format!("{core}:{line}"));
        let lines = lines.each_ref().map(String::as_str);
        assert_eq!(first(&[], &lines), None, "{core}");
        let other = format!("{}:core-start", 3 - core % 2);
        let joined = [&[&other[..]], &lines[..]].concat();
        assert_eq!(first(&[], &joined), Some("R10"), "{core}");
    }
}

/// A TLBI of the only core is not for one core among others: what is missing is its DSB.
#[test]
fn a_local_tlbi_that_is_not_complete() {
    let alone = UPPER.iter().filter(|line| !line.starts_with("1:"));
    let alone: Vec<&str> = alone.copied().chain([MAP, "dsb ishst", "isb"]).collect();
    let (clear, done) = (
        page(RW, "0x0"),
        "done va=0xffff000000001000 pages=1 asid=0 tables=0",
    );
    let program = [&clear, "dsb ishst", "tlbi vmalle1 0x0", done];
    assert_eq!(first(&alone, &program), Some("R3"));
    assert_eq!(after(&mapped(RW), &program), Some("R7"));
}

/// What a task has not paid is named at its end, and is not the debt of the next task with its number.
#[test]
fn a_number_of_a_task_that_is_used_again() {
    let mut checker = mmu_check::Checker::new();
    let mut hear = |line: &str| checker.step(&event(0, line)).err().map(|v| v.rule.name());
    for line in UPPER {
        assert_eq!(hear(line), None);
    }
    for line in [
        "irq-enter",
        "call enable",
        "contract outermost-exit",
        MAP,
        "dsb ishst",
    ] {
        assert_eq!(hear(line), None);
    }
    assert_eq!(hear("irq-exit"), Some("R8"));
    assert_eq!(hear("task-end"), None, "the handler's");
    for line in ["irq-enter", "call disable", "irq-exit"] {
        assert_eq!(hear(line), None, "{line}");
    }
    // The contract and the sections were the first one's too.
    for line in [
        "call enable",
        "call enable",
        &page(RW, "0x0"),
        &page("0x0", RW),
    ] {
        assert_eq!(hear(line), None, "{line}");
    }
    assert_eq!(hear("call disable"), Some("R8"));
}

/// Calls that do not match are taken as they come, as the page about hooking up says.
#[test]
fn calls_that_do_not_match() {
    let alone = ["irq-exit", "call disable", "task-end", "task-end"];
    assert_eq!(first(UPPER, &alone), None);
    assert_eq!(first(UPPER, &["isb", "1/0:isb", "isb"]), None);
    // What comes behind is counted as if they had not been.
    let section = [&alone[..2], &["call enable", MAP, "call disable"]].concat();
    assert_eq!(first(UPPER, &section), Some("R8"));
}

/// A table that is zeroed anew, or freed, has published nothing; what TLBs hold of it stays.
#[test]
fn a_table_that_goes() {
    // Linked by nobody who has said so: it is walked.
    let map = "store slot=0x7008 va=0xffff000000201000 level=3 old=0x0 new=0x60000040000707";
    let clear = "store slot=0x7008 va=0xffff000000201000 level=3 old=0x60000040000707 new=0x0";
    for goes in ["zero frame=0x7000", "free frame=0x7000"] {
        assert_eq!(first(UPPER, &[map, "call disable"]), Some("R8"));
        assert_eq!(first(UPPER, &[map, goes, "call disable"]), None, "{goes}");
        let done = "done va=0xffff000000201000 pages=1 asid=0 tables=0";
        let stale = [map, "dsb ishst", "isb", clear, goes, done];
        let found = violation(UPPER, &stale).unwrap();
        assert_eq!(
            (found.rule.name(), found.address),
            ("R3", 0xffff_0000_0020_1000)
        );
        assert_eq!(found.owes.unwrap().what, event(0, clear).what, "{goes}");
        let all = ["dsb ishst", "tlbi vmalle1is 0x0", "dsb ish", "isb"];
        let paid = [&stale[..5], &all, &[done]].concat();
        assert_eq!(first(UPPER, &paid), None, "{goes}");
    }
    // It comes to translate other addresses. What it owed for the old ones it does not owe for the new.
    let other = "store slot=0x7010 va=0xffff000000402000 level=3 old=0x0 new=0x60000080000707";
    let access = |va: u64| format!("access read works va={va:#x}");
    assert_eq!(
        first(UPPER, &[map, other, &access(0xffff_0000_0020_1000)]),
        None
    );
    assert_eq!(
        first(UPPER, &[map, other, &access(0xffff_0000_0040_2000)]),
        Some("R1")
    );
}
