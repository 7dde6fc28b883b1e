//! What a violation says beside the rule: why, about which address, and which store owes. A person finds the fault by
//! these, so a wrong one is a fault of the rules.

use crate::lines::*;
use mmu_check::Rule;

const CLEAR: &str = "store slot=0x3008 va=0xffff000000001000 level=3 old=0x60000040000707 new=0x0";
const MAP: &str = "store slot=0x3008 va=0xffff000000001000 level=3 old=0x0 new=0x60000040000707";
const UNLINK: &str = "store slot=0x2000 va=0xffff000000000000 level=2 old=0x3003 new=0x0";
/// Not the first byte of the page: the finding names what was used.
const USE: &str = "access read works va=0xffff000000001234";
const PROBE: &str = "access read faults va=0xffff000000001234";
const PROBE_1: &str = "1:access read faults va=0xffff000000001234";
const DONE: &str = "done va=0xffff000000001000 pages=1 asid=0 tables=1";
const PAGE: u64 = 0xffff_0000_0000_1000;

/// The program's last line breaks this rule, and no line before it any.
#[track_caller]
fn finds(start: &[&str], program: &[&str], rule: &str, why: &str, address: u64, owes: &str) {
    let found = violation(start, program).unwrap_or_else(|| panic!("{program:?} breaks nothing"));
    let what = (found.rule.name(), found.why.to_string());
    assert_eq!(what, (rule, why.to_owned()), "{program:?}");
    assert_eq!(found.address, address, "{:#x}: {program:?}", found.address);
    let lines: Vec<&str> = start.iter().chain(program).copied().collect();
    let at = lines.len() - 1;
    assert_eq!(found.at, event(at, lines[at]), "{program:?}");
    let owed = match owes {
        "" => None,
        store => Some(event(
            lines.iter().rposition(|l| *l == store).unwrap(),
            store,
        )),
    };
    assert_eq!(found.owes, owed, "{program:?}");
}

/// `program` after the page was mapped and published.
#[track_caller]
fn finds_mapped(program: &[&str], rule: &str, why: &str, address: u64, owes: &str) {
    let start = mapped(RW);
    let start: Vec<&str> = start.iter().map(String::as_str).collect();
    finds(&start, program, rule, why, address, owes);
}

#[test]
fn what_is_not_published() {
    let at = PAGE + 0x234;
    let why = "no DSB of the storing core has made the descriptor visible to the walkers";
    finds(UPPER, &[MAP, USE], "R1", why, at, MAP);
    let why = "no ISB on this core has followed the DSB that made it visible";
    finds(UPPER, &[MAP, "dsb ishst", USE], "R1", why, at, MAP);
    let why = "no ISB on this core has followed its write of TTBR0";
    let again = "ttbr0 root=0x1000 asid=2";
    finds(
        LOWER,
        &[again, "access read works va=0x1234"],
        "R1",
        why,
        0x1234,
        "",
    );
    finds(
        LOWER,
        &[again, "access read faults va=0x9234"],
        "R1",
        why,
        0x9234,
        "",
    );
    // Of a link the store of the link owes.
    let link = "store slot=0x2008 va=0xffff000000200000 level=2 old=0x0 new=0x5003";
    let tree = [
        "zero frame=0x5000",
        "store slot=0x5008 va=0xffff000000201000 level=3 old=0x0 new=0x60000040000707",
        "dmb ishst",
        link,
        "access read works va=0xffff000000201234",
    ];
    let why = "no DSB of the storing core has made the descriptor visible to the walkers";
    finds(UPPER, &tree, "R1", why, 0xffff_0000_0020_1234, link);
}

#[test]
fn what_is_not_broken_before_it_is_made() {
    let over = page(RW, OTHER);
    let why = "TLBs may hold what is there, and would hold both";
    finds_mapped(&[&over], "R2", why, PAGE, "");
    let made = page("0x0", OTHER);
    let why = "TLBs may hold both the old and the new: no DSB has followed the store";
    finds_mapped(&[CLEAR, &made], "R2", why, PAGE, CLEAR);
    // Of several that are withdrawn the one that is in the way.
    let (map, clear) = (
        "store slot=0x3010 va=0xffff000000002000 level=3 old=0x0 new=0x600000c0000707",
        "store slot=0x3010 va=0xffff000000002000 level=3 old=0x600000c0000707 new=0x0",
    );
    let several = [map, "dsb ishst", "isb", CLEAR, clear, &made];
    finds_mapped(&several, "R2", why, PAGE, CLEAR);
}

