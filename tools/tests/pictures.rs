//! The pictures in `docs/pictures` are what the kernel does: each is drawn again, from the events of a fresh run, or from the cut
//! beside it.
//!
//! `make build` builds the kernel, `make pictures` draws the committed ones.

mod common;

use std::fs;

use lazy_mmu_tools::pictures::{self, Find, matrix, migration, wait};
use lazy_mmu_tools::places::WorkDir;
use lazy_mmu_tools::timeline::{TimeLine, svg};
use lazy_mmu_tools::{events, faults, places};

/// Boots the kernel with these words; its files are in the directory.
fn boot(args: &str) -> WorkDir {
    boot_on(1, args)
}

/// On several cores by a clock that counts instructions, as `make pictures` does.
fn boot_on(smp: u32, args: &str) -> WorkDir {
    let (_, kept) = common::boot(args, |boot| {
        boot.smp = smp;
        boot.icount = (smp > 1).then(|| "shift=0".to_owned());
    });
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
    is_committed("debt-time-line", &svg::draw(&line));
}

fn is_committed(name: &str, drawn: &str) {
    let file = places::repository().join(format!("docs/pictures/{name}.svg"));
    let same = fs::read_to_string(file).unwrap() == drawn;
    assert!(
        same,
        "docs/pictures/{name}.svg is not what is drawn now: `make pictures` draws it anew"
    );
}

#[test]
fn who_sees_which_fault_is_what_the_boots_say() {
    is_committed("faults", &matrix::draw(&faults::all().unwrap()));
}

#[test]
fn what_two_cores_do_is_drawn_from_its_cut() {
    let finds: [(&str, Find); 2] = [
        ("migration", migration::find),
        ("break-before-make", wait::find),
    ];
    for (name, find) in finds {
        let cut = places::repository().join(format!("docs/pictures/{name}.cut"));
        let events = pictures::events(&cut).unwrap();
        let (range, story) = find(&events).unwrap();
        assert_eq!(
            range,
            0..events.len(),
            "{name}: the cut has more than its story"
        );
        assert_eq!(pictures::cut(&events), fs::read_to_string(&cut).unwrap());
        is_committed(name, &story.draw());
    }
}

/// It happens: in a fresh run too, though each time otherwise.
#[test]
fn a_debt_migrates_in_a_run() {
    for _ in 0..5 {
        let kept = boot_on(
            2,
            "run=preempt policy=v3 tasks=3 pages=16 k=4 check=on trace=on",
        );
        let events = pictures::events(&kept.path().join(events::FILE)).unwrap();
        if let Some((_, story)) = migration::find(&events) {
            let cores = [story.shades.first(), story.shades.last()];
            let cores = cores.map(|span| span.map(|span| span.core));
            return assert!(cores[0].is_some() && cores[0] != cores[1], "{story:?}");
        }
    }
    panic!("no debt migrated in five runs");
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
