//! `make bench`: exact counts of page-table work, beside other crates in the same boot.
//!
//! 1. [`boots`] boots the image of `tests/bench/image` on every [`Machine`](rows::Machine), twice, and takes what it has
//!    counted: [`rows`] has the rows of a boot, with the plugin's counts joined to the kernel's.
//! 2. [`data`] reads what is compared with: goals, peers, Linux.
//! 3. [`table`] makes the one table of it, [`growth`] and [`even`] the lines below it: what grows with what is there already, and from
//!    which length a section pays.
//! 4. [`baseline`] compares with the committed counts of this compiler and this QEMU.
//!
//! # `target/bench.json`
//!
//! Schema 1: `{"schema", "commit", "rustc", "qemu", "short", "boots", "rows", "table", "growth", "break_even"}`.
//!
//! | field | what |
//! |---|---|
//! | `commit` | the commit that was built, with `+` where files were changed; `null` without git |
//! | `rustc`, `qemu` | what `rustc --version` says, and the version as `7.2` |
//! | `short` | whether only sizes up to 512 pages were measured |
//! | `boots` | `{"cpu", "smp", "debug", "mem", "icount", "args"}` of each boot |
//! | `rows` | `{"cpu", "smp", "debug", "name", "who", "policy", "n"}`, and of what was measured `{"instructions", "dsb", "isb", "dmb", "tlbi", "dropped", "executed"}`, or `{"refused"}`, a name |
//! | `table` | the printed table, `{"row", "n", "on", "floor", "ours", "each", "peers", "linux", "ratio", "barriers", "dropped", "goals"}` as text |
//! | `growth`, `break_even` | the lines below it, as text |
//!
//! `n` is how many pages, calls or entries the row is of, and all counts are of the whole row. `instructions` is `null` where nothing
//! counts them exactly (several cores). `dropped` is how many translations the TLBIs dropped at most, `"all"` where one dropped a whole
//! ASID or everything. `executed` has each kind of barrier and TLBI by itself, as the plugin names it.

pub mod baseline;
pub mod boots;
pub mod data;
pub mod even;
pub mod growth;
pub mod options;
pub mod rows;
pub mod table;
