//! How a workload's work is looked at: recorded, or by a meter alone.

/// Who counts a workload of which nothing is recorded: see [`measure`](super::measure()).
pub trait Meter {
    /// Runs `work` once, in a window of its own, and counts what is executed in it. A workload has as many windows as it has parts.
    fn window(&mut self, work: &mut dyn FnMut());
}

/// How a workload's work is looked at.
pub(super) enum Look<'m> {
    /// Recorded for the replay, in windows for the witness: a row of the table. No other task works meanwhile.
    Row,
    /// Recorded in the same way, but without windows.
    Recorded,
    /// Nothing is recorded, and the windows are the meter's.
    Bare(&'m mut dyn Meter),
    /// One of many at the same time: the stress run has the only window.
    OfMany,
}

impl Look<'_> {
    /// Whether no other task works meanwhile.
    pub(super) fn is_alone(&self) -> bool {
        !matches!(self, Look::OfMany)
    }

    pub(super) fn is_recorded(&self) -> bool {
        matches!(self, Look::Row | Look::Recorded)
    }
}
