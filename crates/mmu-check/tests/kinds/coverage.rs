//! What a run had to check: each count grows by what it is named for, and by nothing else.

use crate::lines::*;
use mmu_check::{Checker, Coverage};

/// The counts of these lines that are not zero, without that of the events.
fn counted(start: &[&str], program: &[&str]) -> Vec<(&'static str, u64)> {
    let of = |lines: &[&str]| -> Coverage {
        let mut checker = Checker::new();
        for (n, line) in lines.iter().enumerate() {
            let result = checker.step(&event(n, line));
            assert_eq!(result, Ok(()), "{line}");
        }
        assert_eq!(checker.coverage().events, lines.len() as u64);
        *checker.coverage()
    };
    let before = of(start).counts();
    let after = of(&[start, program].concat()).counts();
    let grown = before.into_iter().zip(after);
    let grown = grown.map(|((name, before), (_, after))| (name, after - before));
    grown
        .filter(|&(name, n)| n > 0 && name != "events")
        .collect()
}

#[test]
fn stores_by_what_they_do() {
    let start = mapped(RW);
    let start: Vec<&str> = start.iter().map(String::as_str).collect();
    let map = page("0x0", RW);
    assert_eq!(counted(UPPER, &[&map]), [("mappings", 1)]);
    let block = "store slot=0x2008 va=0xffff000000200000 level=2 old=0x0 new=0x60000040000705";
    assert_eq!(counted(UPPER, &[block]), [("mappings", 1)]);
    // There are no blocks at level 0.
    let none = "store slot=0x8008 va=0xffff008000000000 level=0 old=0x0 new=0x60000040000705";
    assert_eq!(counted(UPPER, &[none]), []);
    let clear = page(RW, "0x0");
    assert_eq!(counted(&start, &[&clear]), [("withdrawn", 1)]);
    // A changed mapping is no new one, and what was there is withdrawn.
    let protect = page(RW, RO);
    assert_eq!(counted(&start, &[&protect]), [("withdrawn", 1)]);
    // The same again changes nothing; nor does an invalid one that becomes another.
    assert_eq!(counted(&start, &[&page(RW, RW)]), []);
    assert_eq!(counted(UPPER, &[&page("0x0", "0x100")]), []);
    // Without an access flag nothing is in a TLB.
    let old = page("0x0", "0x60000040000307");
    let withdrawn = [&old[..], &page("0x60000040000307", "0x0")];
    assert_eq!(counted(UPPER, &withdrawn), [("mappings", 1)]);
    let link = [
        "zero frame=0x5000",
        "dmb ishst",
        "store slot=0x2008 va=0xffff000000200000 level=2 old=0x0 new=0x5003",
    ];
    assert_eq!(counted(UPPER, &link), [("links", 1)]);
    let unlink = "store slot=0x2000 va=0xffff000000000000 level=2 old=0x3003 new=0x0";
    assert_eq!(counted(UPPER, &[unlink]), [("withdrawn", 1)]);
    let again = "store slot=0x2000 va=0xffff000000000000 level=2 old=0x3003 new=0x3003";
    assert_eq!(counted(UPPER, &[again]), []);
}

/// A run of stores is each of them.
#[test]
fn a_run_of_stores() {
    let run = "stores slot=0x3008 va=0xffff000000001000 level=3 old=0x0 new=0x60000040000707 \
               old-step=0x0 new-step=0x1000 count=3";
    let mut checker = Checker::new();
    for (n, line) in UPPER.iter().chain(&[run]).enumerate() {
        assert_eq!(checker.step(&event(n, line)), Ok(()));
    }
    let coverage = checker.coverage();
    assert_eq!(
        (coverage.events, coverage.mappings),
        (UPPER.len() as u64 + 3, 3)
    );
    let last = "access read works va=0xffff000000003000";
    assert_eq!(first(UPPER, &[run, last]), Some("R1"));
    let over = run.replace(
        "old=0x0 new=0x60000040000707",
        "old=0x60000040000707 new=0x60000080000707",
    );
    let over = over.replace("old-step=0x0", "old-step=0x1000");
    let found = violation(UPPER, &[run, &over]).unwrap();
    assert_eq!(
        (found.rule.name(), found.address),
        ("R2", 0xffff_0000_0000_1000)
    );
}

