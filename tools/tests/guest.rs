//! Real boots of the guest in `tools/guest`: every verdict, the time limit, the report, and above all the plugin, whose
//! counts are compared with those made by hand in the guest's `windows.s`.
//!
//! `make build` builds the guest.

use std::time::Duration;

use lazy_mmu_tools::witness::Window;
use lazy_mmu_tools::{Boot, Outcome, Verdict, Witnessing, places};

fn boot(args: &str) -> Boot {
    Boot {
        args: args.split_whitespace().map(str::to_owned).collect(),
        witness: Witnessing::Required,
        timeout: Some(Duration::from_secs(60)),
        ..Boot::new(places::kernel("lazy-mmu-guest"))
    }
}

fn run(args: &str) -> Outcome {
    boot(args).run().unwrap()
}

fn instructions(windows: &[Window]) -> Vec<(u64, u64)> {
    windows
        .iter()
        .map(|w| (w.tag, w.instructions.unwrap()))
        .collect()
}

#[test]
fn the_guests_status_is_the_verdict() {
    for code in (0..=5).chain([77]) {
        let outcome = run(&format!("exit={code}"));
        assert_eq!(outcome.verdict, Verdict::from_code(code), "{outcome:?}");
    }
    assert_eq!(run("banana").verdict, Verdict::BadArguments);
}

#[test]
fn the_console_is_kept() {
    let outcome = run("print=one print=two");
    assert_eq!(
        (outcome.verdict, outcome.console.as_str()),
        (Verdict::Good, "one\ntwo\n")
    );
}

#[test]
fn the_time_is_bounded() {
    let outcome = Boot {
        timeout: Some(Duration::from_secs(5)),
        ..boot("print=begin hang")
    }
    .run()
    .unwrap();
    assert_eq!(
        (outcome.verdict, outcome.console.as_str()),
        (Verdict::Timeout, "begin\n")
    );
}

#[test]
fn a_qemu_that_does_not_start_is_no_failed_check() {
    let outcome = Boot {
        cpu: "banana".to_owned(),
        ..boot("")
    }
    .run()
    .unwrap();
    assert_eq!(outcome.verdict, Verdict::NoBoot);
    assert!(
        outcome.notes.iter().any(|note| note.contains("banana")),
        "{:?}",
        outcome.notes
    );
}

#[test]
fn a_report_is_checked() {
    let good = run("report=good");
    let rows = good.rows.map(|rows| rows.len());
    assert_eq!((good.verdict, rows), (Verdict::Good, Some(1)));
    let bad = run("report=bad");
    assert_eq!((bad.verdict, bad.rows), (Verdict::CheckFailed, None));
    assert_eq!(run("report=bad exit=3").verdict, Verdict::Panic);
}

#[test]
fn the_plugin_counts_exactly() {
    let by_hand = [
        (0xba, 24),
        (0x100, 4001),
        (0x7, 12),
        (0xd1, 7),
        (0xd2, 4),
        (0xf, 2 + 1 + 4 + 3),
        (0xc, 9),
    ];
    for icount in [None, Some("shift=0".to_owned())] {
        let outcome = Boot {
            icount,
            ..boot("windows")
        }
        .run()
        .unwrap();
        // The barriers and TLBIs: the guest has written them to windows.txt, by hand.
        assert_eq!(outcome.verdict, Verdict::Good, "{:#?}", outcome.notes);
        assert_eq!(instructions(outcome.windows.as_deref().unwrap()), by_hand);
    }
}

#[test]
fn a_count_that_is_wrong_by_one_fails() {
    for window in 0..7 {
        let outcome = run(&format!("lie={window}"));
        assert_eq!(outcome.verdict, Verdict::CheckFailed);
        let told = format!("witness: DIFFERS, window {window}, ");
        assert!(
            outcome.notes.iter().any(|note| note.starts_with(&told)),
            "{:?}",
            outcome.notes
        );
    }
    // A boot that has failed by itself keeps its verdict.
    assert_eq!(run("lie=0 exit=4").verdict, Verdict::Exception);
}

#[test]
fn marks_that_do_not_fit_fail() {
    let outcome = run("unfit");
    assert_eq!(outcome.verdict, Verdict::CheckFailed);
    for told in [
        "window 1 was ended without a start",
        "window 0, tag 0x0, was started and never ended",
    ] {
        assert!(
            outcome.notes.iter().any(|note| note.contains(told)),
            "{:?}",
            outcome.notes
        );
    }
}

#[test]
fn two_cores_in_one_window() {
    let two = Boot {
        smp: 2,
        ..boot("cores=20000")
    };
    for icount in [None, Some("shift=0".to_owned())] {
        let outcome = Boot {
            icount,
            ..two.clone()
        }
        .run()
        .unwrap();
        assert_eq!(outcome.verdict, Verdict::Good, "{:#?}", outcome.notes);
        let all = outcome.windows.as_deref().map(instructions).unwrap();
        assert!(
            matches!(all[..], [(0x2c, n)] if n > 2 * 20_000 * 6),
            "{all:?}"
        );
    }
}

#[test]
fn without_a_witness_nothing_is_compared() {
    let outcome = Boot {
        witness: Witnessing::Off,
        ..boot("lie=0")
    }
    .run()
    .unwrap();
    assert_eq!((outcome.verdict, outcome.windows), (Verdict::Good, None));
}
