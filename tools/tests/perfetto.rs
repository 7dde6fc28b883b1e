//! `trace.json`: slices that are nested, flows that have two ends, times that do not go back. Read with serde_json, for traces made by
//! hand and for that of a run.
//!
//! `make build` builds the kernel.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use lazy_mmu_tools::places::WorkDir;
use lazy_mmu_tools::{Witnessing, events, perfetto};
use serde_json::{Value, json};

/// What a file has: slices as `track: name begin end`, in the order of their ends; everything else as `track: kind name`.
struct Shown {
    slices: Vec<String>,
    others: Vec<String>,
    /// What is told of each point in time.
    instants: Vec<Value>,
    written: perfetto::Written,
    about: Value,
}

/// Converts the trace in `dir`, and checks what every file must be.
fn convert(dir: &WorkDir, bytes: usize) -> Shown {
    let (from, to) = (
        dir.path().join(events::FILE),
        dir.path().join(perfetto::FILE),
    );
    let written = perfetto::write(&from, &to, bytes).unwrap();
    let text = fs::read_to_string(&to).unwrap();
    assert_eq!(text.len(), written.bytes);
    let file: Value = serde_json::from_str(&text).unwrap();
    let (mut names, mut open, mut now) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut flows = BTreeMap::<u64, Vec<(String, u64, String)>>::new();
    let (mut slices, mut others, mut instants) = (Vec::new(), Vec::new(), Vec::new());
    for event in file["traceEvents"].as_array().unwrap() {
        let track = (event["pid"].as_u64().unwrap(), event["tid"].as_u64());
        let kind = event["ph"].as_str().unwrap();
        if kind == "M" {
            if track.1.is_some() {
                names.insert(track, event["args"]["name"].as_str().unwrap().to_owned());
            }
            continue;
        }
        let name = &names[&track];
        let time = (event["ts"].as_f64().unwrap() * 1000.0).round() as u64;
        let before = now.insert(track, time).unwrap_or(0);
        assert!(before <= time, "{name} goes back: {event}");
        let stack: &mut Vec<(String, u64)> = open.entry(track).or_default();
        let what = event["name"].as_str().unwrap_or("").to_owned();
        match kind {
            "B" => stack.push((what, time)),
            "E" => {
                let (what, begun) = stack
                    .pop()
                    .unwrap_or_else(|| panic!("an end of nothing: {event}"));
                slices.push(format!("{name}: {what} {begun} {time}"));
            }
            "s" | "f" => {
                assert!(
                    !stack.is_empty(),
                    "a flow that begins or ends in no slice: {event}"
                );
                let id = event["id"].as_u64().unwrap();
                flows
                    .entry(id)
                    .or_default()
                    .push((kind.to_owned(), time, name.clone()));
            }
            "C" => others.push(format!("{name}: {what} {}", event["args"])),
            _ => {
                others.push(format!("{name}: {what}"));
                instants.push(event["args"].clone());
            }
        }
    }
    for (track, stack) in open {
        assert!(
            stack.is_empty(),
            "{track:?} has slices without an end: {stack:?}"
        );
    }
    for (id, ends) in flows {
        let [(begin, left, from), (end, arrived, to)] = ends.as_slice() else {
            panic!("flow {id}: {ends:?}");
        };
        assert_eq!((begin.as_str(), end.as_str()), ("s", "f"));
        assert!(left <= arrived && from != to, "flow {id}: {ends:?}");
        others.push(format!("{from} -> {to}"));
    }
    Shown {
        slices,
        others,
        instants,
        written,
        about: file["otherData"].clone(),
    }
}

/// A trace of these events: core, task, what; a microsecond from one to the next.
fn by_hand(lines: &[&str], end: bool) -> WorkDir {
    let mut text = "mmu-check trace 1 clock=1000000\nrun first=0 stated=0 before=0\n".to_owned();
    for (number, line) in lines.iter().enumerate() {
        let [core, task, what] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        text += &format!(
            "{number} time={} core={core} task={task} {what}\n",
            number + 1
        );
    }
    if end {
        text += &format!("end events={}\n", lines.len());
    }
    let dir = WorkDir::new().unwrap();
    fs::write(dir.path().join(events::FILE), text).unwrap();
    dir
}

const BYTES: usize = 1_000_000;

