//! What a boot has measured: the rows that the image names, with the counts that the plugin has seen.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value, json};

use crate::witness::{Counts, Window};

/// The file that the image writes.
pub const FILE: &str = "rows.json";

/// A machine to measure on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Machine {
    /// QEMU's `-cpu`.
    pub cpu: String,
    /// How many cores.
    pub smp: u32,
    /// Whether the debug page allocator is on.
    pub debug: bool,
}

impl Machine {
    /// One core.
    #[must_use]
    pub fn new(cpu: &str, debug: bool) -> Self {
        Self {
            cpu: cpu.to_owned(),
            smp: 1,
            debug,
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cores = match self.smp {
            1 => String::new(),
            n => format!("/{n}-cores"),
        };
        let debug = if self.debug { "on" } else { "off" };
        write!(f, "{}{cores}/{debug}", self.cpu)
    }
}

/// How many translations were dropped at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// So many pages.
    Pages(u64),
    /// A whole ASID, or everything.
    All,
}

impl Dropped {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(all) if all == "all" => Some(Self::All),
            value => value.as_u64().map(Self::Pages),
        }
    }

    /// Of what others execute the operands are not seen: by its name an operation on an address drops a page, and every other one
    /// all.
    fn by_operations(executed: &Counts) -> Self {
        let mut pages = 0;
        for (kind, count) in executed {
            match kind.strip_prefix("tlbi-") {
                None => {}
                Some(name) if name.starts_with("va") => pages += count,
                Some(_) => return Self::All,
            }
        }
        Self::Pages(pages)
    }

    fn json(self) -> Value {
        match self {
            Self::Pages(pages) => pages.into(),
            Self::All => "all".into(),
        }
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pages(pages) => pages.fmt(f),
            Self::All => f.write_str("all"),
        }
    }
}

/// What was counted in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Instructions; `None` where nothing counts them exactly.
    pub instructions: Option<u64>,
    /// Barriers and TLBIs by kind, as the plugin has seen them.
    pub executed: Counts,
    /// What the TLBIs dropped at most.
    pub dropped: Dropped,
}

impl Counted {
    /// DSBs, ISBs, DMBs and TLBIs, of all kinds.
    #[must_use]
    pub fn totals(&self) -> [u64; 4] {
        ["dsb", "isb", "dmb", "tlbi"].map(|group| {
            let of = |kind: &str| kind.split('-').next() == Some(group);
            let counts = self.executed.iter().filter(|(kind, _)| of(kind));
            counts.map(|(_, count)| count).sum()
        })
    }
}

/// What distinguishes the rows of a boot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The operation.
    pub name: String,
    /// Whose code.
    pub who: String,
    /// The policy of the mode.
    pub policy: String,
    /// Pages, calls or entries.
    pub n: u64,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.name, self.n, self.policy, self.who)
    }
}

/// The code of this project, in a key.
pub const OURS: &str = "ours";

/// What came of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was measured.
    Counted(Counted),
    /// The code refuses the operation: how it calls that.
    Refused(String),
}

/// The rows of a boot, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// The compiler of the image.
    pub rustc: String,
    /// Each row.
    pub rows: Vec<(Key, Outcome)>,
}

impl Rows {
    /// The counts of a row that was measured.
    #[must_use]
    pub fn counted(&self, name: &str, who: &str, policy: &str, n: u64) -> Option<&Counted> {
        let is =
            |key: &Key| key.name == name && key.who == who && key.policy == policy && key.n == n;
        self.rows.iter().find_map(|(key, outcome)| match outcome {
            Outcome::Counted(counted) if is(key) => Some(counted),
            _ => None,
        })
    }
}

