//! What the kernel cannot know, added to what it has written.

use serde_json::{Map, Value, json};

use super::Flaw;
use crate::boot::Boot;
use crate::events::Tag;
use crate::verdict::Verdict;
use crate::witness::Window;

/// What the runner knows of a boot.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// What was booted, and on what.
    pub boot: &'a Boot,
    /// QEMU's version.
    pub qemu: (u32, u32),
    /// The commit of the working tree.
    pub commit: Option<&'a str>,
    /// What came of it.
    pub verdict: Verdict,
    /// What the plugin has seen, where it counted.
    pub windows: Option<&'a [Window]>,
}

/// The report with these facts. Of a boot that was not all good it says that it is not complete.
///
/// # Errors
/// When it is no JSON object.
pub fn with_facts(text: &str, facts: &Facts<'_>) -> Result<String, Flaw> {
    let mut report: Map<String, Value> =
        serde_json::from_str(text).map_err(|e| Flaw::NotJson(e.to_string()))?;
    let Boot {
        kernel,
        args,
        cpu,
        smp,
        mem,
        gic,
        el2,
        icount,
        ..
    } = facts.boot;
    let (major, minor) = facts.qemu;
    let kernel = kernel.file_name().unwrap_or_default().to_string_lossy();
    let machine = json!({
        "cpu": cpu, "smp": smp, "mem": mem, "gic": gic, "el2": el2, "icount": icount, "qemu": format!("{major}.{minor}"),
    });
    if facts.verdict != Verdict::Good {
        report.insert("complete".to_owned(), false.into());
    }
    for (name, value) in [
        ("verdict", facts.verdict.code().into()),
        ("kernel", kernel.into()),
        ("machine", machine),
        ("arguments", args.as_slice().into()),
        ("commit", facts.commit.into()),
    ] {
        report.insert(name.to_owned(), value);
    }
    for row in report
        .get_mut("rows")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let windows = facts.windows.map(|windows| of_row(windows, row));
        row["windows"] = windows.into();
    }
    Ok(format!("{:#}\n", Value::Object(report)))
}

/// The windows that are the row's: their tags name its run and policy.
fn of_row(windows: &[Window], row: &Value) -> Vec<Value> {
    let is_its = |tag: Tag| {
        let policy = tag.policy().map(|policy| policy.word());
        tag.run() == row["run"].as_str() && policy == row["policy"].as_str()
    };
    let its = windows.iter().filter(|window| is_its(Tag(window.tag)));
    let shown =
        its.map(|window| json!({"instructions": window.instructions, "executed": window.counts}));
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::check;

    fn window(tag: u64, instructions: u64) -> Window {
        Window {
            tag,
            window: 0,
            counts: [("isb".to_owned(), 3)].into(),
            instructions: Some(instructions),
            counted: true,
        }
    }

    fn added(verdict: Verdict, windows: Option<&[Window]>) -> Value {
        let boot = Boot {
            args: vec!["run=zap".to_owned(), "policy=v3,flat".to_owned()],
            gic: Some(3),
            ..Boot::new("target/a-kernel")
        };
        let row = |policy| {
            json!({"run": "zap", "policy": policy, "pages": 1, "k": 1, "seed": 1, "stores": 1, "pairs": 1, "dsb": 1, "isb": 3,
                "dmb": 0, "tlbi": 0, "reach": null, "depth": 1, "replay": null, "tasks": [], "others": {}})
        };
        let report = json!({"schema": 2, "complete": true, "rows": [row("v3"), row("flat")]});
        let facts = Facts {
            boot: &boot,
            qemu: (7, 2),
            commit: Some("c0ffee+"),
            verdict,
            windows,
        };
        let text = with_facts(&report.to_string(), &facts).unwrap();
        let complete = verdict == Verdict::Good;
        assert_eq!(check(&text).unwrap().complete, complete);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_report_says_what_was_run() {
        let report = added(Verdict::Good, None);
        let machine = json!({"cpu": "max", "smp": 1, "mem": "256M", "gic": 3, "el2": false, "icount": null, "qemu": "7.2"});
        assert_eq!(report["machine"], machine);
        assert_eq!(report["arguments"], json!(["run=zap", "policy=v3,flat"]));
        let said = [&report["verdict"], &report["kernel"], &report["commit"]];
        assert_eq!(said, [&json!(0), &json!("a-kernel"), &json!("c0ffee+")]);
        assert_eq!(report["rows"][0]["windows"], Value::Null);
    }

    #[test]
    fn a_window_is_its_rows() {
        // The run, and a nibble each for policy and index; the last one is no run's.
        let windows = [
            window(0x430, 7),
            window(0x431, 8),
            window(0x410, 9),
            window(0x1230, 10),
        ];
        let report = added(Verdict::Good, Some(&windows));
        let counts = |row: usize| {
            let windows = report["rows"][row]["windows"].as_array().unwrap();
            let counts = windows
                .iter()
                .map(|window| window["instructions"].as_u64().unwrap());
            counts.collect::<Vec<_>>()
        };
        assert_eq!((counts(0), counts(1)), (vec![7, 8], vec![9]));
        assert_eq!(report["rows"][1]["windows"][0]["executed"]["isb"], 3);
    }

    #[test]
    fn of_a_boot_that_failed_it_says_so() {
        assert_eq!(added(Verdict::Timeout, None)["verdict"], 124);
        let boot = Boot::new("k");
        let facts = Facts {
            boot: &boot,
            qemu: (7, 2),
            commit: None,
            verdict: Verdict::Panic,
            windows: None,
        };
        assert!(with_facts("[]", &facts).is_err());
    }
}
