//! When a trace begins, and what becomes of one that cannot be written.

use mmu_check::trace::{Extent, Header, Recorder, Unwritten, Writer};
use mmu_check::{Checker, Event};

/// A table linked and a page mapped in it: nothing is owed behind the fifth and the seventh.
const BOOT: [&str; 7] = [
    "zero frame=0x3000",
    "dmb ishst",
    "store slot=0x2000 va=0xffff000000000000 level=2 old=0x0 new=0x3003",
    "dsb ishst",
    "isb",
    "store slot=0x3000 va=0xffff000000000000 level=3 old=0x0 new=0x60000040000707",
    "dsb ishst",
];

/// Gives `lines` to the rules, and to a trace of which the run begins before the line of this number.
fn recorded<W: std::fmt::Write>(
    to: W,
    extent: Extent,
    lines: &[&str],
    run: usize,
) -> Result<W, Unwritten> {
    let mut rules = Checker::new();
    let mut trace = Recorder::new(Writer::new(to, Header { clock: 0 }), extent);
    for (n, line) in lines.iter().enumerate() {
        if n == run {
            trace.begin_run(&rules);
        }
        let event: Event = format!("{n} core=0 task=0 {line}").parse().unwrap();
        trace.hear(event);
        rules.step(&event).unwrap();
        trace.step(&rules);
    }
    trace.finish(&rules)
}

/// The numbers of the events that the trace has behind its `run` line.
fn numbers(trace: &str) -> Vec<u32> {
    let run = trace.split_once("run first=").map_or("", |(_, run)| run);
    let lines = run.lines().skip(1).filter(|line| !line.starts_with("end "));
    lines
        .map(|line| line.split(' ').next().unwrap().parse().unwrap())
        .collect()
}

#[test]
fn a_trace_of_the_run_begins_when_nothing_is_owed() {
    let more = [&BOOT[..], &["isb", "owe"]].concat();
    // It begins at once; with the store's DSB; and the events of the boot are not in it.
    for (run, first) in [(5, 5), (6, 7), (8, 8)] {
        let trace = recorded(String::new(), Extent::Run, &more, run).unwrap();
        assert_eq!(
            numbers(&trace),
            (first..9).collect::<Vec<_>>(),
            "{run}: {trace}"
        );
    }
    let all = recorded(String::new(), Extent::All, &more, 5).unwrap();
    assert_eq!(
        all.lines().filter(|line| line.contains("core=0")).count(),
        9,
        "{all}"
    );
}

#[test]
fn a_trace_that_could_not_begin_says_what_is_owed() {
    let late = [&BOOT[..6], &["owe"]].concat();
    let why = recorded(String::new(), Extent::Run, &late, 6).unwrap_err();
    assert!(matches!(why, Unwritten::Owed(_)), "{why}");
    assert!(why.to_string().contains("could not begin"), "{why}");
}

#[test]
fn a_trace_that_cannot_be_written_is_not_whole() {
    /// Takes so many bytes, and then none.
    struct Full(usize);
    impl std::fmt::Write for Full {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0 = self.0.checked_sub(text.len()).ok_or(std::fmt::Error)?;
            Ok(())
        }
    }
    for room in [0, 30, 100, 200] {
        let failed = recorded(Full(room), Extent::All, &BOOT, 0).map(drop);
        assert_eq!(failed, Err(Unwritten::Failed), "{room}");
    }
    assert!(recorded(Full(10_000), Extent::All, &BOOT, 0).is_ok());
}