#[test]
fn what_is_relied_on_to_be_gone() {
    let covering = "tlbi vaae1is 0xff000000001";
    let is = |between: &[&str], rule: &str, why: &str| {
        // Its own core a local TLBI does for.
        let probe = if rule == "R7" { PROBE_1 } else { PROBE };
        let reuse = if rule == "R3" { "R4" } else { rule };
        for (last, rule, address) in [
            (DONE, rule, PAGE),
            (probe, rule, PAGE),
            ("free frame=0x40000000", reuse, 0x4000_0000),
            ("alloc frame=0x40000000", reuse, 0x4000_0000),
        ] {
            let program = [&[CLEAR], between, &[last]].concat();
            finds_mapped(&program, rule, why, address, CLEAR);
        }
    };
    is(&[], "R3", "no DSB has followed the store");
    is(
        &["dsb ishst"],
        "R3",
        "no TLBI has covered it since the store was visible",
    );
    is(
        &["dsb ishst", covering],
        "R3",
        "no DSB of core 0 has completed its TLBI",
    );
    is(
        &["dsb ishst", covering, "dsb ish"],
        "R3",
        "no ISB on this core has followed the completion of its TLBI",
    );
    is(
        &[covering, "dsb ish", "isb"],
        "R9",
        "the TLBI was executed before the store was visible to the walkers",
    );
    is(
        &["dsb ishst", "tlbi vaae1 0xff000000001", "dsb ish", "isb"],
        "R7",
        "the TLBI was for one core, and others run",
    );
    is(
        &["dsb ishst", "tlbi vaae1is 0x6ff000000001", "dsb ish", "isb"],
        "R6",
        "the TLBI's operand frees the cores from dropping it",
    );
    // A TLBI that did not help, and one that does and is not complete yet: what is missing is its DSB.
    for useless in ["tlbi vaae1 0xff000000001", "tlbi vaae1is 0x6ff000000001"] {
        let between = ["dsb ishst", useless, covering];
        is(&between, "R3", "no DSB of core 0 has completed its TLBI");
    }
    is(
        &[covering, "dsb ishst", covering],
        "R3",
        "no DSB of core 0 has completed its TLBI",
    );
}

#[test]
fn what_a_core_has_fetched() {
    let start = mapped(RX);
    let start: Vec<&str> = start.iter().map(String::as_str).collect();
    let clear = page(RX, "0x0");
    let fetch = "1:access execute faults va=0xffff000000001234";
    let gone = [&clear, "dsb ishst", TLBI, "dsb ish", "isb", fetch];
    let why = "this core may have fetched instructions through it, and has not synchronised its context since";
    finds(&start, &gone, "R3", why, PAGE, &clear);
}

#[test]
fn what_walk_caches_hold() {
    let all = "done va=0xffff000000000000 pages=512 asid=0 tables=1";
    for (last, address) in [
        ("free frame=0x3000", 0x3000),
        ("alloc frame=0x3000", 0x3000),
        (all, 0xffff_0000_0000_0000),
    ] {
        let is = |between: &[&str], why| {
            let program = [&[UNLINK], between, &[last]].concat();
            finds(UPPER, &program, "R5", why, address, UNLINK);
        };
        is(&[], "no DSB has followed the store");
        is(
            &["dsb ishst"],
            "no TLBI that reaches walk caches has covered it since the store was visible",
        );
        is(
            &["dsb ishst", "tlbi vmalle1is 0x0"],
            "no DSB of core 0 has completed its TLBI",
        );
    }
    let why =
        "it is a table that is linked, and its space was not invalidated since it was last in use";
    finds(UPPER, &["free frame=0x3000"], "R5", why, 0x3000, "");
    finds(UPPER, &["alloc frame=0x3000"], "R5", why, 0x3000, "");
    let why = "it is a root that TTBR0 has, or that was not invalidated since it had it";
    finds(LOWER, &["free frame=0x1000"], "R5", why, 0x1000, "");
}

#[test]
fn what_still_maps_a_frame() {
    let why = "0xffff000000001000 is still mapped to the frame";
    finds_mapped(&["free frame=0x40000000"], "R4", why, 0x4000_0000, "");
}

#[test]
fn what_is_wrong_with_an_operand() {
    let is = |tlbi, why, address| finds(UPPER, &[tlbi], "R6", why, address, "");
    let spilled = "TTL is no level of the 4 KiB granule: the address spilled";
    is("tlbi vaale1is 0xffff000000001", spilled, PAGE);
    let spilled = "bits 63..48, reserved here, are not zero: the address spilled";
    is("tlbi vaale1is 0x10ff000000001", spilled, PAGE);
    is("tlbi rvaae1is 0x1401000000001", spilled, PAGE);
    let neither = "VA[55:48] are not all equal: no address of either half";
    is("tlbi vae1is 0x1000000001", neither, 0x1_0000_0000_1000);
    let granule = "TG is not the 4 KiB granule";
    is("tlbi rvaae1is 0x1000000001", granule, PAGE);
    let unaligned = "BaseADDR is not aligned to the level of its TTL";
    is("tlbi rvaae1is 0x405000000001", unaligned, PAGE);
}

