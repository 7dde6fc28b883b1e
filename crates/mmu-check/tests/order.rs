//! When a thing is reported, for each kind: two cores' events may come between an instruction and its
//! report, and in the wrong order the rules accept what the machine shows to be wrong.
//!
//! A program is a line a step: the core, `done` for the execution alone or `heard` for the report alone
//! (neither: both as one), and the event. What is done goes to the adversarial machine, in every
//! schedule; what is heard goes to the rules.
#![cfg(feature = "machine")]

use mmu_check::event::{Expect, What};
use mmu_check::machine::{Chance, EVIL, Machine};
use mmu_check::{Checker, Event};

const ROOT: u64 = 0x10_0000;
/// Levels 1 to 3 of the way to [`VA`].
const TABLES: [u64; 3] = [0x10_1000, 0x10_2000, 0x10_3000];
const VA: u64 = 0xffff_0000_0000_1000;
const PAGE: u64 = 0x20_0000;
const VALUE: u64 = 0x600d;
/// A frame that may become a table. It is full of descriptors that lead nowhere good.
const SPARE: u64 = 0x10_4000;

// A page of the upper half at 0x200000, read-write.
const MAP: &str =
    "0 store slot=0x103008 va=0xffff000000001000 level=3 old=0x0 new=0x60000000200707";
const UNMAP: &str =
    "0 store slot=0x103008 va=0xffff000000001000 level=3 old=0x60000000200707 new=0x0";
const TLBI: &str = "tlbi vaale1is 0xff000000001";

/// The task of a step: `1/0` is core 1 and task 0; without a task it has the core's number.
fn task(line: &str) -> u16 {
    let (core, _) = line.split_once(' ').unwrap();
    let (_, task) = core.split_once('/').unwrap_or((core, core));
    task.parse().unwrap()
}

/// A step: on which core, whether it is executed, whether it is reported, and what.
fn step(line: &str) -> (usize, bool, bool, What) {
    let (core, rest) = line.split_once(' ').unwrap();
    let (core, _) = core.split_once('/').unwrap_or((core, core));
    let (done, heard, what) = match rest.split_once(' ') {
        Some(("done", what)) => (true, false, what),
        Some(("heard", what)) => (false, true, what),
        _ => (true, true, rest),
    };
    let event: Event = format!("0 core={core} task={core} {what}")
        .parse()
        .unwrap_or_else(|e| panic!("{line}: {e}"));
    (event.core.into(), done, heard, event.what)
}

/// The tables down to the last one, which both know.
fn links() -> Vec<String> {
    let parents = [ROOT, TABLES[0], TABLES[1]];
    let link = |(level, (parent, table)): (usize, (u64, u64))| {
        let (slot, va) = (parent + (VA >> (39 - 9 * level) & 0x1ff) * 8, VA & !0xfff);
        [
            format!("0 zero frame={table:#x}"),
            "0 dmb ishst".into(),
            format!(
                "0 store slot={slot:#x} va={va:#x} level={level} old=0x0 new={:#x}",
                table | 3
            ),
        ]
    };
    let pairs = parents.into_iter().zip(TABLES).enumerate();
    pairs.flat_map(link).collect()
}

/// Both cores run, and what was stored so far has settled.
const SETTLED: [&str; 6] = [
    "0 dsb ish",
    "0 isb",
    "1 core-start",
    "1 isb",
    "0 dsb ish",
    "0 isb",
];

/// The first rule that what is heard of `program` breaks. Nothing before it does.
fn rules(start: &[&str], program: &[&str]) -> Option<&'static str> {
    let mut checker = Checker::new();
    let mut hear = |line: &str| {
        let (core, _, heard, what) = step(line);
        let event = Event {
            sequence: 0,
            time: 0,
            core: core as u8,
            task: task(line),
            what,
        };
        let result = if heard { checker.step(&event) } else { Ok(()) };
        result.map_err(|violation| {
            println!("{violation}\n");
            violation.rule.name()
        })
    };
    let links = links();
    for line in links
        .iter()
        .map(String::as_str)
        .chain(start.iter().copied())
        .chain(SETTLED)
    {
        assert_eq!(hear(line), Ok(()), "{line}");
    }
    program.iter().find_map(|line| hear(line).err())
}

