//! `report.html`: every figure on it is the JSON's, every plot shows its table, and it needs nothing else.
//!
//! `make build` builds the kernel.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use lazy_mmu_tools::bench::data;
use lazy_mmu_tools::page::{self, Bench, Counted, Growth, Page};
use lazy_mmu_tools::places::{self, WorkDir};
use serde_json::{Value, json};

/// The tables of a page: the cells of each row.
fn tables(html: &str) -> Vec<Vec<Vec<String>>> {
    let tables = html.split("<table>").skip(1);
    tables
        .map(|table| {
            let table = table.split("</table>").next().unwrap();
            let rows = table.split("<tr>").skip(1);
            rows.map(|row| cells(row.split("</tr>").next().unwrap()))
                .collect()
        })
        .collect()
}

/// Between a `>` and the end tag of a cell.
fn cells(row: &str) -> Vec<String> {
    let row = row.replace("</th>", "</td>");
    let cells = row.split("</td>").filter(|cell| cell.contains("<t"));
    cells
        .map(|cell| cell.rsplit('>').next().unwrap().to_owned())
        .collect()
}

fn row(policy: &str, pages: u64, k: u64, pairs: u64) -> Value {
    json!({"run": "vmap", "policy": policy, "pages": pages, "k": k, "stores": pages + pages / k, "pairs": pairs,
        "dsb": pairs + 1, "isb": pairs + 2, "dmb": 3, "tlbi": 4, "reach": null, "depth": 2})
}

fn counted(rows: Vec<Value>) -> Counted {
    Counted {
        command: "make run ARGS='a <b> & c'".to_owned(),
        report: json!({"schema": 2, "complete": true, "rows": rows}),
        witnessed: true,
    }
}

fn page() -> Page {
    let points = [(64, 70, 9), (128, 300, 17), (1024, 1100, 130)];
    let points = points.map(|(pages, eager, v3)| {
        counted(vec![row("eager", pages, 8, eager), row("v3", pages, 8, v3)])
    });
    Page {
        run: counted(vec![row("eager", 64, 8, 70), row("v3", 64, 8, 9)]),
        pictures: Vec::new(),
        growth: vec![Growth {
            over: "pages",
            title: "pairs over pages".to_owned(),
            about: "",
            points: points.to_vec(),
        }],
        bench: None,
    }
}

/// A report's table has the JSON's values, in its order.
fn shows(table: &[Vec<String>], report: &Value) {
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(table.len(), rows.len() + 1);
    let columns = &table[0];
    assert_eq!(columns.len(), 12);
    for (cells, row) in table[1..].iter().zip(rows) {
        for (column, cell) in columns.iter().zip(cells) {
            let value = match &row[column.as_str()] {
                Value::Null if column == "reach" => "all".to_owned(),
                Value::String(text) => text.clone(),
                value => value.to_string(),
            };
            assert_eq!(*cell, value, "{column} of {row}");
        }
    }
}

/// A growth's table has the pairs of these reports.
fn grows(table: &[Vec<String>], over: &str, reports: &[Value]) {
    let mut shown = BTreeMap::new();
    assert_eq!(table[0][0], over);
    for cells in &table[1..] {
        for (policy, cell) in table[0].iter().zip(cells).skip(1) {
            shown.insert((policy.clone(), cells[0].clone()), cell.clone());
        }
    }
    let rows = reports
        .iter()
        .flat_map(|report| report["rows"].as_array().unwrap());
    let counted = rows.map(|row| {
        let policy = row["policy"].as_str().unwrap().to_owned();
        ((policy, row[over].to_string()), row["pairs"].to_string())
    });
    assert_eq!(shown, counted.collect());
}

/// No element that fetches or runs anything.
fn is_self_contained(html: &str) {
    for outside in [
        "<script", "<link", "<iframe", "src=", "href=", "url(", "@import", "<img",
    ] {
        assert!(!html.contains(outside), "{outside}");
    }
}

#[test]
fn every_figure_is_the_jsons() {
    let page = page();
    let html = page::html(&page);
    let tables = tables(&html);
    let [run, growth] = tables.as_slice() else {
        panic!("{} tables", tables.len());
    };
    shows(run, &page.run.report);
    let reports: Vec<Value> = page.growth[0]
        .points
        .iter()
        .map(|point| point.report.clone())
        .collect();
    grows(growth, "pages", &reports);
    is_self_contained(&html);
    assert!(html.contains("make run ARGS='a &lt;b&gt; &amp; c'"));
}

