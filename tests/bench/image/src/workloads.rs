//! The workloads of `run=all` and `run=linux`, as a kernel runs them: each is run twice, recorded and then with nothing recorded, and a
//! row is of one window of the second run.

use alloc::string::ToString;

use lazy_mmu::Policy;
use lazy_mmu_kernel::arguments::DEFAULT_K;
use lazy_mmu_kernel::mem::frames;
use lazy_mmu_kernel::report::{Detail, Run, Size};
use lazy_mmu_kernel::workloads::{self, Meter};

use crate::entries::POLICIES;
use crate::measure::{Bench, Failure, Name, Who};

/// All of them on `n` pages: those of `run=all` under every policy, and Linux's own work under its two contracts.
pub fn all(bench: &mut Bench, n: u64) -> Result<(), Failure> {
    for policy in POLICIES {
        bench.under(policy)?;
        // The first has no pages.
        for run in &Run::ALL[1..] {
            one(bench, *run, policy, n)?;
        }
        if policy.is_contract() {
            // Without the debug page allocator the linear map is in blocks, of which no page can be protected.
            let runs = Run::LINUX.into_iter();
            for run in runs.filter(|run| *run != Run::ProtectAlias || frames::is_debug()) {
                one(bench, run, policy, n)?;
            }
        }
    }
    Ok(())
}

fn one(bench: &mut Bench, run: Run, policy: Policy, n: u64) -> Result<(), Failure> {
    let size = Size {
        pages: n as usize,
        k: DEFAULT_K,
        seed: 1,
        detail: Detail::default(),
    };
    let mut windows = Windows {
        bench,
        run,
        n,
        noted: Ok(0),
    };
    let measured = workloads::measure(run, policy, size, &mut windows);
    windows.noted?;
    measured.map_err(|failure| Failure(failure.within(run, policy).to_string()))?;
    Ok(())
}

/// The windows of a workload, a row each.
struct Windows<'b> {
    bench: &'b mut Bench,
    run: Run,
    n: u64,
    /// How many there were, or why one could not be noted.
    noted: Result<u8, Failure>,
}

impl Meter for Windows<'_> {
    fn window(&mut self, work: &mut dyn FnMut()) {
        let before = *self.noted.as_ref().unwrap_or(&0);
        let name = Name::Workload(self.run.name(), before + 1);
        let row = self.bench.row(name, Who::Ours, self.n, work);
        if self.noted.is_ok() {
            self.noted = row.map(|()| before + 1);
        }
    }
}
