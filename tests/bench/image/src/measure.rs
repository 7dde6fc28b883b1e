//! A row: one operation in a window of its own, with the PMU's count and the kernel's; and the file of all rows for the host.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Write};

use lazy_mmu::Policy;
use lazy_mmu_kernel::arch::window::{self, Window};
use lazy_mmu_kernel::task::{self, Tally};
use lazy_mmu_kernel::{mode, report};

use crate::pmu;

/// Why a boot measures nothing more.
#[derive(Debug)]
pub struct Failure(pub String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns a [`Failure`] unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)*) => {
        if !$condition {
            return Err($crate::measure::Failure(alloc::format!($($message)*)));
        }
    };
}
pub(crate) use ensure;

/// Whose code a row measures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    /// This project's.
    Ours,
    /// A bare loop: the least that the operation can be.
    Floor,
    /// `aarch64-paging`.
    Paging,
    /// `page_table_multiarch`.
    Multiarch,
    /// `ax-page-table-multiarch`.
    AxMultiarch,
}

impl Who {
    /// As the host's files have it.
    pub const fn name(self) -> &'static str {
        match self {
            Who::Ours => "ours",
            Who::Floor => "floor",
            Who::Paging => "aarch64-paging",
            Who::Multiarch => "page_table_multiarch",
            Who::AxMultiarch => "ax-page-table-multiarch",
        }
    }
}

/// What a row is called.
#[derive(Clone, Copy)]
pub enum Name {
    /// An operation.
    Operation(&'static str),
    /// A workload, and the number of its window from 1 on.
    Workload(&'static str, u8),
}

impl From<&'static str> for Name {
    fn from(name: &'static str) -> Self {
        Name::Operation(name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Operation(name) => f.write_str(name),
            Name::Workload(run, 1) => write!(f, "run={run}"),
            Name::Workload(run, window) => write!(f, "run={run}/{window}"),
        }
    }
}

struct Record {
    name: Name,
    who: Who,
    n: u64,
    policy: Policy,
    counted: Counted,
}

/// What came of a row.
#[derive(Clone, Copy, Default)]
struct Counted {
    /// By the PMU, without those of the window itself.
    instructions: Option<u64>,
    /// The kernel's counts.
    tally: Tally,
    /// The code refused to do it, and calls that so: nothing was counted.
    refused: Option<&'static str>,
}

/// All rows of a boot.
pub struct Bench {
    records: Vec<Record>,
    /// Whether the PMU counts.
    pmu: bool,
    policy: Policy,
}

/// Room for the rows of any boot. They are kept here until the end, so that the heap, on which the frame allocator's lists lie, is
/// the same whatever rows come before.
const ROWS: usize = 2048;

impl Bench {
    /// Nothing measured yet. Starts the PMU.
    pub fn new() -> Self {
        Self {
            records: Vec::with_capacity(ROWS),
            pmu: pmu::start(),
            policy: Policy::V3,
        }
    }

    /// Whether the PMU counts instructions.
    pub fn counts_instructions(&self) -> bool {
        self.pmu
    }

    /// Changes the policy under which everything runs from here on.
    pub fn under(&mut self, policy: Policy) -> Result<(), Failure> {
        let set = mode::set_policy(policy);
        ensure!(set.is_ok(), "{policy}: {set:?}");
        self.policy = policy;
        Ok(())
    }

    /// Runs `work` in a window. The row is of `n` pages, calls or entries: the host divides by it.
    ///
    /// What `work` captures is computed outside of the window; what must be computed inside goes through
    /// [`black_box`](core::hint::black_box).
    #[inline(always)]
    pub fn row<R>(
        &mut self,
        name: impl Into<Name>,
        who: Who,
        n: u64,
        work: impl FnOnce() -> R,
    ) -> Result<R, Failure> {
        window::push_tag(&tag(self.records.len()));
        let counts = &task::current().counts;
        let tally = counts.tally();
        let before = pmu::open();
        let result = work();
        let after = pmu::close();
        let tally = counts.tally() - tally;
        // Between the two reads lie the work and one of the reads.
        let instructions = u64::from(after.wrapping_sub(before)).wrapping_sub(1);
        let counted = Counted {
            instructions: self.pmu.then_some(instructions),
            tally,
            refused: None,
        };
        self.note(name.into(), who, n, counted)?;
        Ok(result)
    }

    /// Notes that somebody refuses the operation, and how that is called.
    pub fn refused(
        &mut self,
        name: &'static str,
        who: Who,
        n: u64,
        why: &'static str,
    ) -> Result<(), Failure> {
        let counted = Counted {
            refused: Some(why),
            ..Counted::default()
        };
        self.note(name.into(), who, n, counted)
    }

    #[inline(never)]
    fn note(&mut self, name: Name, who: Who, n: u64, counted: Counted) -> Result<(), Failure> {
        ensure!(self.records.len() < ROWS, "more than {ROWS} rows");
        self.records.push(Record {
            name,
            who,
            n,
            policy: self.policy,
            counted,
        });
        Ok(())
    }

    /// Notes every window for the witness, and writes `rows.json`: `tools/src/bench/boots.rs` reads it.
    ///
    /// # Errors
    /// The file could not be written.
    pub fn write(self) -> Result<(), &'static str> {
        let mut json = format!(
            "{{\"schema\":1,\"rustc\":\"{}\",\"rows\":[",
            env!("LAZY_MMU_RUSTC")
        );
        for (index, record) in self.records.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let tag = tag(index);
            // Writing to a String does not fail.
            let _ = write!(
                json,
                "{comma}\n{{\"name\":\"{}\",\"who\":\"{}\",\"n\":{},\"policy\":\"{}\",",
                record.name,
                record.who.name(),
                record.n,
                record.policy
            );
            let Counted {
                instructions,
                tally,
                refused,
            } = record.counted;
            if let Some(why) = refused {
                // A name, which has no quote in it.
                let _ = write!(json, "\"refused\":\"{why}\"}}");
                continue;
            }
            let ours = record.who == Who::Ours;
            // The plugin sees both reads of the PMU.
            let seen = instructions.map(|count| count + 2);
            report::note_measured(&tag, Window::Test, ours.then_some(tally), seen);
            let instructions = instructions.map_or("null".into(), |count| count.to_string());
            let dropped = match (ours, tally.full) {
                (false, _) => String::from("null"),
                (true, 0) => tally.reach.to_string(),
                (true, _) => String::from("\"all\""),
            };
            let _ = write!(
                json,
                "\"tag\":{},\"instructions\":{instructions},\"dropped\":{dropped}}}",
                window::tag_value(&tag)
            );
        }
        json.push_str("\n]}\n");
        report::write_file(c"rows.json", &json)
    }
}

/// The tag of a window: the row's number, in four nibbles.
fn tag(index: usize) -> [u8; 4] {
    [12, 8, 4, 0].map(|shift| (index >> shift & 0xF) as u8)
}