/// Reads `rows.json`, and takes the barriers and TLBIs of each row from the plugin's `windows`.
///
/// # Errors
/// What is wrong with the file: it is not as the image writes it, a row has no window, a window no row, or one comes twice.
pub fn read(text: &str, windows: &[Window]) -> Result<Rows, String> {
    let file: Value = serde_json::from_str(text).map_err(|why| format!("{FILE}: {why}"))?;
    if file["schema"] != 1 {
        return Err(format!("{FILE}: `schema` is {}, not 1", file["schema"]));
    }
    let listed = file["rows"].as_array();
    let listed = listed.ok_or_else(|| format!("{FILE}: there is no list `rows`"))?;
    let mut seen: BTreeMap<u64, &Window> = BTreeMap::new();
    for window in windows {
        if seen.insert(window.tag, window).is_some() {
            return Err(format!("two windows have the tag {:#x}", window.tag));
        }
    }
    let mut rows: Vec<(Key, Outcome)> = Vec::new();
    for (index, row) in listed.iter().enumerate() {
        let flaw = |what: &str| format!("{FILE}: row {index}: {what}");
        let (key, outcome) = read_row(row, &mut seen).map_err(|what| flaw(&what))?;
        if rows.iter().any(|(other, _)| *other == key) {
            return Err(flaw(&format!("{key} comes twice")));
        }
        rows.push((key, outcome));
    }
    match seen.first_key_value() {
        Some((tag, _)) => Err(format!("the window with tag {tag:#x} has no row in {FILE}")),
        None => Ok(Rows {
            rustc: file["rustc"].as_str().unwrap_or_default().to_owned(),
            rows,
        }),
    }
}

fn read_row(row: &Value, seen: &mut BTreeMap<u64, &Window>) -> Result<(Key, Outcome), String> {
    let text = |field: &str| {
        let value = row[field].as_str().map(str::to_owned);
        value.ok_or_else(|| format!("`{field}` is {}, not a name", row[field]))
    };
    let key = Key {
        name: text("name")?,
        who: text("who")?,
        policy: text("policy")?,
        n: row["n"]
            .as_u64()
            .ok_or_else(|| format!("`n` is {}", row["n"]))?,
    };
    if let Ok(why) = text("refused") {
        return Ok((key, Outcome::Refused(why)));
    }
    let tag = row["tag"]
        .as_u64()
        .ok_or_else(|| format!("`tag` is {}", row["tag"]))?;
    let window = seen.remove(&tag);
    let window = window.ok_or_else(|| format!("{key}: the plugin has no window {tag:#x}"))?;
    let dropped = match Dropped::of(&row["dropped"]) {
        Some(dropped) => dropped,
        None if key.who != OURS => Dropped::by_operations(&window.counts),
        None => return Err(format!("{key}: `dropped` is {}", row["dropped"])),
    };
    let counted = Counted {
        instructions: row["instructions"].as_u64(),
        executed: window.counts.clone(),
        dropped,
    };
    Ok((key, Outcome::Counted(counted)))
}

