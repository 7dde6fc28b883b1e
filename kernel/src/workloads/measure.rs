//! Measuring: a window around the work, the counts inside it, and the replay that must agree.

use alloc::vec::Vec;
use core::ops::Deref;

use lazy_mmu::Policy;
use mmu_check::What;

use super::{Failure, failure};
use crate::arch::window::{self, Window};
use crate::mem::{PageRange, frames};
use crate::observe::{self, replay};
use crate::report::{self, Row, Run, Size};
use crate::sched;
use crate::task::{self, Tally};

/// A row in the making: a workload under a policy.
pub(super) struct Measured {
    row: Row,
    tables: u64,
    windows: u8,
    /// Nobody else works meanwhile: there are windows, a replay, and frames to account for.
    alone: bool,
}

impl Deref for Measured {
    type Target = Row;

    fn deref(&self) -> &Row {
        &self.row
    }
}

/// A row of which nothing is counted yet.
fn empty(run: Run, policy: Policy, size: Size) -> Row {
    Row {
        run,
        policy,
        size,
        tally: Tally::default(),
        replay: None,
        deepest: 0,
    }
}

/// The row of all tasks and cores in a window.
pub(super) fn of_machine(run: Run, policy: Policy, size: Size, tally: Tally, deepest: u32) -> Row {
    Row {
        tally,
        deepest,
        ..empty(run, policy, size)
    }
}

impl Measured {
    pub(super) fn new(run: Run, policy: Policy, size: Size) -> Self {
        replay::start();
        Self {
            alone: true,
            ..Self::of_task(run, policy, size)
        }
    }

    /// For a workload that is one of many at a time: it is checked, and measured with the others.
    pub(super) fn of_task(run: Run, policy: Policy, size: Size) -> Self {
        Self {
            row: empty(run, policy, size),
            tables: 0,
            windows: 0,
            alone: false,
        }
    }

    pub(super) fn into_row(self) -> Row {
        self.row
    }

    /// Nobody else works meanwhile.
    pub(super) fn is_alone(&self) -> bool {
        self.alone
    }

    /// Runs `work` in a window and adds what it made the machine do to this row.
    ///
    /// # Errors
    /// What `work` returns; a count that cannot be; or that another core does not come to rest.
    pub(super) fn measured<R>(
        &mut self,
        work: impl FnOnce() -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        if !self.alone {
            return work();
        }
        // The window is the machine's, and the counts are this task's.
        quiet()?;
        let tag = [self.run as u8, self.policy as u8, self.windows];
        self.windows += 1;
        observe::report(|| What::Window {
            tag: window::tag_value(&tag),
            open: true,
        });
        replay::set_active(true);
        let task = task::current();
        window::start(Window::Work, &tag);
        let before = task.counts.tally();
        let result = work();
        let after = task.counts.tally();
        window::end(Window::Work);
        replay::set_active(false);
        observe::report(|| What::Window {
            tag: window::tag_value(&tag),
            open: false,
        });
        let counted = after - before;
        report::note_window(&tag, Window::Work, counted);
        self.row.tally = self.row.tally + counted;
        let result = result?;
        check_barriers("the window", counted)?;
        Ok(result)
    }

    /// Links the tables that `range` needs: outside of the window, so that the row is about
    /// last-level stores alone.
    pub(super) fn link_tables(&mut self, range: PageRange<'_>) -> Result<(), Failure> {
        let free = frames::free_count();
        range
            .reserve(range.pages())
            .map_err(|error| failure!("{error}"))?;
        self.tables += free - frames::free_count();
        Ok(())
    }

    pub(super) fn tables_linked(&self) -> u64 {
        self.tables
    }

    /// Ends the recording and compares what was counted with what the policy's table and the closed
    /// form give.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        if !self.alone {
            return Ok(());
        }
        let Some(replay) = replay::finish() else {
            return Err(failure!("the recording is gone"));
        };
        let counted = self.tally.pairs;
        let by_table = replay.pairs(self.policy);
        if counted != by_table {
            return Err(failure!(
                "{counted} pairs were counted, the {} table gives {by_table} for the same calls",
                self.policy
            ));
        }
        let by_form = replay.shape().pairs(self.policy);
        if counted != by_form {
            return Err(failure!(
                "{counted} pairs were counted, the closed form gives {by_form} for {:?}",
                replay.shape()
            ));
        }
        self.row.replay = Some(replay);
        Ok(())
    }
}

/// Waits until no other core executes anything, nor will.
///
/// # Errors
/// One does.
pub(super) fn quiet() -> Result<(), Failure> {
    if sched::quiesce() {
        Ok(())
    } else {
        Err(failure!("a core does not come to rest"))
    }
}

/// Checks that every pair has its DSB and its ISB, and that both are among those counted. With `whose` counts it is.
///
/// This needs no witness and no rule: counts that were lost, or barriers left out of a pair, show by themselves.
///
/// # Errors
/// A barrier is missing.
pub(super) fn check_barriers(whose: &str, tally: Tally) -> Result<(), Failure> {
    let Tally {
        pairs,
        pair_isbs,
        dsb,
        isb,
        ..
    } = tally;
    if pairs == pair_isbs && pairs <= dsb && pairs <= isb {
        return Ok(());
    }
    Err(failure!(
        "{whose} has {pairs} DSBs of pairs and {pair_isbs} ISBs, of {dsb} and {isb} in all: a pair has one of each"
    ))
}

/// Checks that the rows of each workload made the same calls under every policy: only then can
/// their counts be compared.
///
/// # Errors
/// The first two that differ.
pub fn check_same_work(rows: &[Row]) -> Result<(), Failure> {
    let mut seen: Vec<&Row> = Vec::new();
    for row in rows {
        let Some(replay) = &row.replay else { continue };
        match seen.iter().find(|other| other.run == row.run) {
            None => seen.push(row),
            Some(first) => {
                let other = first
                    .replay
                    .as_ref()
                    .map(|replay| (replay.calls(), replay.hash()));
                if other != Some((replay.calls(), replay.hash())) {
                    return Err(failure!(
                        "{} made other calls under {} than under {}",
                        row.run,
                        row.policy,
                        first.policy
                    ));
                }
            }
        }
    }
    Ok(())
}
