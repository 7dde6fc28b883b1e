//! Real boots of the guest in `tools/guest`: every verdict, the time limit, the report, and above all the plugin, whose
//! counts are compared with those made by hand in the guest's `windows.s`.
//!
//! `make build` builds the guest.

use std::thread;
use std::time::Duration;

use lazy_mmu_tools::places::WorkDir;
use lazy_mmu_tools::witness::Window;
use lazy_mmu_tools::{Boot, Outcome, Verdict, Witnessing, places, report};

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
fn a_status_of_0_is_good_only_with_the_mark() {
    let outcome = run("print=begin unmarked");
    assert_eq!(outcome.verdict, Verdict::NoBoot);
    assert!(says(&outcome, "not at the kernel's word"));
    let outcome = run("marked=1");
    assert_eq!(outcome.verdict, Verdict::CheckFailed);
    assert!(says(&outcome, "mark.txt says verdict 1"));
    // A kernel that fails before it has read its command line has no mark to show.
    for code in 1..=5 {
        let outcome = run(&format!("unmarked exit={code}"));
        assert_eq!(outcome.verdict, Verdict::from_code(code));
    }
}

#[test]
fn a_kernel_that_prints_without_end_is_ended() {
    let outcome = Boot {
        timeout: Some(Duration::from_secs(3)),
        ..boot("loud")
    }
    .run()
    .unwrap();
    assert_eq!(outcome.verdict, Verdict::Timeout);
    // The last line may be cut anywhere.
    assert!(says(&outcome, "it had come to: a"));
}

#[test]
fn words_arrive_as_they_are() {
    let text = r#"print=a,b,,c print="q;$x`'#\ print=file=/x,y=on"#;
    let outcome = run(text);
    let said = text.replace("print=", "").replace(' ', "\n") + "\n";
    assert_eq!((outcome.verdict, outcome.console), (Verdict::Good, said));
}

fn says(outcome: &Outcome, text: &str) -> bool {
    outcome.notes.iter().any(|note| note.contains(text))
}

#[test]
fn the_rows_that_were_done_are_kept() {
    for (args, verdict) in [
        ("report=begun print=progress: hang", Verdict::Timeout),
        ("report=begun exit=1", Verdict::CheckFailed),
        ("report=good exit=3", Verdict::Panic),
        ("report=good unmarked", Verdict::NoBoot),
        ("report=good lie=0", Verdict::CheckFailed),
    ] {
        let kept = WorkDir::new().unwrap();
        let outcome = Boot {
            timeout: Some(Duration::from_secs(5)),
            keep: Some(kept.path().to_owned()),
            ..boot(args)
        }
        .run()
        .unwrap();
        assert_eq!(outcome.verdict, verdict, "{args}: {outcome:?}");
        let text = kept.read("report.json").unwrap();
        let report = report::check(&text).unwrap();
        assert!(!report.complete && report.rows.len() == 1, "{text}");
        assert!(text.contains(&format!("\"verdict\": {}", verdict.code())));
        assert!(says(&outcome, "report.json: the row that was done"));
        assert!(says(&outcome, "written: "), "{:?}", outcome.notes);
    }
}

#[test]
fn a_good_end_with_half_a_report_is_none() {
    let outcome = run("report=begun");
    assert_eq!(outcome.verdict, Verdict::CheckFailed);
    assert!(says(&outcome, "report.json: it is not complete"));
}

/// One note is all that is wanted: a kernel that did not come to its end has written nothing for the witness.
#[test]
fn the_witness_is_silent_about_what_did_not_end() {
    for (args, verdict) in [
        ("unfit hang", Verdict::Timeout),
        ("unfit unmarked", Verdict::NoBoot),
        ("unfit exit=3", Verdict::Panic),
    ] {
        let outcome = Boot {
            timeout: Some(Duration::from_secs(5)),
            ..boot(args)
        }
        .run()
        .unwrap();
        assert_eq!(outcome.verdict, verdict);
        assert!(!says(&outcome, "witness"), "{:?}", outcome.notes);
    }
}

#[test]
fn two_at_once_keep_two_reports() {
    let kept = WorkDir::new().unwrap();
    let with = |args: &str| Boot {
        timeout: Some(Duration::from_secs(10)),
        keep: Some(kept.path().to_owned()),
        ..boot(args)
    };
    let long = with("report=begun hang");
    let (long, short) = thread::scope(|scope| {
        let long = scope.spawn(|| long.run().unwrap());
        while !kept.path().join("results.lock").exists() {
            thread::sleep(Duration::from_millis(10));
        }
        thread::sleep(Duration::from_millis(500));
        let short = with("report=good").run().unwrap();
        (long.join().unwrap(), short)
    });
    let verdicts = (long.verdict, short.verdict);
    assert_eq!(verdicts, (Verdict::Timeout, Verdict::Good));
    let complete = |name| report::check(&kept.read(name).unwrap()).unwrap().complete;
    assert!(!complete("report.json") && complete("beside-2/report.json"));
    assert!(says(&short, "another boot has") && says(&short, "beside-2/report.json"));
    assert!(!says(&long, "another boot has"));
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
        let note_text = format!("witness: DIFFERS, window {window}, ");
        assert!(
            outcome
                .notes
                .iter()
                .any(|note| note.starts_with(&note_text)),
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
    for note_text in [
        "window 1 was ended without a start",
        "window 0, tag 0x0, was started and never ended",
    ] {
        assert!(
            outcome.notes.iter().any(|note| note.contains(note_text)),
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