/// A row as `bench.json` has it.
#[must_use]
pub fn to_json(machine: &Machine, key: &Key, outcome: &Outcome) -> Value {
    let mut row = Map::new();
    let mut put = |field: &str, value: Value| drop(row.insert(field.to_owned(), value));
    put("cpu", machine.cpu.as_str().into());
    put("smp", machine.smp.into());
    put("debug", machine.debug.into());
    put("name", key.name.as_str().into());
    put("who", key.who.as_str().into());
    put("policy", key.policy.as_str().into());
    put("n", key.n.into());
    match outcome {
        Outcome::Refused(why) => put("refused", why.as_str().into()),
        Outcome::Counted(counted) => {
            put("instructions", counted.instructions.into());
            for (group, total) in ["dsb", "isb", "dmb", "tlbi"].iter().zip(counted.totals()) {
                put(group, total.into());
            }
            put("dropped", counted.dropped.json());
            put("executed", json!(counted.executed));
        }
    }
    Value::Object(row)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::witness;

    pub const PLUGIN: &str = "0 1 102 dsb-ishst=1 isb=1\n1 1 902 dsb-ishst=1 dsb-ish=1 isb=1 tlbi-vaae1is=16\n\
                          2 1 52 tlbi-vmalle1=1 dsb-sy=1 isb=1\n";
    pub const FILE_TEXT: &str = r#"{"schema":1,"rustc":"rustc 1.95.0 (x)","rows":[
        {"name":"map-run","who":"ours","n":16,"policy":"v3","tag":0,"instructions":100,"dropped":0},
        {"name":"map-run","who":"a","n":16,"policy":"v3","tag":1,"instructions":900,"dropped":null},
        {"name":"map-run","who":"b","n":16,"policy":"v3","tag":2,"instructions":50,"dropped":null},
        {"name":"replace","who":"a","n":16,"policy":"v3","refused":"Because"}]}"#;

    fn rows(text: &str, plugin: &str) -> Result<Rows, String> {
        read(text, &witness::parse_plugin(plugin).unwrap().windows)
    }

    /// Made-up rows, for the tests of what is made of them.
    pub fn made_up() -> Rows {
        rows(FILE_TEXT, PLUGIN).unwrap()
    }

    #[test]
    fn names_are_the_kernels_and_counts_the_plugins() {
        let rows = made_up();
        let ours = rows.counted("map-run", OURS, "v3", 16).unwrap();
        assert_eq!(
            (ours.instructions, ours.totals()),
            (Some(100), [1, 1, 0, 0])
        );
        assert_eq!(ours.dropped, Dropped::Pages(0));
        let a = rows.counted("map-run", "a", "v3", 16).unwrap();
        assert_eq!((a.totals(), a.dropped), ([2, 1, 0, 16], Dropped::Pages(16)));
        let b = rows.counted("map-run", "b", "v3", 16).unwrap();
        assert_eq!((b.totals(), b.dropped), ([1, 1, 0, 1], Dropped::All));
        assert_eq!(rows.rows[3].1, Outcome::Refused("Because".to_owned()));
        assert_eq!(rows.rustc, "rustc 1.95.0 (x)");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (from, to, why) in [
            ("\"schema\":1", "\"schema\":2", "`schema` is 2"),
            ("\"tag\":2", "\"tag\":7", "no window 0x7"),
            ("\"tag\":2", "\"tag\":1", "no window 0x1"),
            ("\"who\":\"b\"", "\"who\":\"a\"", "comes twice"),
            (
                "\"n\":16,\"policy\":\"v3\",\"tag\":0",
                "\"n\":-1,\"policy\":\"v3\",\"tag\":0",
                "`n` is -1",
            ),
            ("\"dropped\":0", "\"dropped\":null", "`dropped` is null"),
            ("\"rows\":[", "\"lines\":[", "no list `rows`"),
        ] {
            let error = rows(&FILE_TEXT.replacen(from, to, 1), PLUGIN).unwrap_err();
            assert!(error.contains(why), "{from} -> {to}: {error}");
        }
        let more = rows(FILE_TEXT, &format!("{PLUGIN}3 1 5\n")).unwrap_err();
        assert!(more.contains("tag 0x3 has no row"), "{more}");
        assert!(rows("{", PLUGIN).is_err());
    }

    #[test]
    fn a_row_of_the_file_says_all() {
        let rows = made_up();
        let machine = Machine::new("max", true);
        let json = to_json(&machine, &rows.rows[1].0, &rows.rows[1].1);
        assert_eq!(json["cpu"], "max");
        assert_eq!(json["instructions"], 900);
        assert_eq!((&json["dsb"], &json["tlbi"]), (&json!(2), &json!(16)));
        assert_eq!(json["executed"]["tlbi-vaae1is"], 16);
        let refused = to_json(&machine, &rows.rows[3].0, &rows.rows[3].1);
        assert_eq!(
            (&refused["refused"], &refused["dsb"]),
            (&json!("Because"), &Value::Null)
        );
        assert_eq!(machine.to_string(), "max/on");
    }
}