#[test]
fn uses_and_probes() {
    // Which mapping it is the rules know from the root on.
    let tree = [
        "zero frame=0x1000",
        "zero frame=0x2000",
        "zero frame=0x3000",
        "zero frame=0x4000",
        "dsb ishst",
        "store slot=0x1000 va=0xffff000000000000 level=0 old=0x0 new=0x2003",
        "store slot=0x2000 va=0xffff000000000000 level=1 old=0x0 new=0x3003",
        "store slot=0x3000 va=0xffff000000000000 level=2 old=0x0 new=0x4003",
        "dsb ishst",
        "isb",
    ];
    let map = "store slot=0x4008 va=0xffff000000001000 level=3 old=0x0 new=0x60000040000707";
    let clear = "store slot=0x4008 va=0xffff000000001000 level=3 old=0x60000040000707 new=0x0";
    let pair = ["dsb ishst", "isb"];
    let start = [&tree[..], &[map], &pair].concat();
    let first = [("used mappings", 1), ("accesses", 1)];
    assert_eq!(counted(&start, &[READ]), first);
    let used = [&start[..], &[READ]].concat();
    assert_eq!(counted(&used, &[READ]), [("accesses", 1)], "used before");
    assert_eq!(counted(&tree, &[READ]), [("accesses", 1)], "no mapping");
    assert_eq!(counted(&tree, &[READ_FAULTS]), [("probes", 1)]);
    let low = "access read works va=0x1000";
    assert_eq!(counted(LOWER, &[low]), first);
    assert_eq!(counted(&tree, &[low]), [("accesses", 1)], "no space");
    // A mapping that is made again was not used yet.
    let again = [clear, map, "dsb ishst", "isb", READ];
    let all = [("mappings", 1), first[0], first[1], ("withdrawn", 1)];
    assert_eq!(counted(&used, &again), all);
}

#[test]
fn invalidations_that_are_about_something() {
    let clear = page(RW, "0x0");
    let start = mapped(RW);
    let start: Vec<&str> = start.iter().map(String::as_str).collect();
    let withdrawn = [&start[..], &[&clear, "dsb ishst"]].concat();
    assert_eq!(counted(&withdrawn, &[TLBI]), [("invalidations", 1)]);
    assert_eq!(counted(&withdrawn, &["tlbi vaae1is 0xff000000002"]), []);
    assert_eq!(counted(&start, &[TLBI]), [], "nothing is withdrawn");
    let gone = [&withdrawn[..], &[TLBI, "dsb ish", "isb"]].concat();
    let done = "done va=0xffff000000001000 pages=1 asid=0 tables=0";
    assert_eq!(counted(&gone, &[done]), [("dones", 1)]);
    assert_eq!(counted(&gone, &["free frame=0x40000000"]), [("frees", 1)]);
}

#[test]
fn sections_switches_and_interrupts() {
    let (enable, disable) = ("call enable", "call disable");
    assert_eq!(counted(&[], &[enable, disable]), [("sections", 1)]);
    let nested = [("sections", 2), ("nested", 1)];
    assert_eq!(counted(&[], &[enable, enable, disable, disable]), nested);
    let paused = [enable, "call pause", "call resume"];
    assert_eq!(counted(&[], &paused), []);
    assert_eq!(counted(&[], &["task-end"]), [("task ends", 1)]);

    let map = page("0x0", RW);
    let switch = "switch to=5";
    assert_eq!(counted(UPPER, &[switch]), [("switches", 1)]);
    let interrupted = ["irq-enter", "irq-exit"];
    assert_eq!(counted(UPPER, &interrupted), [("interrupts", 1)]);
    // A task owes until it has synchronised, and its DSB has come before the switch.
    let owes = [UPPER, &[&map, "dsb ishst"]].concat();
    let in_debt = [("switches", 1), ("switches in debt", 1)];
    assert_eq!(counted(&owes, &[switch]), in_debt);
    let in_debt = [("interrupts in debt", 1), ("interrupts", 1)];
    assert_eq!(counted(&owes, &interrupted), in_debt);
    let unordered = [UPPER, &[&map]].concat();
    assert_eq!(counted(&unordered, &interrupted), in_debt);
    let paid = [&owes[..], &["isb"]].concat();
    assert_eq!(counted(&paid, &[switch]), [("switches", 1)]);
    assert_eq!(counted(&paid, &interrupted), [("interrupts", 1)]);
    // Another task's debt is not this one's.
    assert_eq!(counted(&owes, &["1:switch to=5"]), [("switches", 1)]);
    let other = ["1:irq-enter", "1:irq-exit"];
    assert_eq!(counted(&owes, &other), [("interrupts", 1)]);
}