/// How many schedules of what is done there are, up to the first in which an access comes out otherwise
/// than the program relies on; and whether there is one.
fn machine(start: &[&str], program: &[&str]) -> (u64, bool) {
    let mut schedules = 0;
    let mut chance = Some(Chance::exhaustive());
    while let Some(this) = chance {
        let machine = Machine::new(3, ROOT, this);
        machine.set_still(true);
        machine.store(0, PAGE, VALUE);
        machine.fill(SPARE, EVIL);
        let links = links();
        let links = links.iter().map(String::as_str);
        for line in links.chain(start.iter().copied()).chain(SETTLED) {
            execute(&machine, line);
        }
        for line in program {
            if let What::Access { va, .. } = step(line).3 {
                machine.watch(va);
            }
        }
        machine.set_still(false);
        schedules += 1;
        if !program.iter().all(|line| execute(&machine, line)) {
            return (schedules, true);
        }
        chance = machine.into_chance().next_run();
    }
    (schedules, false)
}

fn goes_wrong(start: &[&str], program: &[&str]) -> bool {
    machine(start, program).1
}

/// Executes a step, if it is done here. Returns `false` for an access that came out wrong.
fn execute(machine: &Machine, line: &str) -> bool {
    let (core, done, _, what) = step(line);
    if !done {
        return true;
    }
    match what {
        What::Store { slot, new, .. } => machine.store(core, slot, new),
        What::Zero { frame } => machine.zero(core, frame),
        What::Dsb(kind) => machine.dsb(core, kind),
        What::Dmb(kind) => machine.dmb(core, kind),
        What::Isb | What::ExceptionEntry | What::ExceptionReturn | What::CoreStart => {
            machine.synchronise(core);
        }
        What::Tlbi { op, operand } => machine.tlbi(core, op, operand),
        What::Ttbr0 { root, asid } => machine.set_ttbr0(core, root, asid),
        What::Access { va, expect, .. } => {
            let mut found = machine.read(core, va);
            if found.is_err() && expect == Expect::Retries {
                machine.synchronise(core);
                found = machine.read(core, va);
            }
            return found.is_err() == (expect == Expect::Faults);
        }
        // Nothing that the machine has.
        What::Free { .. } | What::Owe => {}
        other => panic!("{other}: no such instruction"),
    }
    true
}

/// `late` and `right` execute the same and differ in when they report. The machine shows it to be wrong;
/// the rules accept `late`, and in the right order they do not.
fn only_in_order(start: &[&str], late: &[&str], right: &[&str], rule: &str) {
    let executed = |program: &[&str]| -> Vec<(usize, What)> {
        let steps = program.iter().map(|line| step(line));
        steps.filter(|s| s.1).map(|s| (s.0, s.3)).collect()
    };
    assert_eq!(executed(late), executed(right), "not the same program");
    assert!(goes_wrong(start, late), "nothing goes wrong");
    assert_eq!(
        rules(start, late),
        None,
        "the wrong order is noticed: this test shows nothing"
    );
    assert_eq!(rules(start, right), Some(rule));
}

/// Accepted, and right in every schedule.
fn is_right(start: &[&str], program: &[&str]) {
    assert_eq!(rules(start, program), None);
    let (schedules, wrong) = machine(start, program);
    assert!(!wrong && schedules > 1, "{program:?}, schedule {schedules}");
}

#[test]
fn a_tlbi_is_reported_before() {
    let (executed, reported) = (&format!("1 done {TLBI}"), &format!("1 heard {TLBI}"));
    let rest = [
        "1 dsb ish",
        "1 isb",
        "1 access read faults va=0xffff000000001000",
    ];
    let unmap = [UNMAP, "0 dsb ishst"];
    let late = [
        &[executed.as_str()],
        &unmap[..],
        &[reported.as_str()],
        &rest,
    ]
    .concat();
    let right = [&[reported.as_str(), executed.as_str()], &unmap[..], &rest].concat();
    only_in_order(&[MAP], &late, &right, "R3");
    let tlbi = &format!("1 {TLBI}");
    is_right(&[MAP], &[&unmap[..], &[tlbi.as_str()], &rest].concat());
}