#[test]
fn what_is_left_behind() {
    let stored = "no DSB stands between the store and the switch";
    finds(UPPER, &[MAP, "switch to=5"], "R8", stored, PAGE, MAP);
    finds_mapped(&[CLEAR, "switch to=5"], "R8", stored, PAGE, CLEAR);
    let issued = "no DSB stands between the TLBI and the switch, and one of another core does not complete it";
    let program = [CLEAR, "dsb ishst", TLBI, "switch to=5"];
    finds_mapped(&program, "R8", issued, PAGE, CLEAR);
    // By the store alone, and with its DSB.
    let left = |end: &str, before: &[&str], last: &str| {
        let unpublished = format!("no DSB has followed that store before the end of {end}");
        let program = [before, &[MAP, last]].concat();
        finds(UPPER, &program, "R8", &unpublished, PAGE, MAP);
        let unsynchronised = format!("no ISB has followed its DSB before the end of {end}");
        let program = [before, &[MAP, "dsb ishst", last]].concat();
        finds(UPPER, &program, "R8", &unsynchronised, PAGE, MAP);
    };
    left("the section", &["call enable"], "call disable");
    left("the section", &["call enable"], "call pause");
    left("the task", &["call enable"], "task-end");
    left("the interrupt handler", &["irq-enter"], "irq-exit");
    for (unpaid, stage) in [
        "no DSB has followed the store",
        "no TLBI has covered it since the store was visible",
        "no DSB of core 0 has completed its TLBI",
        "no ISB on this core has followed the completion of its TLBI",
    ]
    .into_iter()
    .enumerate()
    {
        let program = [&[CLEAR], &invalidate(TLBI)[..unpaid], &["task-end"]].concat();
        let why = format!("nobody will invalidate it any more: {stage}");
        finds_mapped(&program, "R8", &why, PAGE, CLEAR);
    }
    let program = [&[CLEAR][..], &invalidate(TLBI), &["task-end"]].concat();
    assert_eq!(after(&mapped(RW), &program), None);
}

#[test]
fn what_is_linked_too_early() {
    let link = "store slot=0x2008 va=0xffff000000200000 level=2 old=0x0 new=0x5003";
    let why = "nobody has zeroed the table";
    finds(UPPER, &[link], "R10", why, 0x5000, "");
    let why = "no DMB or DSB stands between the contents of the table in 0x5000 and the link that leads to it";
    finds(UPPER, &["zero frame=0x5000", link], "R10", why, 0x5000, "");
    // A root is as late as what hangs below it.
    let root = [
        "zero frame=0x8000",
        "zero frame=0x9000",
        "dsb ishst",
        "store slot=0x8000 va=0x0 level=0 old=0x0 new=0x9003",
        "dsb ishst",
        "store slot=0x9000 va=0x0 level=1 old=0x0 new=0x60000040000f05",
        "ttbr0 root=0x8000 asid=2",
    ];
    let why = "no DSB stands between the contents of the table in 0x9000 and the write of TTBR0 that leads to it";
    finds(UPPER, &root, "R10", why, 0x9000, "");
}

#[test]
fn whose_asid_it_was() {
    let why =
        "the space of root 0x1000 had this ASID, and its translations were not invalidated since";
    let reuse = ["zero frame=0x8000", "dsb ishst", "ttbr0 root=0x8000 asid=1"];
    finds(LOWER, &reuse, "R3", why, 0x1000, "");
}

#[test]
fn what_somebody_else_has_changed() {
    let why = "the descriptor was 0x60000040000707: somebody else has stored there, or a store was not reported";
    finds_mapped(&[&page(RO, "0x0")], "R11", why, PAGE, "");
}

/// Each rule has a number, and says in words what is wrong and what that follows from.
#[test]
fn what_a_rule_says() {
    for (n, rule) in Rule::ALL.into_iter().enumerate() {
        assert_eq!(rule.name(), format!("R{}", n + 1));
        let others = Rule::ALL.into_iter().filter(|other| *other != rule);
        assert!(
            others
                .into_iter()
                .all(|other| other.title() != rule.title())
        );
        assert!(rule.title().split(' ').count() >= 4, "{}", rule.title());
        let source = ["Arm ARM", "Linux"];
        assert!(
            source.iter().any(|s| rule.basis().contains(s)),
            "{}",
            rule.basis()
        );
    }
}
