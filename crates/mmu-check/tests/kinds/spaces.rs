//! Which roots and ASIDs TLBs may hold something of: from the write of TTBR0 until the core has left, and what it had
//! was invalidated.

use crate::lines::*;

const CLEAR: &str = "store slot=0x4008 va=0x1000 level=3 old=0x60000040000f07 new=0x0";
const FREE: &str = "free frame=0x40000000";
/// The root of [`LOWER`], and everything that TLBs hold of its ASID.
const FREE_ROOT: &str = "free frame=0x1000";
const FLUSH: [&str; 3] = ["tlbi aside1is 0x1000000000000", "dsb ish", "isb"];
/// Another root is ready.
const READY: [&str; 2] = ["zero frame=0x8000", "dsb ishst"];
const LEAVE: [&str; 2] = ["ttbr0 root=0x8000 asid=2", "isb"];

fn free_root(program: &[&[&str]]) -> Option<&'static str> {
    let program: Vec<&str> = program.concat();
    first(LOWER, &[&READY[..], &program, &[FREE_ROOT]].concat())
}

/// A core walks from the old root until its next context synchronisation, which is sure to have happened when it is
/// heard of again.
#[test]
fn leaving_a_root() {
    assert_eq!(free_root(&[&LEAVE, &FLUSH]), None);
    assert_eq!(free_root(&[&FLUSH]), Some("R5"), "not left");
    assert_eq!(free_root(&[&LEAVE]), Some("R5"), "not invalidated");
    assert_eq!(free_root(&[&LEAVE[..1], &FLUSH]), Some("R5"), "no ISB");
    assert_eq!(
        free_root(&[&FLUSH, &LEAVE]),
        Some("R5"),
        "invalidated before"
    );
    // The TLBI of another core may be executed before the ISB that was only announced is.
    let other = ["1:tlbi aside1is 0x1000000000000", "1:dsb ish", "1:isb"];
    assert_eq!(free_root(&[&LEAVE, &other]), Some("R5"));
    assert_eq!(
        free_root(&[&LEAVE, &["owe"], &other]),
        None,
        "heard of again"
    );
    // The last ISB before is none for this write.
    assert_eq!(
        free_root(&[&["isb"], &LEAVE[..1], &["owe"], &other]),
        Some("R5")
    );
    // Back, and away again.
    let back = ["ttbr0 root=0x1000 asid=1", "isb"];
    assert_eq!(free_root(&[&LEAVE, &back, &FLUSH]), Some("R5"));
    assert_eq!(free_root(&[&LEAVE, &back, &LEAVE, &FLUSH]), None);
    assert_eq!(free_root(&[&LEAVE, &FLUSH, &back, &LEAVE]), Some("R5"));
}

/// A task that is heard of on another core has left the one before, and done there what it was about to do.
#[test]
fn a_task_that_moves() {
    let leave = ["0/7:ttbr0 root=0x8000 asid=2", "0/7:isb"];
    let flush = ["tlbi aside1is 0x1000000000000", "dsb ish", "isb"];
    let by = |who: &str| flush.map(|line| format!("{who}:{line}"));
    let freed = |lines: &[&str], who: &str| {
        let flush = by(who);
        let flush = flush.iter().map(String::as_str);
        let lines = lines.iter().copied().chain(flush);
        let lines: Vec<&str> = lines.collect();
        free_root(&[&lines, &[&format!("{who}:owe")]])
    };
    assert_eq!(freed(&leave, "1/7"), None, "the task that has left");
    assert_eq!(freed(&leave, "1/8"), Some("R5"), "another task");
    // What another task was about to do on that core since is not what this one has done.
    let since = ["0/7:owe", "0/8:ttbr0 root=0x8000 asid=2", "0/8:isb"];
    assert_eq!(freed(&since, "1/7"), Some("R5"));
    assert_eq!(freed(&since, "1/8"), None);
    // Heard of on the same core it has done it as well.
    let stayed = [&leave[..], &["0/7:owe"]].concat();
    assert_eq!(freed(&stayed, "1/8"), None);
}

