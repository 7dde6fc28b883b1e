//! Calls that pair, and that do not, in handlers and out: H18.

use lazy_mmu::{Leak, Policy};

use super::interrupts::interrupt;
use super::scene::Scene;
use super::steps::step;
use crate::mode;
use crate::sched::{self, Ended};
use crate::workloads::{Failure, failure};

/// What a task has left behind, and how many warnings there were.
fn in_a_task(policy: Policy, work: fn()) -> Result<(Option<Leak>, u64), Failure> {
    let before = mode::warnings();
    let task = sched::spawn(policy, work).map_err(|error| failure!("no task: {error}"))?;
    let Ended { leak, .. } = task.join();
    Ok((leak, mode::warnings() - before))
}

/// H18.
pub(super) fn handler_unbalances(scene: &mut Scene) -> Result<(), Failure> {
    let policy = scene.policy;
    scene.right("a handler opens and closes a section of its own", |_| {
        let (leak, warned) = in_a_task(policy, || {
            step("lazy_mmu_mode_enable()", mode::lazy_mmu_mode_enable);
            step("interrupt: enable, disable", || {
                interrupt(|| mode::section(|| {}))
            });
            step("lazy_mmu_mode_disable()", mode::lazy_mmu_mode_disable);
        })?;
        if leak.is_some() || warned > 0 {
            return Err(failure!("{warned} warnings, and at the end {leak:?}"));
        }
        Ok(())
    })?;
    scene.broken(
        "a handler opens a section and does not close it",
        &[],
        |scene| {
            let (leak, _) = in_a_task(policy, || {
                step("interrupt: enable", || {
                    interrupt(mode::lazy_mmu_mode_enable)
                });
            })?;
            match (policy, leak) {
                (Policy::V3, Some(leak)) => {
                    scene.must_see("the end of the task", true, &alloc::format!("{leak}"))
                }
                (Policy::Linux7, None) => scene.must_see(
                    "the contract",
                    true,
                    "linux7 ignores a handler's calls: nothing is left open",
                ),
                (_, leak) => Err(failure!("under {policy} the task ended with {leak:?}")),
            }
        },
    )?;
    scene.broken(
        "enable in a handler, its disable in the task",
        &[],
        |scene| {
            let (leak, warned) = in_a_task(policy, || {
                step("interrupt: enable", || {
                    interrupt(mode::lazy_mmu_mode_enable)
                });
                step("lazy_mmu_mode_disable()", mode::lazy_mmu_mode_disable);
            })?;
            match (policy, warned, leak) {
                (Policy::V3, 0 | 1, None) => {
                    scene.must_see("the contract", true, "v3 counts both calls: they balance")
                }
                (Policy::Linux7, 1, Some(_)) => scene.must_see(
                    "the contract",
                    true,
                    "linux7 counts the second alone, and warns",
                ),
                (_, warned, leak) => {
                    Err(failure!("{warned} warnings under {policy}, and {leak:?}"))
                }
            }
        },
    )
}