/// An ISB or an exception return of core 1, before core 0 publishes.
fn synchronises_too_early(what: &str) {
    let (executed, reported) = (&format!("1 done {what}"), &format!("1 heard {what}"));
    let access = "1 access read works va=0xffff000000001000";
    let late = [executed, MAP, "0 dsb ishst", reported, access];
    let right = [reported, executed, MAP, "0 dsb ishst", access];
    only_in_order(&[], &late, &right, "R1");
    is_right(&[], &[MAP, "0 dsb ishst", &format!("1 {what}"), access]);
}

#[test]
fn an_isb_is_reported_before() {
    synchronises_too_early("isb");
}

#[test]
fn an_exception_return_is_reported_before() {
    synchronises_too_early("exception-return");
}

/// It can only be reported late, so it counts for what was settled before the core's last report.
#[test]
fn an_exception_entry_counts_from_the_report_before_it() {
    let access = "1 access read works va=0xffff000000001000";
    let entry = [
        "1 done exception-entry",
        MAP,
        "0 dsb ishst",
        "1 heard exception-entry",
        access,
    ];
    assert!(goes_wrong(&[], &entry));
    assert_eq!(rules(&[], &entry), Some("R1"));
    // The same events, but what core 1 has reported in between shows that the entry came later.
    is_right(
        &[],
        &[MAP, "0 dsb ishst", "1 owe", "1 exception-entry", access],
    );
    // Its own DSB is behind it in its program.
    let own = "1 store slot=0x103008 va=0xffff000000001000 level=3 old=0x0 new=0x60000000200707";
    is_right(&[], &[own, "1 dsb ishst", "1 exception-entry", access]);
}

/// The same for the start of a core, which nobody has heard of before.
#[test]
fn a_cores_start_counts_for_nothing() {
    let access = "2 access read works va=0xffff000000001000";
    let start = [
        "2 done core-start",
        MAP,
        "0 dsb ishst",
        "2 heard core-start",
        access,
    ];
    assert!(goes_wrong(&[], &start));
    assert_eq!(rules(&[], &start), Some("R1"));
    is_right(&[], &[MAP, "0 dsb ishst", "2 core-start", "2 isb", access]);
}

/// A root whose zeroes are on their way.
#[test]
fn ttbr0_is_reported_before() {
    let write = "ttbr0 root=0x104000 asid=1";
    let (executed, reported) = (&format!("1 done {write}"), &format!("1 heard {write}"));
    let (zero, dsb) = ("0 zero frame=0x104000", "0 dsb ishst");
    let rest = ["1 isb", "1 access read faults va=0x0"];
    let late = [&[zero, executed, dsb, reported], &rest[..]].concat();
    let right = [&[zero, reported, executed, dsb], &rest[..]].concat();
    only_in_order(&[], &late, &right, "R10");
    is_right(
        &[],
        &[&[zero, dsb, &format!("1 {write}")], &rest[..]].concat(),
    );
}

/// The tables of ASID 1 map a page at address 0, those of 2 and 3 nothing.
const SPACES: [&str; 8] = [
    "0 zero frame=0x201000",
    "0 zero frame=0x202000",
    "0 zero frame=0x203000",
    "0 zero frame=0x204000",
    "0 zero frame=0x205000",
    "0 zero frame=0x206000",
    "0 dsb ishst",
    "0 isb",
];
const LOWER: [&str; 8] = [
    "0 store slot=0x201000 va=0x0 level=0 old=0x0 new=0x204003",
    "0 store slot=0x204000 va=0x0 level=1 old=0x0 new=0x205003",
    "0 store slot=0x205000 va=0x0 level=2 old=0x0 new=0x206003",
    "0 store slot=0x206000 va=0x0 level=3 old=0x0 new=0x60000000200f07",
    "0 dsb ishst",
    "0 isb",
    "0 ttbr0 root=0x201000 asid=1",
    "0 isb",
];