/// An invalidation of a whole ASID, or of everything, on each core or for the one that had it.
#[test]
fn invalidations_of_a_space() {
    for (tlbi, dsb, found) in [
        ("tlbi aside1is 0x1000000000000", "dsb ish", None),
        ("tlbi vmalle1is 0x0", "dsb ish", None),
        ("tlbi vmalle1is 0x0", "dsb sy", None),
        // Only core 0 has had it.
        ("tlbi vmalle1 0x0", "dsb nsh", None),
        ("tlbi vmalle1 0x0", "dsb ish", None),
        ("tlbi aside1 0x1000000000000", "dsb nsh", None),
        ("tlbi aside1is 0x2000000000000", "dsb ish", Some("R5")),
        ("tlbi aside1is 0x0", "dsb ish", Some("R5")),
        ("tlbi vmalle1is 0x0", "dsb nsh", Some("R5")),
        ("tlbi vmalle1is 0x0", "dsb ishst", Some("R5")),
        ("tlbi vmalle1is 0x0", "1:dsb ish", Some("R5")),
        ("1:tlbi vmalle1 0x0", "1:dsb nsh", Some("R5")),
        ("tlbi vae1is 0x1000000000001", "dsb ish", Some("R5")),
        ("tlbi vaae1is 0x1", "dsb ish", Some("R5")),
    ] {
        let lines = [tlbi, dsb, "isb"];
        assert_eq!(
            free_root(&[&LEAVE, &["owe"], &lines]),
            found,
            "{tlbi}, {dsb}"
        );
    }
    // A DSB for this core alone does not complete a broadcast TLBI, and one for all that comes later does.
    let late = ["tlbi vmalle1is 0x0", "dsb nsh", "dsb ish", "isb"];
    assert_eq!(free_root(&[&LEAVE, &late]), None);
    // Two cores have had it, and each invalidates for itself.
    let there = ["1:ttbr0 root=0x1000 asid=1", "1:isb"];
    let gone = ["1:ttbr0 root=0x8000 asid=2", "1:isb", "1:owe"];
    let own = ["tlbi aside1 0x1000000000000", "dsb nsh", "isb"];
    let others = own.map(|line| format!("1:{line}"));
    let others = others.each_ref().map(String::as_str);
    let start: [&[&str]; 3] = [&there, &LEAVE, &gone];
    let after = |lines: &[&[&str]]| free_root(&[&start[..], lines].concat());
    assert_eq!(after(&[&own]), Some("R5"));
    assert_eq!(after(&[&others]), Some("R5"));
    assert_eq!(after(&[&own, &others]), None);
    assert_eq!(after(&[&FLUSH]), None);
}

/// One root under two ASIDs.
#[test]
fn a_root_under_two_asids() {
    let second = ["ttbr0 root=0x1000 asid=3", "isb"];
    let other = ["tlbi aside1is 0x3000000000000", "dsb ish", "isb"];
    assert_eq!(free_root(&[&second, &LEAVE, &FLUSH]), Some("R5"));
    assert_eq!(free_root(&[&second, &LEAVE, &other]), Some("R5"));
    assert_eq!(free_root(&[&second, &LEAVE, &other, &FLUSH]), None);
    // Under which ASID a page is withdrawn: under each that TLBs may have.
    let freed = |lines: &[&[&str]]| first(LOWER, &[&lines.concat()[..], &[FREE]].concat());
    let pages = [
        "dsb ishst",
        "tlbi vale1is 0x1000000000001",
        "dsb ish",
        "isb",
    ];
    let more = ["tlbi vale1is 0x3000000000001", "dsb ish", "isb"];
    assert_eq!(freed(&[&[CLEAR], &pages]), None);
    assert_eq!(freed(&[&second, &[CLEAR], &pages]), Some("R4"));
    assert_eq!(freed(&[&second, &[CLEAR], &pages, &more]), None);
    assert_eq!(freed(&[&second, &[CLEAR], &pages[..1], &more]), Some("R4"));
    // The first ASID was invalidated before: no TLB has anything under it.
    let clean = [&second[..], &FLUSH].concat();
    assert_eq!(freed(&[&clean, &[CLEAR, "dsb ishst"], &more]), None);
    // TTBR0 gets the new ASID while a walker may still read what was withdrawn.
    assert_eq!(freed(&[&[CLEAR], &second, &pages]), Some("R4"));
    assert_eq!(freed(&[&[CLEAR], &second, &pages, &more]), None);
    assert_eq!(freed(&[&[CLEAR, "dsb ishst"], &second, &pages[1..]]), None);
    // The ASID that it has had already is nothing new: that its TLBI came too early stays true.
    let again = [
        CLEAR,
        "tlbi vale1is 0x3000000000001",
        "1:ttbr0 root=0x1000 asid=3",
    ];
    assert_eq!(freed(&[&second, &again, &pages]), Some("R9"));
    // Another root's page is not withdrawn by that, and neither is a global one.
    assert_eq!(freed(&[&READY, &[CLEAR], &LEAVE, &pages]), None);
}

