//! The pictures in `docs/pictures` are what the kernel does: each is drawn again, from the events of a fresh run.
//!
//! `make build` builds the kernel, `make pictures` draws the committed ones.

use std::fs;
use std::time::Duration;

use lazy_mmu_tools::places::WorkDir;
use lazy_mmu_tools::timeline::{TimeLine, svg};
use lazy_mmu_tools::{Boot, Verdict, Witnessing, events, places};

/// Boots the kernel with these words; its files are in the directory.
fn boot(args: &str) -> WorkDir {
    let kept = WorkDir::new().unwrap();
    let outcome = Boot {
        args: args.split_whitespace().map(str::to_owned).collect(),
        witness: Witnessing::Required,
        keep: Some(kept.path().to_owned()),
        timeout: Some(Duration::from_secs(300)),
        ..Boot::new(places::kernel("lazy-mmu-kernel"))
    }
    .run()
    .unwrap();
    assert_eq!(outcome.verdict, Verdict::Good, "{outcome:?}");
    kept
}

fn picture(kept: &WorkDir, run: &str) -> TimeLine {
    TimeLine::read(&kept.path().join(events::FILE), run).unwrap()
}

/// A picture of other counts than the report's would be one of something else.
fn as_the_report_says(kept: &WorkDir, line: &TimeLine) {
    let report: serde_json::Value =
        serde_json::from_str(&kept.read("report.json").unwrap()).unwrap();
    let rows = report["rows"].as_array().unwrap();
    let rows: Vec<_> = rows.iter().filter(|row| row["run"] == line.run).collect();
    assert_eq!(line.lanes.len(), rows.len());
    for (lane, row) in line.lanes.iter().zip(rows) {
        assert_eq!(lane.policy.word(), row["policy"]);
        assert_eq!(lane.pairs() as u64, row["pairs"], "{}", lane.policy.word());
        let (outer, inner) = lane.stores();
        assert_eq!((outer + inner) as u64, row["stores"]);
        let depth = lane.depths.iter().copied().max();
        assert_eq!(depth.map(u64::from), row["depth"].as_u64());
        // The mode has paid for everything by the end of the window.
        assert!(lane.pending.iter().all(|(_, paid)| paid.is_some()));
    }
}

#[test]
fn the_debt_time_line_is_that_of_a_run() {
    let kept = boot("run=vmap pages=12 k=4 check=on trace=on");
    let line = picture(&kept, "vmap");
    assert_eq!(line.lanes.len(), 5);
    as_the_report_says(&kept, &line);
    let committed = places::repository().join("docs/pictures/debt-time-line.svg");
    let committed = fs::read_to_string(committed).unwrap();
    assert!(
        svg::draw(&line) == committed,
        "docs/pictures/debt-time-line.svg is not what the kernel does: `make pictures` draws it anew"
    );
}

/// Every workload of one task has a time line, whatever it does: one that invalidates too, and one that is too long.
#[test]
fn every_workload_can_be_drawn() {
    let kept = boot("run=vmap,remap-kernel,remap-task,zap,protect pages=96 k=16 check=on trace=on");
    for run in ["vmap", "remap-kernel", "remap-task", "zap", "protect"] {
        let line = picture(&kept, run);
        let drawn = svg::draw(&line);
        assert!(
            drawn.contains(&format!("the first {} of", svg::STEPS_MAX)),
            "{run}"
        );
        if run == "vmap" {
            as_the_report_says(&kept, &line);
        }
    }
}