/// Until the ISB behind the write has executed, a core may walk from the old root: an invalidation of its
/// ASID that comes before is none. The ISB is reported before it executes, so what counts is the next
/// report.
#[test]
fn the_old_root_is_in_use_until_the_core_is_heard_of_behind_its_isb() {
    let start = [SPACES, LOWER].concat();
    let leave = "0 ttbr0 root=0x202000 asid=2";
    let flush = ["0 tlbi aside1is 0x1000000000000", "0 dsb ish", "0 isb"];
    let reuse = [
        "0 ttbr0 root=0x203000 asid=1",
        "0 isb",
        "0 access read faults va=0x0",
    ];
    let early = [&[leave], &flush[..], &reuse].concat();
    assert!(goes_wrong(&start, &early));
    assert_eq!(rules(&start, &early), Some("R3"));
    is_right(&start, &[&[leave, "0 isb"], &flush[..], &reuse].concat());

    // Another core invalidates, and frees the root.
    let flush = [
        "1 tlbi aside1is 0x1000000000000",
        "1 dsb ish",
        "1 isb",
        "1 free frame=0x201000",
    ];
    let with = |between: &[&str]| rules(&start, &[&[leave], between, &flush[..]].concat());
    assert_eq!(with(&[]), Some("R5"));
    assert_eq!(
        with(&["0 isb"]),
        Some("R5"),
        "it may be still about to execute"
    );
    assert_eq!(with(&["0 isb", "0 owe"]), None);
    assert_eq!(
        with(&["0 exception-entry"]),
        Some("R5"),
        "nothing was heard behind it"
    );
}

/// A task that is heard of on another core has left the one before, so the ISB that it reported there has
/// executed, however long that core is silent and whenever it is heard of again.
#[test]
fn a_task_that_has_moved_has_done_what_it_reported() {
    let start = [SPACES, LOWER].concat();
    let leave = ["0 ttbr0 root=0x202000 asid=2", "0 isb"];
    let flush = [
        "1/0 tlbi aside1is 0x1000000000000",
        "1/0 dsb ish",
        "0/5 exception-entry",
        "1/0 isb",
        "1/0 free frame=0x201000",
    ];
    let with = |flush: &[&str]| rules(&start, &[&leave, flush].concat());
    assert_eq!(with(&flush), None);
    // The same by a task that was not there: the core may be about to execute it still.
    let other = flush.map(|line| line.replace("1/0", "1"));
    let other: Vec<&str> = other.iter().map(String::as_str).collect();
    assert_eq!(with(&other), Some("R5"));
    // And where the ISB is another task's, which has not moved.
    let not_its = [&["0/5 ttbr0 root=0x203000 asid=3", "0/5 isb"], &flush[..]].concat();
    let start = [&start[..], &["0 owe"]].concat();
    assert_eq!(rules(&start, &not_its), Some("R5"));
}

#[test]
fn an_access_is_reported_before() {
    let access = "access read retries va=0xffff000000001000";
    let (executed, reported) = (&format!("1 done {access}"), &format!("1 heard {access}"));
    let late = [MAP, executed, "0 dsb ishst", reported];
    let right = [MAP, reported, executed, "0 dsb ishst"];
    only_in_order(&[], &late, &right, "R1");
    is_right(&[], &[MAP, "0 dsb ishst", &format!("1 {access}")]);
}

/// The frame has a next owner before the TLBI is complete.
#[test]
fn a_free_is_reported_before() {
    let gone = [UNMAP, "0 dsb ishst", &format!("0 {TLBI}")];
    let used = "1 done access read faults va=0xffff000000001000";
    let (freed, reported) = ("1 done free frame=0x200000", "1 heard free frame=0x200000");
    let late = [&gone[..], &[freed, used, "0 dsb ish", "0 isb", reported]].concat();
    let right = [&gone[..], &[reported, freed, used, "0 dsb ish", "0 isb"]].concat();
    only_in_order(&[MAP], &late, &right, "R4");
    let free = "1 free frame=0x200000";
    is_right(
        &[MAP],
        &[&gone[..], &["0 dsb ish", "0 isb", free, used]].concat(),
    );
}