#[test]
fn sections_pauses_and_debt_are_on_the_tasks_track() {
    let dir = by_hand(
        &[
            "0 1 window tag=0x130 open=1",
            "0 1 call enable",
            "0 1 store slot=0x3000 va=0x0 level=3 old=0x0 new=0x40000707",
            "0 1 owe",
            "0 1 reenter begin=1",
            "0 1 call enable",
            "0 1 dsb ishst",
            "0 1 isb",
            "0 1 call disable",
            "0 1 reenter begin=0",
            "0 1 call pause",
            "0 1 call resume",
            "0 1 call disable",
            "0 1 window tag=0x130 open=0",
        ],
        true,
    );
    let shown = convert(&dir, BYTES);
    assert_eq!(
        shown.slices,
        [
            "task 1: section, depth 2 5000 8000",
            "task 1: allocator 4000 9000",
            "task 1: pause 10000 11000",
            "task 1: section, depth 1 1000 12000",
            "task 1: window vmap v3 0 13000",
            "core 0: task 1 0 13000",
        ]
    );
    assert_eq!(
        shown.others,
        [
            "task 1: store",
            r#"task 1: owed, task 1 {"stores":1}"#,
            r#"core 0: barriers, core 0 {"dsb":1,"isb":0,"tlbi":0}"#,
            "task 1: pair",
            r#"task 1: owed, task 1 {"stores":0}"#,
        ]
    );
    assert_eq!((shown.written.events, shown.written.left_out), (14, 0));
    assert!(shown.written.cut.is_none());
}

#[test]
fn what_is_counted_and_stored_is_told_as_it_was() {
    let dir = by_hand(
        &[
            "0 1 store slot=0x3008 va=0xffff000000001000 level=3 old=0x0 new=0x60000040000707",
            "0 1 isb",
            "0 1 isb",
            "0 1 isb",
            "0 1 tlbi vmalle1is 0x0",
            "0 1 tlbi vmalle1is 0x0",
            "0 1 dsb ish",
        ],
        true,
    );
    let shown = convert(&dir, BYTES);
    let counted = r#"barriers, core 0 {"dsb":1,"isb":3,"tlbi":2}"#;
    assert!(
        shown.others.iter().any(|other| other.ends_with(counted)),
        "{:?}",
        shown.others
    );
    let store =
        json!({"va": "0xffff000000001000", "level": 3, "old": "0x0", "new": "0x60000040000707"});
    assert!(shown.instants.contains(&store), "{:?}", shown.instants);
}

/// `trace TRACE` writes what it can of a trace that stops at a bad line, and that is no success.
#[test]
fn a_cut_trace_is_a_failure() {
    for (line, status) in [("0 1 isb", 0), ("0 1 nothing", 1)] {
        let dir = by_hand(&["0 1 isb", line], true);
        let output = Command::new(env!("CARGO_BIN_EXE_trace"))
            .arg(dir.path().join(events::FILE))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        assert!(dir.path().join(perfetto::FILE).exists());
    }
}

#[test]
fn a_migration_is_an_arrow_and_its_debt_goes_along() {
    let dir = by_hand(
        &[
            "0 1 call enable",
            "0 1 owe",
            "0 1 exception-entry",
            "0 1 irq-enter",
            "0 1 irq-exit",
            "0 1 dsb ish",
            "0 1 switch to=2",
            "0 1 isb",
            "1 3 dsb ish",
            "1 3 switch to=1",
            "1 3 isb",
            "1 1 exception-return",
            "1 1 dsb ishst",
            "1 1 isb",
            "1 1 call disable",
            "1 1 dsb ish",
            "1 1 switch to=3",
            // Back on the same core: no arrow.
            "1 3 switch to=1",
        ],
        true,
    );
    let shown = convert(&dir, BYTES);
    let owed = shown.others.iter().filter(|other| other.contains("owed"));
    assert_eq!(
        owed.collect::<Vec<_>>(),
        [
            r#"task 1: owed, task 1 {"stores":1}"#,
            r#"task 1: owed, task 1 {"stores":0}"#
        ]
    );
    let arrows = shown.others.iter().filter(|other| other.contains("->"));
    assert_eq!(arrows.collect::<Vec<_>>(), ["core 0 -> core 1"]);
    for slice in [
        "core 0: interrupt 3000 4000",
        "core 0: task 1 0 6000",
        "task 1: section, depth 1 0 14000",
    ] {
        assert!(
            shown.slices.iter().any(|other| other == slice),
            "{slice}: {:?}",
            shown.slices
        );
    }
    assert!(!shown.slices.iter().any(|slice| slice.contains("exception")));
}

