//! A row in the making: the windows around a workload's page-table work, and the counts inside them.

use core::ops::Deref;

use lazy_mmu::Policy;

use super::{Failure, counts, failure};
use crate::arch::window::Window;
use crate::mem::PageRange;
use crate::observe::replay;
use crate::report::{self, Row, Run, Size};
use crate::sched;
use crate::task;

/// A row in the making: a workload under a policy.
pub(super) struct Measured {
    row: Row,
    windows: u8,
    /// No other task works meanwhile: there are windows, a replay, and frames to account for.
    alone: bool,
}

impl Deref for Measured {
    type Target = Row;

    fn deref(&self) -> &Row {
        &self.row
    }
}

impl Measured {
    /// For a workload that is the only work on the machine. Starts the recording of its calls.
    pub(super) fn new(run: Run, policy: Policy, size: Size) -> Self {
        replay::start();
        Self {
            alone: true,
            ..Self::of_task(run, policy, size)
        }
    }

    /// For a workload that is one of many at the same time. It is checked, but its counts are part of the
    /// stress run's one window.
    pub(super) fn of_task(run: Run, policy: Policy, size: Size) -> Self {
        Self {
            row: Row::new(run, policy, size),
            windows: 0,
            alone: false,
        }
    }

    pub(super) fn into_row(self) -> Row {
        self.row
    }

    /// Whether no other task works meanwhile.
    pub(super) fn is_alone(&self) -> bool {
        self.alone
    }

    /// Runs `work` in a window and adds what it executed to this row.
    ///
    /// # Errors
    /// What `work` returns; a pair without its DSB or ISB; or that another core does not come to rest.
    pub(super) fn measured<R>(
        &mut self,
        work: impl FnOnce() -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        if !self.alone {
            return work();
        }
        // The window is the machine's, and the counts are this task's: no other may execute anything.
        quiesce()?;
        let number = self.run.number();
        let tag = [number >> 4, number, self.policy as u8, self.windows];
        self.windows += 1;
        let task = task::current();
        let (result, counted) = report::in_window(
            &tag,
            || task.counts.tally(),
            || {
                replay::set_active(true);
                let result = work();
                replay::set_active(false);
                result
            },
        );
        report::note_window(&tag, Window::Work, counted);
        self.row.tally = self.row.tally + counted;
        let result = result?;
        counts::check_pairs("the window", counted)?;
        Ok(result)
    }

    /// Links the tables that `range` needs. This is done outside of the window, so that the row is about
    /// last-level stores alone.
    pub(super) fn link_tables(&self, range: PageRange<'_>) -> Result<(), Failure> {
        Ok(range.reserve(range.pages())?)
    }

    /// Ends the recording and checks the counts against it.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        if !self.alone {
            return Ok(());
        }
        let Some(replay) = replay::finish() else {
            return Err(failure!("the recording is gone"));
        };
        counts::check_replay(self.tally.pairs, self.policy, &replay)?;
        self.row.replay = Some(replay);
        Ok(())
    }
}

/// Waits until no other core executes anything, and none has anything to do.
///
/// # Errors
/// A core goes on for ten seconds.
pub(super) fn quiesce() -> Result<(), Failure> {
    if sched::quiesce() {
        Ok(())
    } else {
        Err(failure!("a core does not come to rest"))
    }
}