/// The marks of a policy: where they are, in the order in which they are drawn.
fn circles(html: &str) -> Vec<(f64, f64)> {
    let circles = html.split("<circle ").skip(1);
    let number = |text: &str, name: &str| {
        let text = text.split(&format!("{name}=\"")).nth(1).unwrap();
        text.split('"').next().unwrap().parse::<f64>().unwrap()
    };
    circles
        .map(|text| (number(text, "cx"), number(text, "cy")))
        .collect()
}

/// The labels of an axis: each with the number on it.
fn labels(html: &str, anchor: &str, at: &str) -> Vec<(f64, f64)> {
    let texts = html
        .split("<text ")
        .skip(1)
        .filter(|text| text.contains(anchor));
    let labels = texts.filter_map(|text| {
        let (tag, rest) = text.split_once('>')?;
        let number = rest.split('<').next()?.trim().parse().ok()?;
        let at = tag.split(&format!("{at}=\"")).nth(1)?.split('"').next()?;
        Some((number, at.parse().ok()?))
    });
    labels.collect()
}

/// A plot is of the table's figures: on logarithmic axes the labels say where every mark is, to two pixels.
#[test]
fn the_marks_of_a_plot_are_at_the_figures() {
    let mut page = page();
    let eager = [(64.0, 70.0), (128.0, 300.0), (1024.0, 1100.0)];
    for point in &mut page.growth[0].points {
        let rows = point.report["rows"].as_array_mut().unwrap();
        rows.truncate(1);
    }
    let html = page::html(&page);
    let drawn = circles(&html);
    // Three points, and the one of the legend.
    assert_eq!(drawn.len(), 4);
    let place = |value: f64, labels: &[(f64, f64)]| {
        let [(low, from), .., (high, to)] = labels else {
            panic!("labels: {labels:?}");
        };
        from + (to - from) * (value / low).log2() / (high / low).log2()
    };
    let (xs, ys) = (
        labels(&html, "\"middle\"", "x"),
        labels(&html, "\"end\"", "y"),
    );
    for (mark, (pages, pairs)) in drawn.iter().zip(eager) {
        let (x, y) = (place(pages, &xs), place(pairs, &ys));
        let near = (mark.0 - x).abs() < 2.0 && (mark.1 - y).abs() < 2.0;
        assert!(near, "{mark:?}, not {x} {y}");
    }
}

fn bench(file: Value) -> Bench {
    let data = data::read(&places::repository().join("tests/bench")).unwrap();
    Bench {
        file,
        peers: data.peers,
    }
}

/// A small `bench.json`: some of its rows are of another machine, of another operation, or not counted.
fn bench_file() -> Value {
    let row = |cpu: &str, debug: bool, name: &str, who: &str, n: u64, instructions: Value| json!({"cpu": cpu, "smp": 1, "debug": debug, "name": name, "who": who, "policy": "v3", "n": n, "instructions": instructions});
    let mut rows = Vec::new();
    for (n, floor, ours, peer) in [
        (1, 14, 319, 120),
        (16, 74, 394, 1620),
        (512, 2058, 2688, 43800),
    ] {
        for (name, more) in [("map-run", 0), ("unmap", 7)] {
            rows.push(row("max", false, name, "floor", n, json!(floor + more)));
            rows.push(row("max", false, name, "ours", n, json!(ours + more)));
            rows.push(row(
                "max",
                false,
                name,
                "page_table_multiarch",
                n,
                json!(peer + more),
            ));
            rows.push(row("max", true, name, "ours", n, json!(1)));
            rows.push(row("cortex-a72", false, name, "ours", n, json!(2)));
        }
        rows.push(row(
            "max",
            false,
            "map-run",
            "ax-page-table-multiarch",
            n,
            Value::Null,
        ));
    }
    json!({"schema": 1, "commit": "c0ffee", "rustc": "rustc 1.95.0", "qemu": "7.2", "short": true, "rows": rows,
        "table": [{"row": "map-run", "n": 1, "on": "max", "floor": "14", "ours": "319", "each": "319.00", "peers": ["120d", "-"],
            "linux": "-", "ratio": "0.38", "barriers": "1/1/0/0", "dropped": "0", "goals": "some <goal>"}],
        "growth": ["growth on max/off: flat"], "break_even": ["break-even: from 4"]})
}