#[test]
fn an_access_waits_while_an_entry_is_broken() {
    let dir = by_hand(
        &[
            "0 1 store slot=0x3000 va=0x5000 level=3 old=0x40000707 new=0x40000706",
            "1 2 access read works va=0x5010",
            "1 2 exception-entry",
            "0 1 tlbi vaae1is 0x5",
            "0 1 store slot=0x3000 va=0x5000 level=3 old=0x40000706 new=0x40001707",
            "1 2 isb",
            "1 2 exception-return",
            // A probe's fault is no news; one that nobody expected is, and no wait by now.
            "1 2 access read faults va=0x6000",
            "1 2 exception-entry",
            "1 2 exception-return",
            "1 2 access read works va=0x5010",
            "1 2 exception-entry",
            "1 2 exception-return",
            // Zapped, and mapped again: not broken.
            "0 1 store slot=0x3000 va=0x5000 level=3 old=0x40001707 new=0x0",
            "0 1 store slot=0x3000 va=0x5000 level=3 old=0x0 new=0x40001707",
        ],
        true,
    );
    let shown = convert(&dir, BYTES);
    let slices = shown
        .slices
        .iter()
        .filter(|slice| !slice.starts_with("core"));
    assert_eq!(
        slices.collect::<Vec<_>>(),
        [
            "task 1: broken, not made 0 4000",
            "task 2: break-before-make wait 2000 6000",
            "task 2: exception 11000 12000",
        ]
    );
    assert!(
        shown.others.contains(&"task 1: tlbi vaae1is".to_owned()),
        "{:?}",
        shown.others
    );
}

/// What began before the trace, and what its end leaves open.
#[test]
fn slices_without_a_begin_or_an_end_do_no_harm() {
    let lines = [
        "0 1 call disable",
        "0 1 irq-exit",
        "0 1 exception-return",
        "0 1 call enable",
    ];
    let shown = convert(&by_hand(&lines, false), BYTES);
    assert_eq!(
        shown.slices,
        [
            "core 0: task 1 0 3000",
            "task 1: section, depth 1 3000 3000"
        ]
    );
    // The trace has no end, as that of a kernel that panicked: what there is is written, and why there is no more.
    let why = shown.written.cut.unwrap().to_string();
    assert!(
        why.contains("line 7: the trace ends without its `end` line"),
        "{why}"
    );
}

#[test]
fn what_cannot_be_read_is_an_error() {
    let dir = WorkDir::new().unwrap();
    let to = dir.path().join(perfetto::FILE);
    for text in [None, Some(""), Some("nothing\n")] {
        let from = dir.path().join(events::FILE);
        if let Some(text) = text {
            fs::write(&from, text).unwrap();
        }
        let why = perfetto::write(&from, &to, BYTES).unwrap_err().to_string();
        assert!(why.contains("events.trace"), "{why}");
        assert!(!to.exists());
    }
}

/// Tasks that migrate, preempted at any time; and in a file of any size.
#[test]
fn a_run_of_many_tasks_is_nested_and_bounded() {
    let args = "run=mixed tasks=6 policy=v3,linux7 pages=32 k=8 check=on trace=on";
    let (_, kept) = common::boot(args, |boot| {
        boot.smp = 2;
        boot.witness = Witnessing::Off;
        boot.timeout = Some(Duration::from_secs(600));
    });
    let whole = convert(&kept, perfetto::BYTES_MAX);
    assert_eq!(
        (whole.written.left_out, &whole.about["left_out"]),
        (0, &0.into())
    );
    for wanted in [
        "section, depth 2",
        "interrupt",
        "allocator",
        "window mixed v3",
        "window mixed linux7",
    ] {
        assert!(
            whole.slices.iter().any(|slice| slice.contains(wanted)),
            "{wanted}"
        );
    }
    for wanted in [
        "core 0 -> core 1",
        ": pair",
        ": store",
        ": tlbi",
        "owed, task",
    ] {
        assert!(
            whole.others.iter().any(|other| other.contains(wanted)),
            "{wanted}"
        );
    }
    for bytes in [whole.written.bytes / 2, 100_000, 0] {
        let part = convert(&kept, bytes);
        assert_eq!(part.written.events, whole.written.events);
        assert!(part.written.left_out > 0);
        // The names of the tracks, and what was open, come on top.
        assert!(
            part.written.bytes < bytes + 20_000,
            "{}",
            part.written.bytes
        );
        // Each window is begun, however small its share.
        for window in ["window mixed v3", "window mixed linux7"] {
            assert!(
                part.slices.iter().any(|slice| slice.contains(window)),
                "{window} of {bytes}"
            );
        }
    }
}
