//! A row in the making: the windows around a workload's page-table work, and the counts inside them.

use core::ops::Deref;
use core::sync::atomic::Ordering::Relaxed;

use lazy_mmu::Policy;

use super::look::Look;
use super::{Failure, counts, failure};
use crate::arch::window::Window;
use crate::mem::{self, PageRange};
use crate::observe::{self, replay};
use crate::report::{self, Row, Run, Size};
use crate::sched;
use crate::task::{self, Tally};

/// A row in the making: a workload under a policy.
pub(super) struct Measured<'m> {
    row: Row,
    windows: u8,
    look: Look<'m>,
}

impl Deref for Measured<'_> {
    type Target = Row;

    fn deref(&self) -> &Row {
        &self.row
    }
}

impl<'m> Measured<'m> {
    /// Nothing counted yet. Starts the recording of calls, where they are recorded.
    pub(super) fn new(run: Run, policy: Policy, size: Size, look: Look<'m>) -> Self {
        let new = Self {
            row: Row::new(run, policy, size),
            windows: 0,
            look,
        };
        if new.look.is_recorded() {
            replay::start(mem::SETTLES.load(Relaxed));
        }
        new
    }

    pub(super) fn into_row(self) -> Row {
        self.row
    }

    /// Whether no other task works meanwhile.
    pub(super) fn is_alone(&self) -> bool {
        self.look.is_alone()
    }

    /// Runs `work` in a window and adds what it executed to this row.
    ///
    /// # Errors
    /// What `work` returns; a pair without its DSB or ISB; that another core does not come to rest; or that somebody listens where
    /// nothing is to be recorded.
    pub(super) fn measured<R>(
        &mut self,
        work: impl FnOnce() -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        let (mut work, mut result) = (Some(work), None);
        // The one place where it is called: both runs of `measure` execute the same code.
        let counted = self.window(&mut || {
            if let Some(work) = work.take() {
                result = Some(work());
            }
        })?;
        let result = result.ok_or_else(|| failure!("a window was left without its work"))??;
        counts::check_pairs("the window", counted)?;
        Ok(result)
    }

    /// Runs `work` and returns what it executed, as far as this row counts it.
    fn window(&mut self, work: &mut dyn FnMut()) -> Result<Tally, Failure> {
        if !self.is_alone() {
            work();
            return Ok(Tally::default());
        }
        // The window is the machine's, and the counts are this task's: no other may execute anything.
        quiesce()?;
        let number = self.run.number();
        let tag = [number >> 4, number, self.policy as u8, self.windows];
        self.windows += 1;
        let tally = || task::current().counts.tally();
        let counted = match &mut self.look {
            Look::Bare(meter) => {
                let before = tally();
                meter.window(work);
                if observe::is_watched() {
                    return Err(failure!(
                        "somebody listens, so this is not the operation alone: leave out check=on and trace="
                    ));
                }
                tally() - before
            }
            Look::Row => {
                let ((), counted) = report::in_window(&tag, tally, || recorded(work));
                report::note_window(&tag, Window::Work, counted);
                counted
            }
            Look::Recorded | Look::OfMany => {
                let before = tally();
                recorded(work);
                tally() - before
            }
        };
        self.row.tally = self.row.tally + counted;
        Ok(counted)
    }

    /// Links the tables that `range` needs. This is done outside of the window, so that the row is about
    /// last-level stores alone.
    pub(super) fn link_tables(&self, range: PageRange<'_>) -> Result<(), Failure> {
        Ok(range.reserve(range.pages())?)
    }

    /// Ends the recording and checks the counts against it.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        if !self.look.is_recorded() {
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

fn recorded(work: &mut dyn FnMut()) {
    replay::set_active(true);
    work();
    replay::set_active(false);
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