/// An ASID goes to another root.
#[test]
fn an_asid_that_is_given_on() {
    let reuse = "ttbr0 root=0x8000 asid=1";
    let given = |lines: &[&[&str]]| {
        let lines = [&READY[..], &lines.concat(), &[reuse]].concat();
        first(LOWER, &lines)
    };
    let away = [
        "zero frame=0x9000",
        "dsb ishst",
        "ttbr0 root=0x9000 asid=2",
        "isb",
    ];
    assert_eq!(given(&[]), Some("R3"));
    assert_eq!(given(&[&FLUSH]), Some("R3"), "TTBR0 has it");
    assert_eq!(given(&[&away]), Some("R3"));
    assert_eq!(given(&[&away, &FLUSH]), None);
    // The same root keeps it.
    assert_eq!(first(LOWER, &["ttbr0 root=0x1000 asid=1"]), None);
    // A root that is freed is nobody's, and its ASID free.
    assert_eq!(given(&[&away, &FLUSH, &[FREE_ROOT]]), None);
    // Another frame that is freed changes nothing.
    let other = ["zero frame=0xa000", "free frame=0xa000"];
    assert_eq!(given(&[&away, &other]), Some("R3"));
}

/// A root that is freed too early, which is R5, is none any more for what comes after.
#[test]
fn a_root_that_is_forgotten() {
    let mut checker = mmu_check::Checker::new();
    let mut hear = |line: &str| checker.step(&event(0, line)).err().map(|v| v.rule.name());
    for line in LOWER.iter().chain(&READY).chain(&LEAVE) {
        assert_eq!(hear(line), None);
    }
    assert_eq!(hear(FREE_ROOT), Some("R5"));
    for line in ["zero frame=0x9000", "dsb ishst", "ttbr0 root=0x9000 asid=1"] {
        assert_eq!(hear(line), None, "{line}");
    }
}

/// One table may be the root of both halves. What walk caches have of the upper is under any ASID all the same.
#[test]
fn a_root_of_both_halves() {
    let store = |old: &str, new: &str| {
        format!("store slot=0x1800 va=0xffff800000000000 level=0 old={old} new={new}")
    };
    let (link, unlink) = (store("0x0", "0x9003"), store("0x9003", "0x0"));
    let start = [
        LOWER,
        &["zero frame=0x9000", "dsb ishst", &link, "dsb ishst", "isb"],
    ]
    .concat();
    let freed = |tlbi: &str| {
        let program = [
            &unlink,
            "dsb ishst",
            tlbi,
            "dsb ish",
            "isb",
            "free frame=0x9000",
        ];
        first(&start, &program)
    };
    assert_eq!(freed("tlbi aside1is 0x1000000000000"), Some("R5"));
    assert_eq!(freed("tlbi vmalle1is 0x0"), None);
    assert_eq!(freed("tlbi vaae1is 0xff800000000"), None);
}

/// A root that was in no TTBR0 yet is walked by nobody: what is changed below it is stale nowhere.
#[test]
fn a_root_that_was_never_entered() {
    let fill = [
        "zero frame=0xa000",
        "zero frame=0xb000",
        "zero frame=0xc000",
        "zero frame=0xd000",
        "dmb ishst",
        "store slot=0xa000 va=0x0 level=0 old=0x0 new=0xb003",
        "store slot=0xb000 va=0x0 level=1 old=0x0 new=0xc003",
        "store slot=0xc000 va=0x0 level=2 old=0x0 new=0xd003",
        "store slot=0xd008 va=0x1000 level=3 old=0x0 new=0x60000080000f07",
    ];
    let enter = ["dsb ishst", "ttbr0 root=0xa000 asid=3", "isb"];
    let change = "store slot=0xd008 va=0x1000 level=3 old=0x60000080000f07 new=0x600000c0000f07";
    let clear = "store slot=0xd008 va=0x1000 level=3 old=0x60000080000f07 new=0x0";
    let unlink = "store slot=0xc000 va=0x0 level=2 old=0xd003 new=0x0";
    for (name, program, entered) in [
        ("changed without a break", &[change][..], "R2"),
        (
            "a page's frame freed",
            &[clear, "free frame=0x80000000"],
            "R4",
        ),
        ("a table freed", &[unlink, "free frame=0xd000"], "R5"),
        ("its task ends", &["task-end"], "R8"),
    ] {
        assert_eq!(first(LOWER, &[&fill, program].concat()), None, "{name}");
        // Filled behind it, the root owes the pair as well.
        let program = match entered {
            "R8" => [&fill[..8], &enter, &fill[8..], program].concat(),
            _ => [&fill[..], &enter, program].concat(),
        };
        assert_eq!(first(LOWER, &program), Some(entered), "{name}, entered");
    }
}
