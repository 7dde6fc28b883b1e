//! `report.json`: the rows for programs on the host. `tools/src/report` has the schema, and adds what only the host knows.

use alloc::string::String;
use core::fmt::{Display, Write};

use lazy_mmu::Policy;
use mmu_check::replay::Replay;

use super::{NOT_WRITTEN, OfTask, Row, write_file};
use crate::task::{Figures, Tally};

/// Writes `report.json` with these rows: `complete` says that they are all that were requested.
///
/// The file is replaced as a whole, by renaming: a boot may be ended at any time, and the host reads what it has left.
///
/// # Errors
/// The file could not be written.
pub fn write_json(rows: &[Row], complete: bool) -> Result<(), &'static str> {
    let mut json = Json::default();
    json.braces(|json| {
        json.field("schema", 2);
        json.field("complete", complete);
        json.list("rows", rows, row);
    });
    json.0.push('\n');
    write_file(c"report.json.new", &json.0)?;
    semihosting::fs::rename(c"report.json.new", c"report.json").map_err(|_| NOT_WRITTEN)
}

fn row(json: &mut Json, row: &Row) {
    json.name("run", row.run);
    json.name("policy", row.policy);
    json.field("pages", row.size.pages);
    json.field("k", row.size.k);
    json.field("seed", row.size.seed);
    json.field("stores", row.tally.stores);
    counts(json, row.tally);
    json.field("reach", row.reach_or("null"));
    json.field("depth", row.depth());
    match &row.replay {
        None => json.field("replay", "null"),
        Some(replay) => json.object("replay", |json| replayed(json, replay)),
    }
    json.list("tasks", &row.tasks, task);
    json.object("others", |json| {
        for (name, tally) in &row.others {
            json.object(name, |json| counts(json, *tally));
        }
    });
}

fn counts(json: &mut Json, tally: Tally) {
    json.field("pairs", tally.pairs);
    for (name, count) in ["dsb", "isb", "dmb", "tlbi"].iter().zip(tally.totals()) {
        json.field(name, count);
    }
}

/// The calls that were made, and the pairs that each policy owes for them: by its table, and by the closed form.
fn replayed(json: &mut Json, replay: &Replay) {
    json.field("calls", replay.calls());
    json.name("hash", format_args!("{:016x}", replay.hash()));
    json.object("pairs", |json| {
        for policy in Policy::ALL {
            json.field(policy.name(), replay.pairs(policy));
        }
    });
    json.object("closed_form", |json| {
        for policy in Policy::ALL {
            json.field(policy.name(), replay.shape().pairs(policy));
        }
    });
}

fn task(json: &mut Json, task: &OfTask) {
    json.field("task", task.id);
    json.name("does", task.does);
    json.field("rounds", task.rounds);
    // All of them, so that a new figure is not forgotten here.
    let Figures {
        deepest,
        sections,
        switches,
        preemptions,
        preemptions_inside,
        carried,
        migrations,
        migrations_inside,
        interrupts,
        interrupts_inside,
        spurious,
        bbm_waits,
    } = task.figures;
    json.field("sections", sections);
    json.field("depth", deepest);
    json.field("carried", carried);
    json.field("switches", switches);
    json.field("preemptions", preemptions);
    json.field("preemptions_inside", preemptions_inside);
    json.field("migrations", migrations);
    json.field("migrations_inside", migrations_inside);
    json.field("interrupts", interrupts);
    json.field("interrupts_inside", interrupts_inside);
    json.field("spurious", spurious);
    json.field("bbm_waits", bbm_waits);
    json.field("stores", task.tally.stores);
    counts(json, task.tally);
}

/// JSON in the making. Names and values are this kernel's own, and none has a character that JSON would escape.
#[derive(Default)]
struct Json(String);

impl Json {
    /// Writing to a String does not fail.
    fn put(&mut self, text: impl Display) {
        let _ = write!(self.0, "{text}");
    }

    /// What follows is another item, unless it is the first one.
    fn comma(&mut self) {
        if !self.0.ends_with(['{', '[']) {
            self.0.push(',');
        }
    }

    fn key(&mut self, key: &str) {
        self.comma();
        self.put(format_args!("\"{key}\":"));
    }

    /// A number, `true`, `false` or `null`.
    fn field(&mut self, key: &str, value: impl Display) {
        self.key(key);
        self.put(value);
    }

    fn name(&mut self, key: &str, name: impl Display) {
        self.field(key, format_args!("\"{name}\""));
    }

    fn object(&mut self, key: &str, fields: impl FnOnce(&mut Self)) {
        self.key(key);
        self.braces(fields);
    }

    fn braces(&mut self, fields: impl FnOnce(&mut Self)) {
        self.0.push('{');
        fields(self);
        self.0.push('}');
    }

    /// A list of objects, each on a line of its own.
    fn list<T>(&mut self, key: &str, items: &[T], fields: impl Fn(&mut Self, &T)) {
        self.key(key);
        self.0.push('[');
        for item in items {
            self.comma();
            self.0.push('\n');
            self.braces(|json| fields(json, item));
        }
        self.0.push(']');
    }
}