#[test]
fn the_figures_of_the_bench_are_its_jsons() {
    let mut page = page();
    let file = bench_file();
    page.bench = Some(bench(file.clone()));
    let html = page::html(&page);
    let tables = tables(&html);
    let [_, _, map_run, map_list, _, unmap, all] = tables.as_slice() else {
        panic!("{} tables", tables.len());
    };
    assert_eq!(map_list.len(), 1, "there are no rows of it");
    for (table, name, mark) in [(map_run, "map-run", "d"), (unmap, "unmap", "W")] {
        let peer = format!("page_table_multiarch ({mark})");
        assert_eq!(table[0], ["pages", "floor", "lazy-mmu", &peer]);
        let rows = file["rows"].as_array().unwrap();
        for cells in &table[1..] {
            for (who, cell) in ["floor", "ours", "page_table_multiarch"]
                .iter()
                .zip(&cells[1..])
            {
                let is_it = |row: &&Value| {
                    row["name"] == name
                        && row["who"] == *who
                        && row["n"].as_u64() == cells[0].parse().ok()
                        && row["cpu"] == "max"
                        && row["debug"] == false
                };
                let row = rows.iter().find(is_it).unwrap();
                let each = row["instructions"].as_f64().unwrap() / row["n"].as_f64().unwrap();
                assert_eq!(*cell, format!("{each:.1}"), "{row}");
            }
        }
        assert_eq!(table.len(), 4);
    }
    // The table of the bench is as it is, and so are its lines.
    let line = &file["table"][0];
    for (column, cell) in all[0].iter().zip(&all[1]) {
        let value = match &line[column.as_str()] {
            Value::String(text) => text.replace('<', "&lt;").replace('>', "&gt;"),
            Value::Array(_) => "120d / -".to_owned(),
            value => value.to_string(),
        };
        assert_eq!(*cell, value, "{column}");
    }
    assert_eq!(
        (all[0].len(), all.len()),
        (line.as_object().unwrap().len(), 2)
    );
    for said in [
        "growth on max/off: flat",
        "break-even: from 4",
        "Commit c0ffee, rustc 1.95.0, QEMU 7.2",
        "make bench SHORT=on",
        // What is to be said of a crate that does it wrong.
        "page_table_multiarch 0.6.2 (W): wrong: no DSB between the stores and the TLBI",
    ] {
        assert!(html.contains(said), "{said}");
    }
    is_self_contained(&html);
}

#[test]
fn what_is_not_there_is_said() {
    let mut page = page();
    let html = page::html(&page);
    assert!(
        html.contains("make bench has not run")
            && !html.contains("unchecked")
            && !html.contains("Not complete")
    );
    page.growth[0].points[1].witnessed = false;
    page.run.report["complete"] = false.into();
    page.growth.push(Growth {
        points: Vec::new(),
        ..page.growth[0].clone()
    });
    let html = page::html(&page);
    assert!(html.contains("the counts stand unchecked") && html.contains("Not complete"));
    assert!(html.contains("There is no plot: the reports have no rows"));
    page.bench = Some(bench(json!([])));
    assert!(page::html(&page).contains("bench.json has no list of rows"));
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// What `make report` does, to its end.
#[test]
fn the_page_of_a_run_is_that_of_its_reports() {
    let kept = WorkDir::new().unwrap();
    let report = |args: &str| {
        Command::new(env!("CARGO_BIN_EXE_report"))
            .arg(places::kernel("lazy-mmu-kernel"))
            .env("ARGS", args)
            .env("KEEP", kept.path())
            .env("TIMEOUT", "300")
            .env_remove("LAZY_MMU_ENDS_WITH")
            .output()
            .unwrap()
    };
    let done = report("run=vmap,zap policy=flat,v3 pages=32 k=8");
    assert!(done.status.success(), "{done:?}");
    let html = kept.read(page::FILE).unwrap();
    let tables = tables(&html);
    let [run, pages, k, ..] = tables.as_slice() else {
        panic!("{} tables", tables.len());
    };
    shows(run, &read(&kept.path().join("report.json")));
    for (table, over, sizes) in [
        (pages, "pages", [64, 128, 256, 512, 1024]),
        (k, "k", [4, 8, 16, 32, 64]),
    ] {
        let reports = sizes.map(|size| {
            read(
                &kept
                    .path()
                    .join(format!("report-runs/{over}-{size}/report.json")),
            )
        });
        grows(table, over, &reports);
    }
    is_self_contained(&html);
    for shown in [
        "tl-vmap-title",
        "tl-zap-title",
        "ARGS='run=vmap,zap policy=flat,v3 pages=32 k=8'",
    ] {
        assert!(html.contains(shown), "{shown}");
    }
    // Of a boot that fails there is no page, and its verdict stands.
    let done = report("run=banana");
    assert_eq!(done.status.code(), Some(2), "{done:?}");
    assert!(String::from_utf8_lossy(&done.stderr).contains("no page: the boot failed"));
    assert_eq!(kept.read(page::FILE), None);
}
