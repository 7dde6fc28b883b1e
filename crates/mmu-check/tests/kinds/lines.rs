//! Traces by lines: how the tests begin, and which rule is broken first.

use mmu_check::{Checker, Event, Violation};

/// Core 1 runs too, and there is a last-level table for the first addresses of the upper half.
pub const UPPER: &[&str] = &[
    "zero frame=0x3000",
    "dmb ishst",
    "store slot=0x2000 va=0xffff000000000000 level=2 old=0x0 new=0x3003",
    "dsb ishst",
    "isb",
    "1:core-start",
    "1:isb",
];

/// Core 1 runs too, and core 0 has a space with ASID 1: root 0x1000, tables 0x2000, 0x3000, 0x4000.
pub const LOWER: &[&str] = &[
    "1:core-start",
    "zero frame=0x1000",
    "zero frame=0x2000",
    "zero frame=0x3000",
    "zero frame=0x4000",
    "dsb ishst",
    "ttbr0 root=0x1000 asid=1",
    "isb",
    "store slot=0x1000 va=0x0 level=0 old=0x0 new=0x2003",
    "store slot=0x2000 va=0x0 level=1 old=0x0 new=0x3003",
    "store slot=0x3000 va=0x0 level=2 old=0x0 new=0x4003",
    "store slot=0x4008 va=0x1000 level=3 old=0x0 new=0x60000040000f07",
    "dsb ishst",
    "isb",
];

/// A page of frame 0x40000000 at the second page of [`UPPER`], read and write; the same read only, executable.
pub const RW: &str = "0x60000040000707";
pub const RO: &str = "0x60000040000787";
pub const RX: &str = "0x40000040000787";
/// Another frame.
pub const OTHER: &str = "0x60000080000707";
pub const TLBI: &str = "tlbi vaae1is 0xff000000001";
pub const READ: &str = "access read works va=0xffff000000001000";
pub const READ_FAULTS: &str = "access read faults va=0xffff000000001000";
pub const WRITE_FAULTS: &str = "access write faults va=0xffff000000001000";

/// The store of the second page's descriptor.
pub fn page(old: &str, new: &str) -> String {
    format!("store slot=0x3008 va=0xffff000000001000 level=3 old={old} new={new}")
}

/// The first rule that `program` breaks after `start`, which breaks none. Each line is `[core[/task]:]event`.
pub fn first(start: &[&str], program: &[&str]) -> Option<&'static str> {
    violation(start, program).map(|violation| violation.rule.name())
}

/// The first violation in `program` after `start`, which has none. The sequence numbers count the lines.
pub fn violation(start: &[&str], program: &[&str]) -> Option<Violation> {
    let mut checker = Checker::new();
    let mut lines = start.iter().chain(program).enumerate();
    lines.find_map(|(n, line)| {
        let found = checker.step(&event(n, line)).err()?;
        println!("{found}\n");
        assert!(n >= start.len(), "{line}");
        Some(*found)
    })
}

/// A line as an event. The task has its core's number, unless one is named: `1/7` is core 1 and task 7.
pub fn event(n: usize, line: &str) -> Event {
    let (core, what) = match line.split_once(':') {
        Some((core, what)) => (core, what),
        None => ("0", line),
    };
    let (core, task) = core.split_once('/').unwrap_or((core, core));
    let line = format!("{n} core={core} task={task} {what}");
    line.parse().unwrap_or_else(|e| panic!("{line}: {e}"))
}

/// Maps the page, unless it is mapped read only first, and settles that.
pub fn mapped(as_what: &str) -> Vec<String> {
    let mut lines: Vec<String> = UPPER.iter().map(|line| line.to_string()).collect();
    lines.extend([page("0x0", as_what), "dsb ishst".into(), "isb".into()]);
    lines.push("1:isb".into());
    lines
}

pub fn after(start: &[String], program: &[&str]) -> Option<&'static str> {
    let start: Vec<&str> = start.iter().map(String::as_str).collect();
    first(&start, program)
}

/// A TLBI between its two DSBs, and the ISB.
pub fn invalidate(tlbi: &str) -> [&str; 4] {
    ["dsb ishst", tlbi, "dsb ish", "isb"]
}
