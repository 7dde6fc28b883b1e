//! R7: an invalidation reaches every core that may have walked the tables.
//!
//! Without the `IS` suffix a TLBI is for the core that executes it (Arm ARM D8, scope of TLB
//! maintenance). That does only while no other core runs. page_table_multiarch 0.6.2 flushes
//! with `vmalle1` after an unmap.

use super::Description;

pub(super) const RULE: Description = Description {
    name: "R7",
    title: "an invalidation stays on its core where other cores need it",
    basis: "Arm ARM D8 (scope of TLB maintenance instructions)",
};