/// "Done" is said while the DSB waits.
#[test]
fn done_is_reported_before() {
    let gone = [UNMAP, "0 dsb ishst", &format!("0 {TLBI}")];
    let used = "1 done access read faults va=0xffff000000001000";
    let claim = "0 heard done va=0xffff000000001000 pages=1 asid=0 tables=0";
    let rest = ["0 dsb ish", "0 isb"];
    let late = [&gone[..], &[used], &rest, &[claim]].concat();
    let right = [&gone[..], &[claim, used], &rest].concat();
    only_in_order(&[MAP], &late, &right, "R3");
    is_right(&[MAP], &[&gone[..], &rest, &[claim, used]].concat());
}

/// It waits, and another core relies on what it waits for.
#[test]
fn a_dsb_is_reported_after() {
    let (executed, reported) = ("0 done dsb ishst", "0 heard dsb ishst");
    let rest = ["1 isb", "1 access read works va=0xffff000000001000"];
    let early = [&[MAP, reported], &rest[..], &[executed]].concat();
    let right = [&[MAP], &rest[..], &[executed, reported]].concat();
    only_in_order(&[], &early, &right, "R1");
    is_right(&[], &[&[MAP, executed, reported], &rest[..]].concat());
}

#[test]
fn a_dmb_is_reported_after() {
    let (executed, reported) = ("0 done dmb ishst", "0 heard dmb ishst");
    let zero = "0 zero frame=0x104000";
    let link = "1 store slot=0x102008 va=0xffff000000200000 level=2 old=0x0 new=0x104003";
    let rest = [
        link,
        "1 dsb ishst",
        "1 isb",
        "1 access read faults va=0xffff000000200000",
    ];
    let early = [&[zero, reported], &rest[..], &[executed]].concat();
    let right = [&[zero], &rest[..], &[executed, reported]].concat();
    only_in_order(&[], &early, &right, "R10");
    let own = "0 store slot=0x102008 va=0xffff000000200000 level=2 old=0x0 new=0x104003";
    let rest = [
        "0 dsb ishst",
        "0 isb",
        "0 access read faults va=0xffff000000200000",
    ];
    is_right(&[], &[&[zero, executed, reported, own], &rest[..]].concat());
}

/// Core 1 has read the link and stores behind it, and core 0 has not said yet that it is there: the rules
/// hear of a table that is filled before it is linked, and of no barrier in between.
#[test]
fn a_store_is_reported_as_one_with_its_execution() {
    let link = "store slot=0x102008 va=0xffff000000200000 level=2 old=0x0 new=0x104003";
    let leaf = "1 store slot=0x104000 va=0xffff000000200000 level=3 old=0x0 new=0x60000000200707";
    let rest = [
        "1 dsb ishst",
        "1 isb",
        "1 access read works va=0xffff000000200000",
    ];
    let zeroed = ["0 zero frame=0x104000", "0 dmb ishst"];
    // Core 1 can only have read what has left core 0.
    let (executed, reported) = (&format!("0 done {link}"), &format!("0 heard {link}"));
    let arrived = "0 done dsb ishst";
    let late = [&zeroed[..], &[executed, arrived, leaf, reported], &rest].concat();
    assert!(!goes_wrong(&[], &late));
    assert_eq!(rules(&[], &late), Some("R10"), "of a program that is right");
    let link = &format!("0 {link}");
    is_right(&[], &[&zeroed[..], &[link, arrived, leaf], &rest].concat());
}

/// And so is the zeroing: core 1 takes the table from core 0, and links it, before it is said to be one.
#[test]
fn a_zeroing_is_reported_as_one_with_its_execution() {
    let link = "1 store slot=0x102008 va=0xffff000000200000 level=2 old=0x0 new=0x104003";
    let rest = [
        "1 dsb ishst",
        "1 isb",
        "1 access read faults va=0xffff000000200000",
    ];
    let (executed, reported) = ("0 done zero frame=0x104000", "0 heard zero frame=0x104000");
    let late = [&[executed, "0 dsb ishst", link, reported], &rest[..]].concat();
    assert!(!goes_wrong(&[], &late));
    assert_eq!(rules(&[], &late), Some("R10"), "of a program that is right");
    is_right(
        &[],
        &[&["0 zero frame=0x104000", "0 dsb ishst", link], &rest[..]].concat(),
    );
}
