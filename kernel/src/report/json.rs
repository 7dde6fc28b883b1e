//! `report.json`: the rows for programs on the host.

use core::fmt::Write;

use super::{NOT_WRITTEN, Row, write_file};
use crate::task::Tally;

/// Writes `report.json` with these rows: `complete` says that they are all that were requested.
///
/// The file is replaced as a whole, by renaming: a boot may be ended at any time, and the host reads what it has left.
///
/// # Errors
/// The file could not be written.
pub fn write_json(rows: &[Row], complete: bool) -> Result<(), &'static str> {
    let mut json = alloc::format!("{{\"schema\":1,\"complete\":{complete},\"rows\":[");
    for (index, row) in rows.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let Tally { pairs, stores, .. } = row.tally;
        let [dsb, isb, dmb, tlbi] = row.tally.totals();
        // Writing to a String does not fail.
        let _ = write!(
            json,
            "{comma}\n{{\"run\":\"{}\",\"policy\":\"{}\",\"pages\":{},\"k\":{},\"stores\":{stores},\"pairs\":{pairs},\
             \"dsb\":{dsb},\"isb\":{isb},\"dmb\":{dmb},\"tlbi\":{tlbi},\"reach\":{},\"depth\":{}}}",
            row.run,
            row.policy,
            row.size.pages,
            row.size.k,
            row.reach_or("null"),
            row.depth(),
        );
    }
    json.push_str("\n]}\n");
    write_file(c"report.json.new", &json)?;
    semihosting::fs::rename(c"report.json.new", c"report.json").map_err(|_| NOT_WRITTEN)
}
