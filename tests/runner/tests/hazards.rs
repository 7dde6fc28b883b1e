//! The hazards are twenty: on their page, which the kernel prints from, in its table, and among the boots.

use std::fs;

use lazy_mmu_tools::places;

/// How many there are: the list in Linux's record that they come from has so many.
const HAZARDS: usize = 20;

/// Those that must be caught with a fault in the kernel itself, and the fault.
const INJECTED: [(usize, &str); 4] = [
    (3, "inner-exit-pays-nothing"),
    (6, "switch-hook-on-current"),
    (13, "publish-no-isb"),
    (19, "second-enter-ignored"),
];

/// The sections of the page: what stands behind each `## `.
fn sections(page: &str) -> impl Iterator<Item = &str> {
    page.split("\n## ").skip(1)
}

/// What is wrong with the section of hazard `number`, which is as the kernel takes it apart; nothing if it is right.
fn wrong(number: usize, section: &str, cores: usize) -> Option<String> {
    let smp = if cores > 1 { " SMP=2" } else { "" };
    let [title, story, points] = section.splitn(3, "\n\n").collect::<Vec<_>>()[..] else {
        return Some("it has no story and no points".to_owned());
    };
    let starts = [
        "- **Must hold**: ",
        "- **Who can see it**: ",
        "- **Here**: ",
    ];
    let command = format!("- `make run ARGS=\"run=H{number}\"{smp}`");
    let points: Vec<&str> = points.trim_end().lines().collect();
    if !title.starts_with(&format!("H{number}: ")) {
        Some(format!("it is called {title}"))
    } else if story.lines().count() != 3 {
        Some("its story has not three lines".to_owned())
    } else if points.len() != 4 || points[3] != command {
        Some(format!("it does not end with {command}"))
    } else {
        let ends = |(point, start): (&&str, &str)| point.starts_with(start) && point.ends_with('.');
        let good = points.iter().zip(starts).all(ends);
        (!good).then(|| "a point is missing, or ends without a full stop".to_owned())
    }
}

fn read(file: &str) -> String {
    fs::read_to_string(places::repository().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// How many cores each hazard takes, by the kernel's table.
fn table() -> Vec<usize> {
    let text = read("kernel/src/workloads/hazards/mod.rs");
    let (_, table) = text.split_once("const HAZARDS").expect("the table");
    let (table, _) = table.split_once("];\n").expect("its end");
    let entries = table
        .lines()
        .filter_map(|line| line.trim().strip_prefix('('));
    let cores = entries.filter_map(|entry| entry.split_once(", ")?.0.parse().ok());
    cores.collect()
}

#[test]
fn the_page_has_what_the_kernel_runs() {
    let (table, page) = (table(), read("docs/hazards.md"));
    assert_eq!(table.len(), HAZARDS, "hazards in the kernel");
    assert_eq!(sections(&page).count(), HAZARDS, "sections of the page");
    for (number, (section, cores)) in (1..).zip(sections(&page).zip(table)) {
        if let Some(wrong) = wrong(number, section, cores) {
            panic!("docs/hazards.md, H{number}: {wrong}");
        }
    }
}

#[test]
fn a_section_of_another_form_is_refused() {
    let right = "H3: a\n\nb\nc\nd\n\n- **Must hold**: e.\n- **Who can see it**: f.\n- **Here**: g.\n- `make run ARGS=\"run=H3\"`\n";
    assert_eq!(wrong(3, right, 1), None);
    assert!(wrong(4, right, 1).is_some() && wrong(3, right, 2).is_some());
    for (from, to) in [
        ("c\n", ""),
        ("e.", "e"),
        ("**Here**", "Here"),
        ("\n\nb", "\nb"),
    ] {
        let other = right.replacen(from, to, 1);
        assert!(wrong(3, &other, 1).is_some(), "{other}");
    }
}

#[test]
fn every_hazard_is_booted_and_what_is_injected_is_caught() {
    let product = read("tests/product.boots");
    for number in 1..=HAZARDS {
        let args = format!("args=\"run=H{number}\" ");
        let holds = format!("expect=\"H{number} under v3: holds\"");
        let booted = |line: &str| line.starts_with("@boot") && line.contains(&args);
        let line = product.lines().find(|line| booted(line));
        assert!(
            line.is_some_and(|line| line.contains(&holds)),
            "H{number} is not booted by itself, or nothing is expected of it"
        );
    }
    let faults = read("tests/faults.boots");
    for (number, fault) in INJECTED {
        let args = format!("args=\"run=H{number} fault={fault}\"");
        let line = faults.lines().find(|line| line.contains(&args));
        assert!(
            line.is_some_and(|line| line.contains("verdict=1") && line.contains("expect=")),
            "{fault} is not injected into H{number}, or nobody is expected to see it"
        );
    }
}