/// The last events before a violation, of the same core or the same task.
#[test]
fn what_came_before_a_violation() {
    let map = page("0x0", RW);
    let last = |program: &[&str]| -> Vec<usize> {
        let found = violation(UPPER, program).unwrap();
        found.last().map(|event| event.sequence as usize).collect()
    };
    let here = UPPER.len();
    // Not the other core's, and those of the start that are this one's.
    let shown = last(&[&map, "1:isb", READ]);
    assert_eq!(shown, [0, 1, 2, 3, 4, here]);
    // The newest twelve, and the store that owes, however long ago it was.
    let newest = |from: usize| {
        [here]
            .into_iter()
            .chain(from..from + 12)
            .collect::<Vec<_>>()
    };
    let many = [&[&map[..]][..], &["dsb ishld"; 20], &[READ]].concat();
    assert_eq!(last(&many), newest(here + 9));
    let long_ago = [&[&map[..]][..], &["dsb ishld"; 100], &[READ]].concat();
    assert_eq!(last(&long_ago), newest(here + 89));
    // A busy core displaces nothing of another one.
    let busy = [&[&map[..]][..], &["1:isb"; 500], &[READ]].concat();
    assert_eq!(last(&busy), shown);
    // What no rule looks at is not shown.
    let owing = [&[&map[..]][..], &["owe"; 20], &[READ]].concat();
    assert_eq!(last(&owing), shown);
}

/// Both events that are named are shown where they are long ago and of different cores.
#[test]
fn what_is_named_is_shown_from_any_core() {
    let map = page("0x0", RW);
    let here = UPPER.len();
    let other = [
        &[&map[..], "dsb ishst"][..],
        &["isb"; 40],
        &["1:dsb ishld"; 80],
    ]
    .concat();
    let reads = format!("1:{READ}");
    let found = violation(UPPER, &[&other[..], &[&reads]].concat()).unwrap();
    let last: Vec<usize> = found.last().map(|e| e.sequence as usize).collect();
    let newest = here + 2 + 40 + 80 - 12..here + 2 + 40 + 80;
    assert_eq!(
        last,
        [here, here + 1]
            .into_iter()
            .chain(newest)
            .collect::<Vec<_>>()
    );
    assert_eq!(found.after.map(|e| e.sequence as usize), Some(here + 1));
    // The DSB is too long ago to be named: the step is missing before the use, and not behind the store.
    let busy = [&[&map[..], "dsb ishst"][..], &["isb"; 80]].concat();
    let found = violation(UPPER, &[&busy[..], &[&reads]].concat()).unwrap();
    assert_eq!(found.owes.map(|e| e.sequence as usize), Some(here));
    assert_eq!(found.after, None);
}

/// The same task on another core is shown, and so is another task on the same core.
#[test]
fn what_the_same_task_has_done_elsewhere() {
    let lines = [
        "0 core=1 task=7 isb",
        "1 core=0 task=8 isb",
        "2 core=1 task=9 isb",
        "3 core=0 task=7 tlbi vaale1is 0xffff000000001",
    ];
    let mut checker = Checker::new();
    let events = lines.map(|line| line.parse().unwrap());
    let results = events.each_ref().map(|event| checker.step(event));
    let found = results[3].as_ref().unwrap_err();
    assert_eq!(found.last().copied().collect::<Vec<_>>(), events[..2]);
}

#[test]
#[should_panic(expected = "core 8 of at most 8")]
fn a_core_that_there_is_not() {
    let mut event = event(0, "isb");
    event.core = 8;
    let _ = Checker::new().step(&event);
}
