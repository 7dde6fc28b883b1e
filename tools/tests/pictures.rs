//! The pictures in `docs/pictures` are what the kernel does: each is drawn again, from the events of a fresh run, or from the cut
//! beside it.
//!
//! `make build` builds the kernel, `tools/setup.sh debug` installs a gdb, `make pictures` draws the committed ones.

mod common;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::BufReader;

use lazy_mmu_tools::pictures::areas::{AREAS, Stretch};
use lazy_mmu_tools::pictures::tables::{self, Tables};
use lazy_mmu_tools::pictures::{self, Find, matrix, migration, space, wait};
use lazy_mmu_tools::places::WorkDir;
use lazy_mmu_tools::timeline::{TimeLine, svg};
use lazy_mmu_tools::{Boot, events, faults, places};
use mmu_check::What;
use mmu_check::trace::{Entry, Reader};
use stage1_paging::{Desc, Level};

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

/// The tables that the committed address space is drawn from.
fn committed_tables() -> [Tables; 2] {
    let cut = places::repository().join("docs/pictures/address-space.cut");
    tables::parse(&fs::read_to_string(cut).unwrap()).unwrap()
}

#[test]
fn the_address_space_is_drawn_from_its_cut() {
    is_committed("address-space", &space::draw(&committed_tables()));
}

/// What does not depend on how large the compiler makes the image. In the linear map and in the image that is what is mapped, in its
/// order; elsewhere it is all that is said.
fn fixed(tables: &Tables, area: usize) -> Vec<String> {
    let name = AREAS[area].1;
    let has_image = name.starts_with("linear map") || name == "the image";
    let rows = tables.rows(area).into_iter();
    let mut all: Vec<String> = rows
        .filter_map(|row| match row.stretch {
            Stretch::Gap(_) if has_image => None,
            Stretch::Mapped {
                each, times, name, ..
            } if has_image => {
                // Between free frames anything may repeat.
                let named = name.map(|name| (times, name));
                Some(format!("{named:?} {:?}", each.desc.prot()))
            }
            stretch => Some(format!("{:x} {:?}", row.at, tables.words(&stretch))),
        })
        .collect();
    // How many gaps the linear map has depends on it as well.
    all.dedup();
    all
}

/// The valid leaves of the upper half as the run begins, by the events.
fn leaves_by_events(kept: &WorkDir) -> BTreeSet<(u64, Level, u64)> {
    let trace = File::open(kept.path().join(events::FILE)).unwrap();
    let stated = Reader::new(BufReader::new(trace)).map_while(|entry| match entry.unwrap() {
        Entry::Stated(event) => Some(event),
        _ => None,
    });
    let stores = stated.flat_map(|event| event.singles().collect::<Vec<_>>());
    let leaves = stores.filter_map(|event| match event.what {
        What::Store { va, level, new, .. } if va >> 63 == 1 => {
            let level = Level::ALL[usize::from(level)];
            Desc::from_bits(new)
                .is_leaf(level)
                .then_some((va, level, new))
        }
        _ => None,
    });
    leaves.collect()
}

#[test]
fn the_address_space_is_that_of_a_boot_and_of_its_events() {
    let kept = WorkDir::new().unwrap();
    let boot = Boot {
        args: tables::ARGS.split(' ').map(str::to_owned).collect(),
        smp: tables::SMP,
        keep: Some(kept.path().to_owned()),
        ..Boot::new(places::kernel("lazy-mmu-kernel"))
    };
    let read = tables::parse(&tables::stop(&boot).unwrap()).unwrap();
    let committed = committed_tables();
    for (side, committed) in read.iter().zip(&committed) {
        assert_eq!((side.mair, side.wxn), (committed.mair, committed.wxn));
        for area in 0..AREAS.len() {
            assert_eq!(fixed(side, area), fixed(committed, area));
        }
    }
    let [before, after] = read;
    assert_eq!(before.leaves, committed[0].leaves);
    let by_gdb: BTreeSet<_> = after
        .leaves
        .iter()
        .flat_map(|leaves| leaves.singles())
        .collect();
    assert!(by_gdb.len() > 5000);
    assert!(
        leaves_by_events(&kept) == by_gdb,
        "the events have other leaves"
    );
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
